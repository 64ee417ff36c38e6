//! What a model asks of its checkpoint, seen while it is loaded.
//!
//! Which tensors are matrices, and which numbers that stay as they are, only a model knows. Whoever wants to know it of
//! any model loads it from [watched](crate::Weights::watched) weights and looks at what was asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tiny_vlm_quant::Precision;

/// What a tensor is to the model that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// A buffer that the model computes itself.
    Ignored,
    /// The scales of another tensor, which is of type I8.
    Scales,
    /// Numbers, taken as f32.
    Numbers,
    /// A matrix or the kernel of a convolution, taken in whatever precision is asked for.
    Matrix {
        /// The shape it is asked for in: rows and columns, or PyTorch's `[out, in, height, width]`.
        shape: Vec<usize>,
        /// The least precision that the model puts up with.
        least: Option<Precision>,
    },
}

/// A record of what is asked for, by the names of tensors. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    uses: Arc<Mutex<BTreeMap<String, Use>>>,
}

impl Watch {
    /// What each tensor was asked for as. One that serves in several ways, such as a table that is looked up and
    /// multiplied in two shapes, serves as numbers.
    pub fn uses(&self) -> BTreeMap<String, Use> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, name: &str, new: Use) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(name) {
            None | Some(Use::Ignored) => _ = uses.insert(name.to_owned(), new),
            Some(old) if *old != new && new != Use::Ignored => *old = Use::Numbers,
            Some(_) => {}
        }
    }
}

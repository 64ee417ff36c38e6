use tiny_vlm_memory::MemoryError;
use tiny_vlm_quant::QuantError;
use tiny_vlm_tensor::{Stopped, TensorError};

/// Why a layer could not be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The work was cancelled, or its deadline passed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Something has another shape than the layer needs.
    #[error("{what} of shape {actual:?} where {expected:?} is needed")]
    Shape {
        /// What it is.
        what: &'static str,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        actual: Vec<usize>,
    },
    /// Heads of queries do not share those of keys evenly.
    #[error("{queries} query heads cannot share {keys} key heads evenly")]
    Heads {
        /// Heads of queries.
        queries: usize,
        /// Heads of keys and values.
        keys: usize,
    },
    /// Rows are not whole windows.
    #[error("{rows} rows are no windows of {window}")]
    Windows {
        /// Rows.
        rows: usize,
        /// Rows of a window.
        window: usize,
    },
    /// Rotary positions turn pairs of values.
    #[error("a head of {dim} values cannot be turned in pairs")]
    OddHead {
        /// Length of a head.
        dim: usize,
    },
    /// A product failed.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A view does not fit its data.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// There is no room.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl LayerError {
    /// An error unless the shapes are equal.
    pub(crate) fn expect_shape<const R: usize>(
        what: &'static str,
        expected: [usize; R],
        actual: [usize; R],
    ) -> Result<(), Self> {
        match expected == actual {
            true => Ok(()),
            false => Err(Self::Shape { what, expected: expected.to_vec(), actual: actual.to_vec() }),
        }
    }
}

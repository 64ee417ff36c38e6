//! Everything that kept a checkpoint from becoming a model, told at once.

use std::fmt;

use crate::{Dtype, words};

/// All the tensors of a checkpoint that do not fit the model it is loaded as. Lists are sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadError {
    /// Tensors that the model needs and the checkpoint lacks.
    pub missing: Vec<Missing>,
    /// Tensors of another shape than the model needs.
    pub misshapen: Vec<Misshapen>,
    /// Tensors whose elements are of a type that is not read as parameters.
    pub mistyped: Vec<Mistyped>,
    /// Tensors whose numbers cannot be used: scales that are not finite, for one.
    pub unusable: Vec<Unusable>,
    /// Tensors of the checkpoint that the model did not ask for.
    pub extra: Vec<String>,
}

/// A tensor that is not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The shape it should have.
    pub expected: Vec<usize>,
}

/// A tensor of another shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misshapen {
    /// Its name.
    pub name: String,
    /// The shape it should have.
    pub expected: Vec<usize>,
    /// The shape it has.
    pub found: Vec<usize>,
}

/// A tensor of another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistyped {
    /// Its name.
    pub name: String,
    /// The type it has.
    pub found: Dtype,
}

/// A tensor whose numbers cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// What keeps it from being used.
    pub reason: String,
}

impl LoadError {
    /// A stable name for this kind of error.
    pub fn code(&self) -> &'static str {
        "weights-do-not-fit"
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.extra.is_empty() && !self.is_fatal()
    }

    /// Whether something the model needs is wrong, and not only something left over.
    pub fn is_fatal(&self) -> bool {
        !(self.missing.is_empty()
            && self.misshapen.is_empty()
            && self.mistyped.is_empty()
            && self.unusable.is_empty())
    }
}

/// A line of counts, then a line for each tensor.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the checkpoint does not fit the model:")?;
        let counts = [
            (self.missing.len(), "missing"),
            (self.misshapen.len(), "of another shape"),
            (self.mistyped.len(), "of another type"),
            (self.unusable.len(), "not usable"),
            (self.extra.len(), "extra"),
        ];
        for (i, (count, what)) in counts.into_iter().filter(|&(count, _)| count > 0).enumerate() {
            write!(f, "{} {count} {what}", if i > 0 { "," } else { "" })?;
        }
        for Missing { name, expected } in &self.missing {
            write!(f, "\n  missing: {} {expected:?}", words::name(name))?;
        }
        for Misshapen { name, expected, found } in &self.misshapen {
            write!(f, "\n  shape: {} is {found:?}, expected {expected:?}", words::name(name))?;
        }
        for Mistyped { name, found } in &self.mistyped {
            write!(f, "\n  type: {} is {found}", words::name(name))?;
        }
        for Unusable { name, reason } in &self.unusable {
            write!(f, "\n  not usable: {}: {reason}", words::name(name))?;
        }
        for name in &self.extra {
            write!(f, "\n  extra: {}", words::name(name))?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

//! The number formats of weights.

use std::fmt;

/// The number format of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Signed bytes, one scale an output channel; activations become unsigned bytes, row by row.
    Int8,
    /// 8 bits of exponent and 7 of mantissa; activations are rounded to it as well.
    Bf16,
    /// IEEE half precision in memory, products in f32.
    F16,
    /// IEEE single precision.
    F32,
}

impl Precision {
    /// Its name, as options and files have it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Int8 => "int8",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
            Precision::F32 => "f32",
        }
    }

    /// The precision of this name.
    pub fn from_name(name: &str) -> Option<Precision> {
        [Precision::Int8, Precision::Bf16, Precision::F16, Precision::F32]
            .into_iter()
            .find(|precision| precision.name() == name)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

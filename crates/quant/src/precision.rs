//! The number formats of weights.

use std::fmt;

use tiny_vlm_kernels::Group;

/// The number format of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Two bits, one scale a group; activations as for bytes.
    Int2(Group),
    /// Four bits, one scale a group; activations as for bytes.
    Int4(Group),
    /// As `Int8`, without the 16×16 blocks of weights that are zero.
    Int8Sparse,
    /// Signed bytes, one scale an output channel; activations become unsigned bytes, row by row.
    Int8,
    /// 8 bits of exponent and 7 of mantissa; activations are rounded to it as well.
    Bf16,
    /// IEEE half precision in memory, products in f32.
    F16,
    /// As `F32`, without the 16×16 blocks of weights that are zero.
    F32Sparse,
    /// IEEE single precision.
    F32,
}

impl Precision {
    /// Those whose size does not depend on the weights, from the fewest bits to the most.
    pub const ALL: [Precision; 8] = [
        Precision::Int2(Group::Of32),
        Precision::Int2(Group::Of64),
        Precision::Int4(Group::Of32),
        Precision::Int4(Group::Of64),
        Precision::Int8,
        Precision::Bf16,
        Precision::F16,
        Precision::F32,
    ];

    /// Those that leave out blocks of zeros. They suit weights that were pruned ([`prune_blocks`](crate::prune_blocks)),
    /// so a plan has them only where it is told to.
    pub const SPARSE: [Precision; 2] = [Precision::Int8Sparse, Precision::F32Sparse];

    /// Whether products with it round the activations too, to bf16 or to bytes.
    pub fn rounds_activations(self) -> bool {
        !matches!(self, Precision::F16 | Precision::F32Sparse | Precision::F32)
    }

    /// Its name, as options and files have it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Int2(Group::Of32) => "int2",
            Precision::Int2(Group::Of64) => "int2-g64",
            Precision::Int4(Group::Of32) => "int4",
            Precision::Int4(Group::Of64) => "int4-g64",
            Precision::Int8Sparse => "int8-sparse",
            Precision::Int8 => "int8",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
            Precision::F32Sparse => "f32-sparse",
            Precision::F32 => "f32",
        }
    }

    /// The precision of this name.
    pub fn from_name(name: &str) -> Option<Precision> {
        Precision::ALL.into_iter().chain(Precision::SPARSE).find(|precision| precision.name() == name)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_name_precisions() {
        for precision in Precision::ALL.into_iter().chain(Precision::SPARSE) {
            assert_eq!(Precision::from_name(precision.name()), Some(precision));
        }
        assert_eq!(Precision::from_name("int3"), None);
    }
}

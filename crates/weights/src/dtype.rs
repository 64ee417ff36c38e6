//! How the numbers of a tensor are stored.

use std::fmt;

use tiny_vlm_quant::Layout;

use crate::BlockFormat;

/// The type of a stored tensor's elements. All types that a safetensors file can name are here, so that a file can be
/// listed; matrices that were [packed ahead of time](crate::Writer) have a type of their own; which of them can be read as parameters is said at [`TensorRef`](crate::TensorRef).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float of IEEE 754.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
    /// Truth values, a byte each.
    Bool,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// One of the types of eight bits and fewer that hardware vendors name.
    Narrow,
    /// Pairs of 32-bit floats.
    C64,
    /// A matrix that was packed ahead of time, in this layout.
    Packed(Layout),
    /// Blocks of few bits, as GGUF files have them.
    Blocks(BlockFormat),
}

impl From<safetensors::Dtype> for Dtype {
    fn from(dtype: safetensors::Dtype) -> Self {
        use safetensors::Dtype as D;
        match dtype {
            D::F64 => Self::F64,
            D::F32 => Self::F32,
            D::F16 => Self::F16,
            D::BF16 => Self::Bf16,
            D::I8 => Self::I8,
            D::U8 => Self::U8,
            D::BOOL => Self::Bool,
            D::I16 => Self::I16,
            D::U16 => Self::U16,
            D::I32 => Self::I32,
            D::U32 => Self::U32,
            D::I64 => Self::I64,
            D::U64 => Self::U64,
            D::C64 => Self::C64,
            _ => Self::Narrow,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::I16 => "I16",
            Self::U16 => "U16",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::I64 => "I64",
            Self::U64 => "U64",
            Self::Narrow => "F8 or less",
            Self::C64 => "C64",
            Self::Packed(layout) => layout.id(),
            Self::Blocks(format) => format.name(),
        })
    }
}

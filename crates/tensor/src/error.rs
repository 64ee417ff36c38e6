//! What can be wrong with a shape.

use tiny_vlm_memory::MemoryError;

/// Why a tensor or view cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The data does not have as many elements as the shape.
    #[error("shape {shape:?} wants another number of elements than the {len} there are")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Elements there are.
        len: usize,
    },
    /// The shape has more elements than an address can span.
    #[error("shape {shape:?} has too many elements")]
    TooLarge {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// The strides leave the data, let elements overlap that are to be written, or do not end in one.
    #[error("strides {strides:?} do not lay out shape {shape:?} in {len} elements")]
    Strides {
        /// The shape asked for.
        shape: Vec<usize>,
        /// The strides asked for, in elements.
        strides: Vec<usize>,
        /// Elements there are.
        len: usize,
    },
    /// Another shape has another number of elements, or needs them without gaps.
    #[error("shape {from:?} with strides {strides:?} cannot be seen as shape {to:?}")]
    Reshape {
        /// The shape there is.
        from: Vec<usize>,
        /// Its strides, in elements.
        strides: Vec<usize>,
        /// The shape asked for.
        to: Vec<usize>,
    },
    /// Two shapes that have to be equal are not.
    #[error("shape {actual:?} is not the expected {expected:?}")]
    Shape {
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that was given.
        actual: Vec<usize>,
    },
    /// There is no room for the elements.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

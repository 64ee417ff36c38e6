//! What can be wrong with matrices and products.

/// Why a matrix could not be made or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// Data do not have as many elements as the shape says.
    #[error("{what} of {actual} elements for a matrix of {n}x{k}, which needs {expected}")]
    Length {
        /// Which data.
        what: &'static str,
        /// Output channels.
        n: usize,
        /// Input features.
        k: usize,
        /// Elements that are needed.
        expected: usize,
        /// Elements that there are.
        actual: usize,
    },
    /// A matrix is too large to be addressed or held.
    #[error("a matrix of {n}x{k} is too large")]
    TooLarge {
        /// Output channels.
        n: usize,
        /// Input features.
        k: usize,
    },
    /// A weight or scale is not a number or infinite.
    #[error("{what} {index} of a matrix is {value}")]
    NotFinite {
        /// Weight or scale.
        what: &'static str,
        /// Which one.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// Activations, weights and output do not fit one another.
    #[error("activations of {x:?} by weights of {weights:?} into an output of {out:?}")]
    Shapes {
        /// Shape of the activations.
        x: Vec<usize>,
        /// Output channels and input features.
        weights: [usize; 2],
        /// Shape of the output.
        out: Vec<usize>,
    },
    /// A convolution's kernel does not fit its image.
    #[error(
        "a kernel of {kernel:?} at stride {stride:?} does not fit an image of {image:?} with its padding"
    )]
    Window {
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Its strides.
        stride: [usize; 2],
        /// Height, width and channels of the image.
        image: [usize; 3],
    },
    /// Part of an epilogue does not fit the output.
    #[error("{0}")]
    Epilogue(String),
    /// Activations were prepared for another precision or level.
    #[error("activations prepared for {prepared} by weights in {weights}")]
    Prepared {
        /// What they were prepared for.
        prepared: String,
        /// What they were used with.
        weights: String,
    },
    /// An image has gaps between its pixels or rows.
    #[error("an image of {shape:?} must be contiguous, not of strides {strides:?}")]
    Gaps {
        /// Height, width and channels.
        shape: [usize; 3],
        /// Its strides.
        strides: [usize; 3],
    },
}

//! What can be wrong with matrices, products and plans.

use crate::Precision;

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
    /// Sample activations do not have a layer's input features.
    #[error("samples of {samples:?} for a layer of {columns} input features")]
    Samples {
        /// Rows and columns of the samples.
        samples: [usize; 2],
        /// Input features.
        columns: usize,
    },
    /// Samples are wanted and there are none.
    #[error("no samples for a layer of {columns} input features, at least one is needed")]
    NoSamples {
        /// Input features.
        columns: usize,
    },
    /// Samples do not tell what some column's weights do.
    #[error("{samples} samples leave column {column} of {columns} undetermined with a damping of {damping}")]
    Singular {
        /// How many there were.
        samples: usize,
        /// Which column.
        column: usize,
        /// Input features.
        columns: usize,
        /// What was added to the diagonal, as a share of its mean.
        damping: f64,
    },
    /// A calibration is of another layer's samples.
    #[error("samples of {columns} columns for a matrix of {n}x{k}")]
    Calibration {
        /// Columns of the samples.
        columns: usize,
        /// Output channels.
        n: usize,
        /// Input features.
        k: usize,
    },
    /// A quantized weight is none that its bits can say.
    #[error("weight {index} of a matrix is {value}, which is no value of {bits} bits")]
    Value {
        /// Which one.
        index: usize,
        /// Its value.
        value: i8,
        /// How many bits it has.
        bits: u32,
    },
    /// Bytes are not the packed form of a matrix.
    #[error("no matrix of {n}x{k} in the layout {layout}: {reason}")]
    Packed {
        /// The layout's name.
        layout: &'static str,
        /// Output channels.
        n: usize,
        /// Input features.
        k: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A density of blocks is not in 0..=1.
    #[error("a density of {density}, which is no share")]
    Density {
        /// What was asked for.
        density: f64,
    },
    /// A plan cannot keep to so few bytes.
    #[error("a budget of {budget} bytes, and the least possible is {least}")]
    ByteBudget {
        /// The bytes that are allowed.
        budget: usize,
        /// Those of the smallest candidates.
        least: usize,
    },
    /// A plan cannot keep to so small an error.
    #[error("a budget of {budget} for the summed error, and the least possible is {least}")]
    ErrorBudget {
        /// The error that is allowed.
        budget: f64,
        /// That of the best candidates.
        least: f64,
    },
    /// A layer has no precision to choose.
    #[error("layer {layer} has no candidates")]
    NoCandidates {
        /// Its name.
        layer: String,
    },
    /// The error of a candidate is no amount.
    #[error("layer {layer} in {precision} has an error of {error}")]
    CandidateError {
        /// The layer's name.
        layer: String,
        /// The candidate's precision.
        precision: Precision,
        /// Its error.
        error: f64,
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

use tiny_vlm_layers::LayerError;
use tiny_vlm_memory::MemoryError;
use tiny_vlm_tensor::{Stopped, TensorError};

/// Why a decoder could not be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// The numbers of a configuration do not make a decoder.
    #[error("decoder configuration: {0}")]
    Config(String),
    /// A batch does not fit the decoder.
    #[error("sequence {sequence}: {reason}")]
    Sequence {
        /// Its place in the batch.
        sequence: usize,
        /// What does not fit.
        reason: String,
    },
    /// A token that the vocabulary does not have.
    #[error("token {id} is not in a vocabulary of {vocab}")]
    Token {
        /// The token.
        id: u32,
        /// How many there are.
        vocab: usize,
    },
    /// A matrix that is handed in has another shape than the decoder needs.
    #[error("{what} of shape {actual:?} where {expected:?} is needed")]
    Shape {
        /// What it is.
        what: &'static str,
        /// The shape it should have.
        expected: [usize; 2],
        /// The shape it has.
        actual: [usize; 2],
    },
    /// A layer failed, or the work was stopped in it.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl DecoderError {
    /// Whether, and why, the work was stopped rather than failed.
    pub fn stopped(&self) -> Option<Stopped> {
        match self {
            Self::Layer(LayerError::Stopped(stopped)) => Some(*stopped),
            _ => None,
        }
    }
}

macro_rules! through_layers {
    ($($error:ty),*) => {$(
        impl From<$error> for DecoderError {
            fn from(error: $error) -> Self {
                Self::Layer(error.into())
            }
        }
    )*};
}

through_layers!(MemoryError, TensorError, Stopped, tiny_vlm_quant::QuantError);

//! What can go wrong between pixels and features.

use tiny_vlm_image::ImageError;
use tiny_vlm_layers::LayerError;
use tiny_vlm_tensor::{Stopped, TensorError};

/// Why a picture was not looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// The configuration asks for what cannot be.
    #[error("vision config: {0}")]
    Config(String),
    /// A picture could not be resized or cut.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be made or run.
    #[error(transparent)]
    Layer(LayerError),
    /// The work was cancelled or took too long.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<LayerError> for VisionError {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Layer(other),
        }
    }
}

impl From<TensorError> for VisionError {
    fn from(error: TensorError) -> Self {
        Self::Layer(error.into())
    }
}

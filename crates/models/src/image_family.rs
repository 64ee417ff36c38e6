//! What every model that takes an image and no words can do, as the runtime sees it.

use tiny_vlm_image::{Image, Limits, Options as ImageOptions};
use tiny_vlm_tensor::Context;

use crate::ModelError;

/// What is known of a loaded image model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageModelInfo {
    /// The family, as the registry knows it.
    pub family: &'static str,
    /// The form of most of the weights: `int8`, `f32`, ...
    pub precision: String,
    /// Parameters.
    pub parameters: usize,
    /// Bytes that the weights take in memory.
    pub weight_bytes: usize,
    /// Numbers of an image's vector of features.
    pub features: usize,
    /// Sides of the square of pixels that it looks at.
    pub side: usize,
    /// What its classes are called; empty where it has no classifier.
    pub labels: Vec<String>,
    /// Operators and the kernels that they take on this machine.
    pub kernels: Vec<(String, String)>,
}

impl ImageModelInfo {
    /// A model that makes vectors of this length and knows no classes.
    pub fn new(family: &'static str, features: usize, side: usize) -> Self {
        Self {
            family,
            precision: String::new(),
            parameters: 0,
            weight_bytes: 0,
            features,
            side,
            labels: Vec::new(),
            kernels: Vec::new(),
        }
    }
}

/// A loaded image model: an image to a vector of features, and to a score for each class that it knows.
///
/// It owns no threads and no buffers but its weights: those come with the [`Context`].
pub trait ImageFamily: Send + Sync {
    /// What is known of the model.
    fn info(&self) -> &ImageModelInfo;

    /// How files become the pixels that this model was trained on.
    fn image_options(&self, limits: Limits) -> ImageOptions {
        ImageOptions::with_limits(limits)
    }

    /// The features of an image, [`ImageModelInfo::features`] numbers, as the classifier takes them.
    fn features(&self, context: &Context<'_>, image: &Image) -> Result<Vec<f32>, ModelError>;

    /// A score for each of [`ImageModelInfo::labels`], before any softmax.
    fn classify(&self, context: &Context<'_>, image: &Image) -> Result<Vec<f32>, ModelError>;
}

//! FastViT classifiers (Vasu et al., 2023, arXiv:2303.14189), as `timm` publishes them, with the branches of training or
//! folded.

use std::sync::Arc;

use tiny_vlm_layers::ScratchTensor;
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_vision::{FastVit, FastVitConfig, FastVitSizes, VisionError};

use crate::classifier::{Classifier, Tower, params};
use crate::timm::TimmConfig;
use crate::{ImageFamily, ModelError, ModelOptions, Source};

/// The architectures, by the names of `timm`.
pub(crate) const ARCHITECTURES: &[&str] = &["fastvit_t8", "fastvit_t12", "fastvit_s12"];

impl Tower for FastVit {
    fn width(&self) -> usize {
        self.config().features()
    }

    fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        self.features(ctx, pixels)
    }
}

/// Loads a checkpoint of `timm`.
pub(crate) fn load_timm(
    config: &str,
    source: &Source,
    options: &ModelOptions,
) -> Result<Arc<dyn ImageFamily>, ModelError> {
    let mut config = TimmConfig::parse(config)?;
    let processor = config.pictures.processor()?;
    let sizes = FastVitSizes {
        layers: config.take("layers")?,
        embed_dims: config.take("embed_dims")?,
        inference_mode: config.take("inference_mode")?,
    };
    config.check_rest()?;
    let sizes = FastVitConfig::named(&config.architecture, &sizes)?;
    let weights = source.weights()?;
    let params = params(options, &weights);
    let tower = FastVit::load(&params.root(), &sizes)?;
    Ok(Arc::new(Classifier::load("fastvit", params, tower, processor, config.labels, "head.fc")?))
}

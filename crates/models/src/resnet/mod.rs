//! ResNet classifiers (He et al., 2015, arXiv:1512.03385), as `transformers` and as `timm` publish them.
//!
//! A picture's square goes through the [network](tiny_vlm_vision::ResNet), whose map's mean is the features, and a linear
//! map of these scores the classes.

mod config;

use std::sync::Arc;

use tiny_vlm_vision::{ResNet, ResNetNames};

pub(crate) use config::ARCHITECTURES;
use config::{TransformersConfig, timm_sizes};

use crate::classifier::{Classifier, params};
use crate::timm::TimmConfig;
use crate::{ImageFamily, ModelError, ModelOptions, Source, squares};

/// The `model_type` of `transformers`' configurations.
pub(crate) const MODEL_TYPE: &str = "resnet";

/// Loads a checkpoint of `ResNetForImageClassification` or `ResNetModel`.
pub(crate) fn load_transformers(
    config: &str,
    source: &Source,
    options: &ModelOptions,
) -> Result<Arc<dyn ImageFamily>, ModelError> {
    let config = TransformersConfig::parse(config)?;
    let processor = source.optional("preprocessor_config.json")?;
    let processor = squares::from_transformers(processor.as_deref())?;
    let weights = source.weights()?;
    let params = params(options, &weights);
    // A model without its classifier is stored without the prefix.
    let alone = params.root().contains("embedder.embedder.convolution.weight");
    let scope = if alone { params.root() } else { params.scope("resnet") };
    let tower = ResNet::load(&scope, &config.sizes(), ResNetNames::Transformers)?;
    let labels = if alone { Vec::new() } else { config.labels()? };
    Ok(Arc::new(Classifier::load(MODEL_TYPE, params, tower, processor, labels, "classifier.1")?))
}

/// Loads a checkpoint of `timm`.
pub(crate) fn load_timm(
    config: &str,
    source: &Source,
    options: &ModelOptions,
) -> Result<Arc<dyn ImageFamily>, ModelError> {
    let mut config = TimmConfig::parse(config)?;
    let processor = config.pictures.processor()?;
    let sizes = timm_sizes(&mut config)?;
    let weights = source.weights()?;
    let params = params(options, &weights);
    let tower = ResNet::load(&params.root(), &sizes, ResNetNames::Timm)?;
    Ok(Arc::new(Classifier::load(MODEL_TYPE, params, tower, processor, config.labels, "fc")?))
}

//! Which family a checkpoint belongs to: one line each.

use std::{path::Path, sync::Arc};

use serde::Deserialize;

use crate::{
    Family, ImageFamily, ModelError, ModelOptions, Source, fastvit, fastvlm, florence2, nano, resnet, smolvlm,
};

/// A family: the `model_type` of its configurations, and how one is loaded.
struct Entry {
    model_type: &'static str,
    load: Load,
}

/// Takes the text of `config.json` and where the other files are.
type Load = fn(&str, &Source, &ModelOptions) -> Result<Arc<dyn Family>, ModelError>;

const FAMILIES: &[Entry] = &[
    Entry { model_type: nano::MODEL_TYPE, load: nano::Nano::load },
    Entry { model_type: smolvlm::IDEFICS3, load: smolvlm::Smolvlm::load },
    Entry { model_type: smolvlm::SMOLVLM, load: smolvlm::Smolvlm::load },
    Entry { model_type: fastvlm::PORT, load: fastvlm::FastVlm::load },
    Entry { model_type: fastvlm::APPLE, load: fastvlm::FastVlm::load },
    Entry { model_type: florence2::MODEL_TYPE, load: florence2::Florence2::load },
];

/// A family of image models: the `model_type` or the `architecture`s of its configurations, and how one is loaded.
struct ImageEntry {
    names: &'static [&'static str],
    load: LoadImages,
}

/// As [`Load`].
type LoadImages = fn(&str, &Source, &ModelOptions) -> Result<Arc<dyn ImageFamily>, ModelError>;

const IMAGE_FAMILIES: &[ImageEntry] = &[
    ImageEntry { names: &[resnet::MODEL_TYPE], load: resnet::load_transformers },
    ImageEntry { names: resnet::ARCHITECTURES, load: resnet::load_timm },
    ImageEntry { names: fastvit::ARCHITECTURES, load: fastvit::load_timm },
];

/// What `config.json` must say at the least.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

/// Loads the model in a folder, of whichever family it is.
pub fn open(folder: &Path, options: &ModelOptions) -> Result<Arc<dyn Family>, ModelError> {
    load(&Source::folder(folder), options)
}

/// Loads the model that `source` holds.
pub fn load(source: &Source, options: &ModelOptions) -> Result<Arc<dyn Family>, ModelError> {
    let model_type = model_type(source)?;
    match FAMILIES.iter().find(|entry| entry.model_type == model_type) {
        Some(entry) => (entry.load)(&source.config()?, source, options),
        None => {
            let name = model_type.chars().take(80).collect();
            Err(ModelError::Unknown { name, known: known() })
        }
    }
}

/// The `model_type` of a checkpoint.
pub(crate) fn model_type(source: &Source) -> Result<String, ModelError> {
    let kind: Result<Kind, _> = serde_json::from_str(&source.config()?);
    kind.map(|kind| kind.model_type).map_err(|error| ModelError::config("config.json", error.to_string()))
}

/// The `model_type`s that can be loaded.
pub fn known() -> Vec<&'static str> {
    FAMILIES.iter().map(|entry| entry.model_type).collect()
}

/// What the `config.json` of an image model must say at the least: one of these.
#[derive(Deserialize)]
struct ImageKind {
    model_type: Option<String>,
    architecture: Option<String>,
}

/// Loads the image model in a folder, of whichever family it is.
pub fn open_images(folder: &Path, options: &ModelOptions) -> Result<Arc<dyn ImageFamily>, ModelError> {
    load_images(&Source::folder(folder), options)
}

/// Loads the image model that `source` holds.
pub fn load_images(source: &Source, options: &ModelOptions) -> Result<Arc<dyn ImageFamily>, ModelError> {
    let config = source.config()?;
    let kind: ImageKind = serde_json::from_str(&config)
        .map_err(|error| ModelError::config("config.json", error.to_string()))?;
    let Some(name) = kind.model_type.or(kind.architecture) else {
        let missing = "missing field `model_type` or `architecture`";
        return Err(ModelError::config("config.json", missing));
    };
    match IMAGE_FAMILIES.iter().find(|entry| entry.names.contains(&name.as_str())) {
        Some(entry) => (entry.load)(&config, source, options),
        None => {
            let name = name.chars().take(80).collect();
            Err(ModelError::Unknown { name, known: known_images() })
        }
    }
}

/// The `model_type`s and `architecture`s of the image models that can be loaded.
pub fn known_images() -> Vec<&'static str> {
    IMAGE_FAMILIES.iter().flat_map(|entry| entry.names).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: &'static str) -> ModelError {
        let source = Source::bytes(config, b"".as_slice(), b"".as_slice());
        load(&source, &ModelOptions::default()).err().expect("an error")
    }

    #[test]
    fn unknown_families_are_named_with_those_known() {
        match error(r#"{"model_type": "llava"}"#) {
            ModelError::Unknown { name, known } => {
                assert_eq!((name.as_str(), known), ("llava", super::known()))
            }
            other => panic!("{other}"),
        }
    }

    fn image_error(config: &'static str) -> ModelError {
        let source = Source::bytes(config, b"".as_slice(), b"".as_slice());
        load_images(&source, &ModelOptions::default()).err().expect("an error")
    }

    #[test]
    fn unknown_image_families_are_named_with_those_known() {
        for config in [r#"{"model_type": "tiny-vlm-nano"}"#, r#"{"architecture": "tiny-vlm-nano"}"#] {
            match image_error(config) {
                ModelError::Unknown { name, known } => {
                    assert_eq!((name.as_str(), known), ("tiny-vlm-nano", super::known_images()))
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn configurations_that_are_none_say_so() {
        for config in ["", "[]", "{}", "not json", r#"{"model_type": 3}"#] {
            assert_eq!(error(config).code(), "model-config", "{config}");
            assert_eq!(image_error(config).code(), "model-config", "{config}");
        }
    }
}

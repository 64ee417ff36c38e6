//! Which family a checkpoint belongs to: one line each.

use std::{path::Path, sync::Arc};

use serde::Deserialize;

use crate::{Family, ModelError, ModelOptions, Source, nano, smolvlm};

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

    #[test]
    fn configurations_that_are_none_say_so() {
        for config in ["", "[]", "{}", "not json", r#"{"model_type": 3}"#] {
            assert_eq!(error(config).code(), "model-config", "{config}");
        }
    }
}

//! What every `config.json` that `timm` writes says, whatever the architecture.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ModelError;
use crate::squares::TimmPictures;

/// More classes than any classifier has.
const MOST_CLASSES: usize = 1 << 20;

/// A `config.json` of `timm`.
pub(crate) struct TimmConfig {
    /// Which network it is.
    pub(crate) architecture: String,
    /// What was changed of that.
    model_args: BTreeMap<String, Value>,
    /// How pictures are prepared.
    pub(crate) pictures: TimmPictures,
    /// What the classes are called; their numbers where the file has no names.
    pub(crate) labels: Vec<String>,
}

/// The file as it stands.
#[derive(Deserialize)]
struct File {
    architecture: String,
    num_classes: Option<usize>,
    global_pool: Option<String>,
    #[serde(default)]
    model_args: BTreeMap<String, Value>,
    pretrained_cfg: Option<Value>,
    label_names: Option<LabelNames>,
    #[serde(default)]
    label_descriptions: BTreeMap<String, String>,
}

/// Classes in order, or by their numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum LabelNames {
    Listed(Vec<String>),
    Numbered(BTreeMap<String, String>),
}

impl TimmConfig {
    pub(crate) fn parse(json: &str) -> Result<Self, ModelError> {
        let wrong = |detail: String| ModelError::config("config.json", detail);
        let whole: Value = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let file = File::deserialize(&whole).map_err(|error| wrong(error.to_string()))?;
        if let Some(pool) = file.global_pool.as_deref().filter(|pool| !["", "avg"].contains(pool)) {
            let pool: String = pool.chars().take(80).collect();
            return Err(wrong(format!("global_pool {pool:?} is not supported, only \"avg\"")));
        }
        // In old files all that is in `pretrained_cfg` now stood beside the architecture.
        let pictures = file.pretrained_cfg.unwrap_or(whole);
        let classes = file.num_classes.or_else(|| pictures.get("num_classes")?.as_u64()?.try_into().ok());
        let classes = classes.unwrap_or(1000);
        if classes > MOST_CLASSES {
            return Err(wrong(format!("{classes} classes")));
        }
        let name = |number: usize| match &file.label_names {
            Some(LabelNames::Listed(names)) => names.get(number),
            Some(LabelNames::Numbered(names)) => names.get(&number.to_string()),
            None => None,
        };
        let label = |number: usize| match name(number) {
            Some(name) => file.label_descriptions.get(name).unwrap_or(name).clone(),
            None => number.to_string(),
        };
        Ok(Self {
            architecture: file.architecture,
            model_args: file.model_args,
            pictures: TimmPictures::deserialize(pictures).map_err(|error| wrong(error.to_string()))?,
            labels: (0..classes).map(label).collect(),
        })
    }

    /// An argument of the model, if it was changed.
    pub(crate) fn take<T: for<'a> Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, ModelError> {
        let Some(value) = self.model_args.remove(name) else { return Ok(None) };
        let wrong = |error| ModelError::config("config.json", format!("model_args.{name}: {error}"));
        serde_json::from_value(value).map(Some).map_err(wrong)
    }

    /// An error if an argument was changed to anything but this.
    fn expect(&mut self, name: &str, value: impl Into<Value>) -> Result<(), ModelError> {
        let (value, found) = (value.into(), self.model_args.remove(name));
        match found {
            Some(other) if other != value => {
                let detail = format!("model_args.{name} is supported as {value} only");
                Err(ModelError::config("config.json", detail))
            }
            _ => Ok(()),
        }
    }

    /// An error if an argument was not taken: it would make another network than the one that is built here.
    pub(crate) fn check_rest(&mut self) -> Result<(), ModelError> {
        self.expect("in_chans", 3)?;
        self.expect("global_pool", "avg")?;
        // How many classes there are is said beside; the rest is of training.
        for other in ["num_classes", "drop_rate", "drop_path_rate", "proj_drop_rate"] {
            self.model_args.remove(other);
        }
        match self.model_args.keys().next() {
            Some(name) => {
                let name: String = name.chars().take(80).collect();
                Err(ModelError::config("config.json", format!("model_args.{name} is not supported")))
            }
            None => Ok(()),
        }
    }
}

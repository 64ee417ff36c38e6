//! The runtime's model, with the one that is carried along.

use std::{ops::Deref, path::Path, sync::Arc};

use tiny_vlm_runtime::{Error, Family, LoadOptions, Source};

/// A loaded model: everything that the [runtime's](tiny_vlm_runtime::Model) can do, and where it comes from.
///
/// Clones share the weights, the threads and the features of images seen before; any number of threads may ask it at
/// the same time.
#[derive(Clone, Debug)]
pub struct Model(tiny_vlm_runtime::Model);

impl Model {
    /// The model that this library carries.
    #[cfg(feature = "embedded-model")]
    pub fn embedded() -> Result<Self, Error> {
        Self::embedded_with(&LoadOptions::default())
    }

    /// The model that this library carries, loaded as described.
    #[cfg(feature = "embedded-model")]
    pub fn embedded_with(options: &LoadOptions) -> Result<Self, Error> {
        Self::from_source(&Self::embedded_source(), options)
    }

    /// The files of the model that this library carries.
    #[cfg(feature = "embedded-model")]
    pub fn embedded_source() -> Source {
        use tiny_vlm_nano::{CONFIG, MODEL, TOKENIZER};
        Source::bytes(CONFIG, TOKENIZER, MODEL)
    }

    /// Loads the model in a folder: `config.json`, the tokenizer, the weights.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        tiny_vlm_runtime::Model::open(folder).map(Self)
    }

    /// Loads the model in a folder as described.
    pub fn open_with(folder: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, Error> {
        tiny_vlm_runtime::Model::open_with(folder, options).map(Self)
    }

    /// Loads a model from wherever its files are.
    pub fn from_source(source: &Source, options: &LoadOptions) -> Result<Self, Error> {
        tiny_vlm_runtime::Model::from_source(source, options).map(Self)
    }

    /// A model of a family that was loaded elsewhere, perhaps one that this project does not know.
    pub fn from_family(family: Arc<dyn Family>, options: &LoadOptions) -> Self {
        Self(tiny_vlm_runtime::Model::from_family(family, options))
    }
}

impl Deref for Model {
    type Target = tiny_vlm_runtime::Model;

    fn deref(&self) -> &tiny_vlm_runtime::Model {
        &self.0
    }
}

//! The model that a command works with.

use tiny_vlm::{ImageModel, LoadOptions, Model, Source};

use crate::{args::Args, failure::Failure};

/// Loads the model of `--model`, or the embedded one.
pub(crate) fn load(args: &Args, options: &LoadOptions) -> Result<Model, Failure> {
    match &args.model {
        Some(model) => Model::open_with(model, options).map_err(Failure::from),
        None => embedded(options),
    }
}

/// The files of the model of `--model`, or of the embedded one.
pub(crate) fn source(args: &Args) -> Result<Source, Failure> {
    match &args.model {
        Some(folder) => Ok(Source::folder(folder)),
        None => embedded_source(),
    }
}

#[cfg(feature = "embedded-model")]
fn embedded_source() -> Result<Source, Failure> {
    Ok(Model::embedded_source())
}

#[cfg(not(feature = "embedded-model"))]
fn embedded_source() -> Result<Source, Failure> {
    Err(Failure::usage("no-embedded-model", &[]))
}

/// Loads the image model of `--model`; there is none embedded.
pub(crate) fn load_images(args: &Args, options: &LoadOptions) -> Result<ImageModel, Failure> {
    let command = [("command", "--model"), ("name", "DIR")];
    let model = args.model.as_ref().ok_or_else(|| Failure::usage("argument-missing", &command))?;
    ImageModel::open_with(model, options).map_err(Failure::from)
}

#[cfg(feature = "embedded-model")]
fn embedded(options: &LoadOptions) -> Result<Model, Failure> {
    Model::embedded_with(options).map_err(Failure::from)
}

#[cfg(not(feature = "embedded-model"))]
fn embedded(_options: &LoadOptions) -> Result<Model, Failure> {
    Err(Failure::usage("no-embedded-model", &[]))
}

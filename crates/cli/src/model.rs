//! The model that a command works with.

use std::path::{Path, PathBuf};

use tiny_vlm::{ImageModel, LoadOptions, Model, Source};

use crate::{
    args::Args,
    failure::Failure,
    hub::{Cache, Repo},
};

/// Loads the model of `--model`, or the embedded one.
pub(crate) fn load(args: &Args, options: &LoadOptions) -> Result<Model, Failure> {
    match &args.model {
        Some(model) => Model::open_with(folder(model)?, options).map_err(Failure::from),
        None => embedded(options),
    }
}

/// The files of the model of `--model`, or of the embedded one.
pub(crate) fn source(args: &Args) -> Result<Source, Failure> {
    match &args.model {
        Some(model) => Ok(Source::folder(folder(model)?)),
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

/// A model of either kind.
pub(crate) enum Loaded {
    /// One that answers.
    Model(Model),
    /// One that takes an image and no words.
    Images(ImageModel),
}

/// Loads the model of `--model`, of whichever kind it is, or the embedded one.
pub(crate) fn load_any(args: &Args, options: &LoadOptions) -> Result<Loaded, Failure> {
    let failure = match load(args, options) {
        Ok(model) => return Ok(Loaded::Model(model)),
        Err(failure) => failure,
    };
    if args.model.is_none() || !["model-unknown", "model-config"].contains(&failure.code) {
        return Err(failure);
    }
    match load_images(args, options) {
        Ok(model) => Ok(Loaded::Images(model)),
        // What neither kind knows is told of with the models that answer.
        Err(other) if other.code == "model-unknown" => Err(failure),
        Err(other) => Err(other),
    }
}

/// Loads the image model of `--model`; there is none embedded.
pub(crate) fn load_images(args: &Args, options: &LoadOptions) -> Result<ImageModel, Failure> {
    let command = [("command", "--model"), ("name", "DIR")];
    let model = args.model.as_ref().ok_or_else(|| Failure::usage("argument-missing", &command))?;
    ImageModel::open_with(folder(model)?, options).map_err(Failure::from)
}

/// The folder of a model: the one of this name, or that of a model of the hub which was pulled before. Nothing is
/// fetched here.
pub(crate) fn folder(model: &Path) -> Result<PathBuf, Failure> {
    let name = model.to_str().filter(|_| !model.exists());
    let Some((repo, revision)) = name.and_then(Repo::parse_with_revision) else {
        return Ok(model.to_owned());
    };
    let found = Cache::find().and_then(|cache| cache.snapshot(&repo, revision));
    found.ok_or_else(|| {
        let repo = repo.to_string();
        let pull = if revision == "main" { repo.clone() } else { format!("{repo} --revision {revision}") };
        Failure::input("model-not-pulled", &[("name", &repo), ("pull", &pull)])
    })
}

#[cfg(feature = "embedded-model")]
fn embedded(options: &LoadOptions) -> Result<Model, Failure> {
    Model::embedded_with(options).map_err(Failure::from)
}

#[cfg(not(feature = "embedded-model"))]
fn embedded(_options: &LoadOptions) -> Result<Model, Failure> {
    Err(Failure::usage("no-embedded-model", &[]))
}

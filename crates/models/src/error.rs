//! Why a model cannot be loaded, or cannot do what it is asked to.

use std::path::PathBuf;

use tiny_vlm_decoder::DecoderError;
use tiny_vlm_image::ImageError;
use tiny_vlm_layers::LayerError;
use tiny_vlm_tensor::{Stopped, TensorError};
use tiny_vlm_text::TextError;
use tiny_vlm_vision::VisionError;

/// What can be wrong with a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file of the checkpoint folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration file is not what its family expects.
    #[error("{file}: {detail}")]
    Config {
        /// Name of the file within the folder.
        file: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A kind of model that is not known here.
    #[error("unknown kind of model {name:?} (supported: {})", known.join(", "))]
    Unknown {
        /// The `model_type` of its configuration.
        name: String,
        /// The kinds that are known.
        known: Vec<&'static str>,
    },
    /// The weights are missing, misshapen, or contradict their file's header.
    #[error(transparent)]
    Weights(Box<dyn std::error::Error + Send + Sync>),
    /// The tokenizer's files are wrong.
    #[error(transparent)]
    Tokenizer(#[from] TextError),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No choice of precisions is as small, or as exact, as was asked for.
    #[error(transparent)]
    Plan(#[from] tiny_vlm_quant::QuantError),
    /// The family does not read print.
    #[error("this model does not read print")]
    NoReader,
    /// The model has no classifier.
    #[error("this model knows no classes")]
    NoClasses,
    /// The family does not say where things are.
    #[error("this model does not locate things")]
    NoDetector,
    /// A task of the family that takes no particulars was given some.
    #[error("{token} must be the whole question")]
    TaskAlone {
        /// What asks for the task.
        token: &'static str,
    },
    /// There is no memory for what the work needs.
    #[error("{0}")]
    Memory(String),
    /// The work was cancelled, or its deadline passed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A stage refused what another gave it: a mistake in this program.
    #[error("{stage}: {source}")]
    Stage {
        /// Which stage.
        stage: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ModelError {
    /// A stable name for this case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "model-read",
            Self::Config { .. } => "model-config",
            Self::Unknown { .. } => "model-unknown",
            Self::Weights(_) => "model-weights",
            Self::Tokenizer(_) => "model-tokenizer",
            Self::Write { .. } => "model-write",
            Self::Plan(_) => "model-plan",
            Self::NoReader => "model-no-reader",
            Self::NoClasses => "model-no-classes",
            Self::NoDetector => "model-no-detector",
            Self::TaskAlone { .. } => "task-alone",
            Self::Memory(_) => "memory",
            Self::Stopped(Stopped::Cancelled) => "cancelled",
            Self::Stopped(Stopped::Deadline) => "deadline",
            Self::Stage { .. } => "fault",
        }
    }

    /// A mistake between stages.
    pub fn stage(stage: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Stage { stage, source: source.into() }
    }

    /// A configuration that is not what its family expects.
    pub fn config(file: &'static str, detail: impl Into<String>) -> Self {
        Self::Config { file, detail: detail.into() }
    }
}

impl From<VisionError> for ModelError {
    fn from(error: VisionError) -> Self {
        match error {
            VisionError::Stopped(stopped) | VisionError::Image(ImageError::Stopped(stopped)) => {
                Self::Stopped(stopped)
            }
            VisionError::Config(detail) => Self::config("config.json", detail),
            VisionError::Image(error @ ImageError::Memory { .. }) => Self::Memory(error.to_string()),
            VisionError::Layer(error) => Self::from_layer("vision", error),
            error => Self::stage("vision", error),
        }
    }
}

impl From<DecoderError> for ModelError {
    fn from(error: DecoderError) -> Self {
        match error {
            DecoderError::Config(detail) => Self::config("config.json", detail),
            DecoderError::Layer(error) => Self::from_layer("decoder", error),
            error => Self::stage("decoder", error),
        }
    }
}

impl ModelError {
    /// What a layer of a stage says.
    pub(crate) fn from_layer(stage: &'static str, error: LayerError) -> Self {
        match error {
            LayerError::Stopped(stopped) => Self::Stopped(stopped),
            LayerError::Memory(error) | LayerError::Tensor(TensorError::Memory(error)) => {
                Self::Memory(error.to_string())
            }
            error => Self::stage(stage, error),
        }
    }
}

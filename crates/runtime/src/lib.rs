//! Loaded models and their sessions: generation, caches, deadlines, telemetry.
//!
//! A [`Model`] is loaded once and shared: clones are cheap, and any thread may ask it. A [`Session`] is a conversation
//! about images; its [`Stream`] gives an answer piece by piece, and can be cancelled, bounded in time and reproduced
//! from a seed. Every [`Error`] has a kind and a stable code, so that words can be made at the door.
//!
//! An [`ImageModel`] takes an image and no words: it says which class the image is of, or makes a vector of it.
//!
//! ```no_run
//! use tiny_vlm_image::Image;
//! use tiny_vlm_runtime::Model;
//!
//! let model = Model::open("path/to/a/model")?;
//! let answer = model.ask(&Image::open("sign.png")?, "What does the sign say?")?;
//! println!("{} ({} tokens)", answer.text, answer.usage.completion_tokens);
//! # Ok::<(), tiny_vlm_runtime::Error>(())
//! ```
#![forbid(unsafe_code)]

mod answer;
mod beams;
mod constrain;
mod content_hash;
mod decoder_timer;
mod diagnose;
mod error;
mod feature_cache;
mod image_model;
mod model;
mod options;
mod prompt;
mod question;
mod session;
mod stop_strings;
mod stream;
mod system;
mod workspaces;

pub use answer::{Answer, FinishReason, Note, Reading, Timings, Usage};
pub use decoder_timer::DecoderTimer;
pub use diagnose::Drift;
pub use error::{Error, ErrorKind};
pub use feature_cache::CacheStats;
pub use image_model::{Class, Classification, Embedding, ImageModel};
pub use model::Model;
pub use options::{LoadOptions, RequestOptions};
pub use prompt::Prompt;
pub use session::Session;
pub use stream::Stream;
pub use system::{Kernel, System};
pub use tiny_vlm_models::{
    Budget, CachePrecision, Detail, Family, ImageCost, ImageFamily, ImageModelInfo, InspectedTensor,
    Inspection, Lang, Line, LoadError, ModelError, ModelInfo, Precision, Profile, QuantizeOptions, Quantized,
    QuantizedMatrix, Region, RegionShape, RequestShape, Source, Target, Thing, UnknownLang, WeightFormat,
    inspect, quantize,
};
pub use tiny_vlm_tensor::{Progress, Silent, Stop};
#[cfg(feature = "grammar")]
pub use tiny_vlm_text::Grammar;

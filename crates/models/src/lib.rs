//! Model families and their registry.
//!
//! A [`Family`] is a loaded model as the runtime sees it: it looks at images, puts prompts together and gives scores to
//! tokens. Each family is a directory in here that reads like its paper, and one line of the [`registry`](open), which
//! goes by the `model_type` of a checkpoint's `config.json`. An [`ImageFamily`] takes an image and no words: it makes a
//! vector of it, or says which class it is of. Those have a [registry of their own](open_images), which also goes by the
//! `architecture` that `timm` writes.
//!
//! ```
//! use tiny_vlm_models::{ModelError, ModelOptions, Source, load};
//!
//! let source = Source::bytes(r#"{"model_type": "abacus"}"#, b"".as_slice(), b"".as_slice());
//! let Err(error) = load(&source, &ModelOptions::default()) else { panic!("there is no such family") };
//! assert_eq!(error.code(), "model-unknown");
//! ```
#![forbid(unsafe_code)]

mod chat;
mod classifier;
mod error;
mod family;
mod fastvit;
mod fastvlm;
mod features;
mod florence2;
mod generation;
mod gguf;
mod image_family;
mod inspect;
mod lang;
mod nano;
mod options;
mod placed;
mod prompt;
mod quantize;
mod registry;
mod remembering;
mod resnet;
mod sensitivity;
mod smolvlm;
mod source;
mod squares;
mod timm;
mod weigh;

pub use error::ModelError;
pub use family::{Family, ImageCost, ModelInfo, Observe, Sequence, Step};
pub use features::{Features, Line, Region, RegionShape, Thing};
pub use generation::Generation;
pub use image_family::{ImageFamily, ImageModelInfo};
pub use inspect::{InspectedTensor, Inspection, inspect};
pub use lang::{Lang, UnknownLang};
pub use options::{Detail, ModelOptions, Precision, Profile, RequestShape, UnknownPrecision};
pub use prompt::{PreparedPrompt, PromptParts, Special, Task, Turn};
pub use quantize::{QuantizeOptions, Quantized, QuantizedMatrix, Target, quantize};
pub use registry::{known, known_images, load, load_images, open, open_images};
pub use source::Source;
pub use tiny_vlm_decoder::{CachePrecision, sampling::EarlyStopping};
pub use tiny_vlm_quant::{Budget, Precision as WeightFormat};
pub use tiny_vlm_weights::LoadError;

//! Small vision-language models that run anywhere: an image and a question in, text out.
//!
//! The model that this library carries answers at once, offline; a checkpoint from elsewhere is
//! [opened](Model::open) from its folder.
//!
//! ```
//! # #[cfg(feature = "embedded-model")]
//! # fn main() -> Result<(), tiny_vlm::Error> {
//! use tiny_vlm::{Image, Model, Prompt, RequestOptions};
//!
//! let model = Model::embedded()?;
//! # let red = [200, 30, 30].repeat(64 * 64);
//! let image = Image::from_rgb8(64, 64, 64 * 3, &red)?; // or Image::open("sign.png")?
//! let answer = model.ask(&image, "What is this?")?;
//! println!("{}", answer.text);
//!
//! // Or a conversation, piece by piece:
//! let mut session = model.session();
//! let prompt = Prompt::new().image(&image).text("What does it say?");
//! for piece in session.stream(prompt, &RequestOptions::default())? {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "embedded-model"))]
//! # fn main() {}
//! ```
//!
//! A classifier such as ResNet-50 says which class an image is of, or makes a vector of it:
//!
//! ```no_run
//! use tiny_vlm::{Image, ImageModel};
//!
//! let model = ImageModel::open("path/to/resnet-50")?;
//! let image = Image::open("cat.jpg")?;
//! for class in model.classify(&image)?.top(5) {
//!     println!("{:5.1} % {}", 100.0 * class.probability, class.label);
//! }
//! assert_eq!(model.embed(&image)?.values.len(), model.info().features);
//! # Ok::<(), tiny_vlm::Error>(())
//! ```
//!
//! # Features
//!
//! All are default. `embedded-model` carries the model, some 7 MB, and adds `Model::embedded`; `threads` works on more
//! than the calling thread; `mmap` maps files of weights instead of reading them; `grammar` keeps answers to a JSON
//! Schema, a regular expression or a grammar (`RequestOptions::grammar`).
#![forbid(unsafe_code)]

mod model;

pub use model::Model;
pub use tiny_vlm_image::{
    Alpha, Format, Header as ImageHeader, Image, ImageError, Limits as ImageLimits, Options as ImageOptions,
};
#[cfg(feature = "grammar")]
pub use tiny_vlm_runtime::Grammar;
pub use tiny_vlm_runtime::{
    Answer, Budget, CachePrecision, CacheStats, Class, Classification, DecoderTimer, Detail, Drift,
    Embedding, Error, ErrorKind, Family, FinishReason, ImageCost, ImageFamily, ImageModel, ImageModelInfo,
    InspectedTensor, Inspection, Kernel, Lang, Line, LoadError, LoadOptions, ModelError, ModelInfo, Note,
    Precision, Profile, Progress, Prompt, QuantizeOptions, Quantized, QuantizedMatrix, Reading, Region,
    RegionShape, RequestOptions, RequestShape, Session, Silent, Source, Stop, Stream, System, Target, Thing,
    Timings, UnknownLang, Usage, WeightFormat, inspect, quantize,
};

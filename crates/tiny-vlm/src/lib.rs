//! Small vision-language models that run anywhere: an image and a question in, text out.
//!
//! The model that this library carries answers at once, offline; a checkpoint from elsewhere is
//! [opened](Model::open) from its folder.
//!
//! ```
//! # use tiny_vlm::{Image, Model, Prompt, RequestOptions};
//! # fn main() -> Result<(), tiny_vlm::Error> {
//! # let Some(model) = tiny_vlm::example_model()? else { return Ok(()) };
//! # let image = Image::from_rgb8(2, 2, 6, &[200; 12])?;
//! // let model = Model::embedded()?;
//! // let image = Image::open("sign.png")?;
//! let answer = model.ask(&image, "What does the sign say?")?;
//! println!("{}", answer.text);
//!
//! // Or a conversation, piece by piece:
//! let mut session = model.session();
//! let prompt = Prompt::new().image(&image).text("What is in the picture?");
//! for piece in session.stream(prompt, &RequestOptions::default())? {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! All are default. `embedded-model` carries the model, some 7 MB, and adds `Model::embedded`; `threads` works on more
//! than the calling thread; `mmap` maps files of weights instead of reading them.
#![forbid(unsafe_code)]

mod model;

pub use model::Model;
pub use tiny_vlm_image::{
    Alpha, Format, Header as ImageHeader, Image, ImageError, Limits as ImageLimits, Options as ImageOptions,
};
pub use tiny_vlm_runtime::{
    Answer, CacheStats, Drift, Error, ErrorKind, Family, FinishReason, Kernel, Lang, Line, LoadOptions,
    ModelError, ModelInfo, Note, Precision, Profile, Progress, Prompt, Reading, RequestOptions, RequestShape,
    Session, Source, Stop, Stream, System, Thing, Timings, UnknownLang, Usage,
};

/// The embedded model where this build carries one: what the examples run on.
#[doc(hidden)]
pub fn example_model() -> Result<Option<Model>, Error> {
    #[cfg(feature = "embedded-model")]
    if Model::has_embedded() {
        return Model::embedded().map(Some);
    }
    Ok(None)
}

//! Decoder transformers, KV cache, sampling.
//!
//! A [`Decoder`] takes a ragged batch of [`Sequence`]s one [step](DecoderStage::step) further: the tokens that
//! enter may be a whole prompt or a single one, looked up or embedded by someone else. What a sequence has seen is
//! in its [`KvCache`], whose clones share their common past; [`CachePrecision`] says what its keys and values are
//! rounded to. [`sampling`] makes tokens of the logits. A [`Bart`] does the same looking at what its encoder made.
//!
//! ```no_run
//! # fn example(decoder: &dyn tiny_vlm_decoder::DecoderStage) -> Result<(), Box<dyn std::error::Error>> {
//! use tiny_vlm_decoder::{Input, Sequence, sampling::{Sampler, SamplingOptions}};
//! use tiny_vlm_tensor::{Tensor, Workspace};
//!
//! let workspace = Workspace::new(2);
//! let vocab = decoder.vocab();
//! let (mut cache, mut sampler) = (decoder.new_cache(), Sampler::new(SamplingOptions::default(), vocab)?);
//! let mut logits = Tensor::<f32, 2>::try_zeroed([1, vocab])?;
//! let mut entering = vec![1, 42, 7];
//! for _ in 0..20 {
//!     let mut batch = [Sequence::new(Input::Tokens(&entering), &mut cache)];
//!     decoder.step(&workspace.context(), &mut batch, logits.view_mut())?;
//!     entering = vec![sampler.choose(logits.data()).id];
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod bart;
mod batch;
mod config;
mod decoder;
mod error;
mod layer;
pub mod sampling;
mod stage;

pub use bart::{Bart, BartConfig};
pub use config::{DecoderConfig, Multipliers, Names};
pub use decoder::Decoder;
pub use error::DecoderError;
pub use stage::DecoderStage;
pub use tiny_vlm_layers::{BLOCK_TOKENS, CachePrecision, CacheShape, CrossMemory, Input, KvCache, Sequence};

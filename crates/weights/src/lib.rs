//! Where parameters come from: safetensors files, sharded folders, GGUF files, bytes in memory.
//!
//! [`Weights`] opens a checkpoint and knows its tensors by name. [`Params`] builds a model from it, and at the end tells
//! of *all* tensors that are missing, of another shape or type, or left over, so that a checkpoint that does not fit is
//! understood in one attempt.
//!
//! A GGUF file opens as any other, with its metadata ([`Weights::gguf`]); its tensors have names of their own, which
//! [`Weights::joined`] changes.
//!
//! [`Writer`] writes matrices packed, so that they are used where they lie when the file is mapped: then loading takes
//! no time. What a model asks of a checkpoint, a [`Watch`] sees.
//!
//! Files are not trusted: every length and offset is checked before it is used, headers are capped, and the shards of
//! an index can only be files beside it.
//!
//! ```
//! use tiny_vlm_quant::Precision;
//! use tiny_vlm_weights::{Params, Weights};
//!
//! let mut file = 61u64.to_le_bytes().to_vec();
//! file.extend(br#"{"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}    "#);
//! file.extend([1.0f32, 2.0].iter().flat_map(|v| v.to_le_bytes()));
//!
//! let weights = Weights::from_bytes(file.into())?;
//! let params = Params::new(&weights, Precision::F32);
//! let bias = params.root().vector("bias", 2);
//! assert_eq!(bias[..], [1.0, 2.0]);
//! assert!(params.finish().is_ok());
//! # Ok::<(), tiny_vlm_weights::WeightsError>(())
//! ```
#![forbid(unsafe_code)]

mod blocks;
mod dtype;
mod error;
mod gguf;
mod joined;
mod load_error;
mod packed;
mod params;
mod shard;
mod tensor_ref;
mod watch;
mod weights;
mod words;
mod writer;

pub use blocks::BlockFormat;
pub use dtype::Dtype;
pub use error::WeightsError;
pub use gguf::GgufValue;
pub use joined::Renamed;
pub use load_error::{LoadError, Misshapen, Missing, Mistyped};
pub use params::{Params, Scope, taps_outermost};
pub use tensor_ref::TensorRef;
pub use tiny_vlm_memory::SharedBytes;
pub use watch::{Use, Watch};
pub use weights::{TensorInfo, Weights};
pub use writer::Writer;

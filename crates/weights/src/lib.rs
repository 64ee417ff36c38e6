//! Where parameters come from: safetensors files, sharded folders, bytes in memory.
//!
//! [`Weights`] opens a checkpoint and knows its tensors by name. [`Params`] builds a model from it, and at the end tells
//! of *all* tensors that are missing, of another shape or type, or left over, so that a checkpoint that does not fit is
//! understood in one attempt.
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

mod dtype;
mod error;
mod load_error;
mod params;
mod shard;
mod tensor_ref;
mod weights;
mod words;

pub use dtype::Dtype;
pub use error::WeightsError;
pub use load_error::{LoadError, Misshapen, Missing, Mistyped};
pub use params::{Params, Scope};
pub use tensor_ref::TensorRef;
pub use weights::{TensorInfo, Weights};

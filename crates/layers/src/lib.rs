//! Network layers over packed weights: linear, convolution, attention, norms.
//!
//! A layer is loaded below a [`Scope`](tiny_vlm_weights::Scope) of a checkpoint and runs on views with what a
//! [`Context`](tiny_vlm_tensor::Context) lends it. Rows are tokens or pixels, columns are channels. What is named
//! `forward` writes its result, what is named `add` adds it to the residual stream; what is named `apply` returns it in
//! a [`ScratchTensor`].
//!
//! ```
//! use tiny_vlm_layers::Linear;
//! use tiny_vlm_quant::{Matrix, Precision};
//! use tiny_vlm_tensor::{Tensor, Workspace};
//!
//! let double = Linear::new(Matrix::from_f32(2, 2, &[2.0, 0.0, 0.0, 2.0], Precision::F32)?, None)?;
//! let x = Tensor::from_slice([1, 2], &[1.0, 5.0])?;
//! let mut y = Tensor::<f32, 2>::zeroed([1, 2]);
//! let workspace = Workspace::inline();
//! double.forward(&workspace.context(), x.view(), y.view_mut())?;
//! assert_eq!(y.data(), [2.0, 10.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod attend;
mod causal_attention;
mod channel_attention;
mod codebook;
mod conv2d;
mod cross_attention;
mod depthwise_conv2d;
mod encoder_block;
mod error;
mod gated_mlp;
mod group_conv2d;
mod kv_cache;
mod layer_norm;
mod linear;
mod mlp;
mod norm_rows;
mod pool;
#[cfg(test)]
mod random;
mod rms_norm;
mod rotary;
mod scratch_tensor;
mod self_attention;
mod sequence;
mod squeeze_excite;

pub use attend::Heads;
pub use causal_attention::{CausalAttention, Projections};
pub use channel_attention::ChannelAttention;
pub use codebook::Codebook;
pub use conv2d::Conv2d;
pub use cross_attention::{CrossAttention, CrossMemory, LayerMemory};
pub use depthwise_conv2d::DepthwiseConv2d;
pub use encoder_block::EncoderBlock;
pub use error::LayerError;
pub use gated_mlp::GatedMlp;
pub use group_conv2d::GroupConv2d;
pub use kv_cache::{BLOCK_TOKENS, CacheShape, KvCache};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mlp::Mlp;
pub use pool::mean_of_rows;
pub use rms_norm::RmsNorm;
pub use rotary::Rotary;
pub use scratch_tensor::ScratchTensor;
pub use self_attention::SelfAttention;
pub use sequence::{Input, Sequence};
pub use squeeze_excite::SqueezeExcite;
pub use tiny_vlm_kernels::{Activation, CachePrecision, ConvShape, Epilogue, Residual};
pub use tiny_vlm_quant::{Matrix, Precision};

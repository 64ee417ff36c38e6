//! Compute kernels and packed weight formats.
//!
//! Kernels take slices and a [`Level`](tiny_vlm_simd::Level), and neither allocate nor spawn: operators own scratch
//! and threads. An operator cuts its output with `tiny_vlm_tensor::split` and lets each task
//! compute its part, an [`OutMut`].
//!
//! - [`gemm_f32`], [`gemm_bf16`], [`gemm_s8`], [`gemm_widened`] from f16, bf16 or s8 and, for weights of four and two
//!   bits, [`gemm_grouped`]: activations by packed weights ([`Layout`]), for one row or many, with an [`Epilogue`] of
//!   bias, activation, gate, layer scale and residual.
//! - [`gemm_f32_sparse`] and [`gemm_s8_sparse`]: the same without the 16×16 blocks of weights that are zero ([`Sparse`]);
//!   for more than a few rows of activations, which then come in [`Panels`], there are [`gemm_f32_sparse_panels`] and
//!   [`gemm_s8_sparse_panels`].
//! - [`ConvShape`] and strips: dense convolution in NHWC, as the same products over windows in place.
//! - [`depthwise`] convolution and [`pool`]ing; [`softmax`], [`norm`], [`rotate`], [`attend`], activations.
//! - [`Lines`] of queries over what a cache keeps, in [`KvBlock`]s of f32, bf16 or int8.
//!
//! **Same bits.** An output is summed in the order of K whatever the tile, the rows beside it and the thread it
//! falls to. Every level whose multiply-add is fused gives the same bits in f32, and every level the same
//! products for the same bytes. What differs is the number of bits that activations are quantized to: 7 where the
//! dot product is AVX2's or AVX-512's `maddubs`, 8 elsewhere.
//!
//! A product is named `{arch}-{lhs}{rhs}{out}-{rows}x{channels of a tile}`: `x86_64-avx512vnni-u8s8f32-12x32`.
//!
//! ```
//! use tiny_vlm_kernels::{Epilogue, Layout, Packed, gemm_f32, pack};
//! use tiny_vlm_simd::Level;
//! use tiny_vlm_tensor::Tensor;
//!
//! let (m, n, k) = (3, 5, 4);
//! let x = Tensor::from_fn([m, k], |_| 0.5_f32);
//! let mut packed = vec![0.0; Layout::F32.len(n, k).unwrap()];
//! pack(&vec![2.0; n * k], n, k, k, &mut packed);
//! let weights = Packed::new(&packed, n, k).unwrap();
//! let mut out = Tensor::<f32, 2>::zeroed([m, n]);
//! gemm_f32(Level::detect(), &x.view().into(), weights, &Epilogue::bias(&[1.0; 5]), out.view_mut().into());
//! assert_eq!(out[[2, 4]], 5.0);
//! ```

mod attention;
mod conv;
mod depthwise;
mod elementwise;
mod epilogue;
mod grouped;
mod kv_attention;
mod kv_block;
mod layout;
mod lhs;
mod math;
mod output;
mod panels;
mod product;
mod quantize;
#[cfg(test)]
#[path = "../tests/random/mod.rs"]
mod random;
mod rotary;
mod rows;
mod sparse;
#[cfg(test)]
mod testing;

pub use attention::{Head, QUERY_BLOCK, attend, attend_bf16};
pub use conv::{ConvShape, StripSource, copy_strip, gather_windows, quantize_strip};
pub use depthwise::{DepthwiseInput, Pool, depthwise, pool};
pub use elementwise::{activate, add_assign, to_bf16};
pub use epilogue::{Activation, Epilogue, Residual};
pub use grouped::{Grouped, pack_codes};
pub use kv_attention::Lines;
pub use kv_block::{CachePrecision, KvBlock, KvShape};
pub use layout::{Element, Group, Layout, PANEL, Packed, Single, pack, pack_transposed};
pub use lhs::Lhs;
pub use output::OutMut;
pub use panels::{Panels, pack_rows};
pub use product::{
    Quantized, Widen, bf16_kernel, f32_kernel, gemm_bf16, gemm_f32, gemm_f32_sparse, gemm_f32_sparse_panels,
    gemm_grouped, gemm_s8, gemm_s8_sparse, gemm_s8_sparse_panels, gemm_widened, grouped_kernel, s8_kernel,
    sparse_f32_kernel, sparse_s8_kernel, widened_kernel,
};
pub use quantize::{quantize_rows, quantized_stride};
pub use rotary::{Pairing, rotary_angles, rotate};
pub use rows::{Norm, NormKind, norm, softmax};
pub use sparse::{BLOCK, Pattern, Sparse, pack_blocks};

//! Compute kernels and packed weight formats.
//!
//! Kernels take slices and a [`Level`](tiny_vlm_simd::Level), and neither allocate nor spawn: operators own scratch
//! and threads. An operator cuts its output into [`Tiles`] and lets each thread compute the rectangles it claims.
//!
//! - [`gemm_f32`], [`gemm_bf16`], [`gemm_f16`], [`gemm_s8`]: activations by packed weights ([`Layout`]), for one row
//!   or many, with an [`Epilogue`] of bias, activation, gate, layer scale and residual.
//! - [`ConvShape`] and strips: dense convolution in NHWC, as the same products over windows in place.
//! - [`depthwise`] convolution and [`pool`]ing; [`softmax`], [`norm`], [`rotate`], [`attend`], activations.
//!
//! **Same bits.** An output is summed in the order of K whatever the tile, the rows beside it and the thread it
//! falls to. Every level whose multiply-add is fused gives the same bits in f32, and every level the same
//! products for the same bytes. What differs is the number of bits that activations are quantized to: 7 where the
//! dot product is AVX2's or AVX-512's `maddubs`, 8 elsewhere.
//!
//! A product is named `{arch}-{lhs}{rhs}{out}-{rows}x{channels of a tile}`: `x86_64-avx512vnni-u8s8f32-12x32`.
//!
//! ```
//! use tiny_vlm_kernels::{Epilogue, Layout, Lhs, OutMut, Packed, gemm_f32, pack};
//! use tiny_vlm_simd::Level;
//!
//! let (m, n, k) = (3, 5, 4);
//! let (x, w) = (vec![0.5_f32; m * k], vec![2.0_f32; n * k]);
//! let mut packed = vec![0.0; Layout::F32.len(n, k).unwrap()];
//! pack(&w, n, k, k, &mut packed);
//! let weights = Packed::new(&packed, n, k).unwrap();
//! let mut out = vec![0.0; m * n];
//! let bias = vec![1.0; n];
//! gemm_f32(Level::detect(), &Lhs::matrix(&x, m, k, k), weights, &Epilogue::bias(&bias), OutMut::new(&mut out, m, n, n));
//! assert_eq!(out, vec![5.0; m * n]);
//! ```

mod attention;
mod conv;
mod depthwise;
mod elementwise;
mod epilogue;
mod layout;
mod lhs;
mod math;
mod output;
mod product;
mod quantize;
mod rotary;
mod rows;
#[cfg(test)]
mod testing;

pub use attention::{Head, QUERY_BLOCK, attend};
pub use conv::{ConvShape, StripSource, copy_strip, gather_windows, quantize_strip};
pub use depthwise::{DepthwiseInput, Pool, depthwise, pool};
pub use elementwise::{activate, add_assign, to_bf16};
pub use epilogue::{Activation, Epilogue, Residual, Rows};
pub use layout::{Element, Layout, PANEL, Packed, pack, pack_transposed};
pub use lhs::Lhs;
pub use output::{OutMut, Tiles};
pub use product::{
    Quantized, bf16_kernel, f16_kernel, f32_kernel, gemm_bf16, gemm_f16, gemm_f32, gemm_s8, s8_kernel,
};
pub use quantize::quantize_rows;
pub use rotary::{Pairing, rotary_angles, rotate};
pub use rows::{Norm, NormKind, norm, softmax};

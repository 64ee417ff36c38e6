//! Weight matrices in any precision, quantizers, error measures and a precision planner.
//!
//! A [`Matrix`] holds the weights of a linear layer or a dense convolution, one row an output channel, packed once in
//! its [`Precision`]. [`matmul`] and [`conv2d`] take any of them, choose the kernel, share the output out over the
//! context's executor and take short-lived buffers from its scratch. [`Prepared`] activations serve several
//! matrices in a row.
//!
//! Results do not depend on the number of threads, nor does a row's on the rows beside it.
//!
//! A matrix may leave out the 16×16 blocks of its weights that are zero ([`Precision::SPARSE`]); [`prune_blocks`] makes
//! such blocks.
//!
//! A matrix is written as it is packed ([`Matrix::to_packed`]) and used where it lies in a mapped file
//! ([`Matrix::from_packed`]).
//!
//! Weights are rounded to the nearest ([`Matrix::from_f32`]) or in sight of sample activations ([`Hessian`],
//! [`Matrix::calibrated`]). What that loses is measured ([`compare_weights`], [`compare_products`]), and a [`Plan`] gives
//! each layer the precision with which all of them fit a budget.
//!
//! ```
//! use tiny_vlm_quant::{Epilogue, Group, Hessian, Matrix, Precision, compare_products, matmul};
//! use tiny_vlm_quant::{Tensor, Workspace};
//!
//! let (n, k) = (8, 64);
//! let weights: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.7).sin()).collect();
//! let x = Tensor::from_fn([50, k], |[row, i]| ((row * 31 + i * 17) % 23) as f32 - 11.0);
//! let workspace = Workspace::inline();
//! let ctx = workspace.context();
//!
//! let int8 = Matrix::from_f32(n, k, &weights, Precision::Int8)?;
//! let mut y = Tensor::<f32, 2>::zeroed([50, n]);
//! matmul(&ctx, x.view(), &int8, &Epilogue::default(), y.view_mut())?;
//!
//! let exact = Matrix::from_f32(n, k, &weights, Precision::F32)?;
//! assert!(compare_products(&ctx, x.view(), &exact, &int8)?.snr > 30.0);
//!
//! let mut hessian = Hessian::new(k)?;
//! hessian.add(x.view())?;
//! let calibration = hessian.calibrate(Hessian::DAMPING)?;
//! let int4 = Precision::Int4(Group::Of32);
//! let nearest = Matrix::from_f32(n, k, &weights, int4)?;
//! let calibrated = Matrix::calibrated(n, k, &weights, int4, &calibration)?;
//! let noise = |matrix| compare_products(&ctx, x.view(), &exact, matrix).map(|difference| difference.noise());
//! assert!(noise(&calibrated)? < noise(&nearest)?);
//! # Ok::<(), tiny_vlm_quant::QuantError>(())
//! ```
#![forbid(unsafe_code)]

mod cholesky;
mod conv;
mod error;
mod feed_forward;
mod gptq;
mod group_scale;
mod hessian;
mod info;
mod layer;
mod matmul;
mod matrix;
mod measure;
mod packed;
mod planner;
mod precision;
mod quantizer;
#[cfg(test)]
#[path = "../tests/random/mod.rs"]
mod random;
mod sparse;

pub use conv::conv2d;
pub use error::QuantError;
pub use feed_forward::{Map, feed_forward};
pub use gptq::{calibrate_groups, calibrate_rows};
pub use hessian::{Calibration, Hessian};
pub use info::{KernelName, kernel_names};
pub use layer::{Candidate, Layer, Sensitivity};
pub use matmul::{Prepared, matmul, matmul_each};
pub use matrix::Matrix;
pub use measure::{Difference, compare, compare_products, compare_weights, divergence};
pub use planner::{Budget, Plan};
pub use precision::Precision;
pub use quantizer::{Bits, GroupQuantized, Quantized, quantize_groups, quantize_rows};
pub use sparse::prune_blocks;
pub use tiny_vlm_kernels::{Activation, ConvShape, Epilogue, Group, Layout, Residual};
pub use tiny_vlm_tensor::{Context, Tensor, View, ViewMut, Workspace};

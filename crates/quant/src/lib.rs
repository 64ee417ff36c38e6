//! Weight matrices in any precision, quantizers and error measures.
//!
//! A [`Matrix`] holds the weights of a linear layer or a dense convolution, one row an output channel, packed once in
//! its [`Precision`]. [`matmul`] and [`conv2d`] take any of them, choose the kernel, share the output out over the
//! context's executor and take short-lived buffers from its scratch. [`Prepared`] activations serve several
//! matrices in a row.
//!
//! Results do not depend on the number of threads, nor does a row's on the rows beside it.
//!
//! ```
//! use tiny_vlm_kernels::Epilogue;
//! use tiny_vlm_quant::{Matrix, Precision, matmul};
//! use tiny_vlm_tensor::{Tensor, Workspace};
//!
//! let weights = Matrix::from_f32(2, 3, &[1.0, 0.5, -0.5, 0.0, 1.0, 2.0], Precision::Int8)?;
//! let x = Tensor::from_fn([1, 3], |[_, i]| i as f32);
//! let mut y = Tensor::<f32, 2>::zeroed([1, 2]);
//! let workspace = Workspace::inline();
//! matmul(&workspace.context(), x.view(), &weights, &Epilogue::bias(&[10.0, 20.0]), y.view_mut())?;
//! assert!((y[[0, 0]] - 9.5).abs() < 0.05 && (y[[0, 1]] - 25.0).abs() < 0.05);
//! # Ok::<(), tiny_vlm_quant::QuantError>(())
//! ```
#![forbid(unsafe_code)]

mod cholesky;
mod conv;
mod error;
mod gptq;
mod hessian;
mod info;
mod lanes;
mod layer;
mod matmul;
mod matrix;
mod measure;
mod planner;
mod precision;
mod quantizer;

pub use conv::conv2d;
pub use error::QuantError;
pub use gptq::{calibrate_groups, calibrate_rows};
pub use hessian::{Calibration, Hessian};
pub use info::{KernelName, kernel_names};
pub use layer::{Candidate, Layer, Sensitivity};
pub use matmul::{Prepared, matmul, matmul_prepared};
pub use matrix::Matrix;
pub use measure::{Difference, compare, compare_products, compare_weights, divergence};
pub use planner::{Budget, Plan};
pub use precision::Precision;
pub use quantizer::{Bits, GroupQuantized, Quantized, quantize_groups, quantize_rows};
pub use tiny_vlm_kernels::{Activation, ConvShape, Epilogue, Group, Residual};

//! WebAssembly: 128-bit vectors, and the relaxed ones.

mod simd128;

pub use simd128::Simd128;

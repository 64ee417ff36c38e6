//! Which kernel each operator takes.

use half::f16;
use tiny_vlm_kernels::{
    Group, Layout, bf16_kernel, f32_kernel, grouped_kernel, s8_kernel, sparse_f32_kernel, sparse_s8_kernel,
    widened_kernel,
};
use tiny_vlm_simd::Level;

use crate::Precision;

/// A precision and the kernel that its matrices take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelName {
    /// The number format of the weights.
    pub precision: Precision,
    /// The operators that take the kernel.
    pub operators: &'static str,
    /// `{arch}-{lhs}{rhs}{out}-{tile}`
    pub kernel: String,
}

/// The kernels of a level, one for each precision: matrix-vector and matrix-matrix products and dense convolution
/// share one.
pub fn kernel_names(level: Level) -> Vec<KernelName> {
    let names = [
        (Precision::F32, f32_kernel(level)),
        (Precision::F16, widened_kernel::<f16>(level)),
        (Precision::Bf16, bf16_kernel(level)),
        (Precision::Int8, s8_kernel(level)),
        (Precision::Int4(Group::Of32), grouped_kernel(level, Layout::S4(Group::Of32))),
        (Precision::Int2(Group::Of32), grouped_kernel(level, Layout::S2(Group::Of32))),
        (Precision::F32Sparse, sparse_f32_kernel(level)),
        (Precision::Int8Sparse, sparse_s8_kernel(level)),
    ];
    names
        .into_iter()
        .map(|(precision, kernel)| KernelName { precision, operators: "matmul, conv2d", kernel })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_names_at_every_level() {
        for level in Level::available() {
            let names = kernel_names(level);
            assert_eq!(names.len(), 8);
            assert!(names.iter().all(|name| name.kernel.split('-').count() == 4), "{names:?}");
        }
    }
}

//! Products of f32: nothing is rounded.

use tiny_vlm_simd::Level;

use super::{Head, Products};
use crate::epilogue::Epilogue;
use crate::layout::{Packed, pack, pack_transposed};
use crate::lhs::Lhs;
use crate::output::OutMut;
use crate::product::gemm_f32;
use crate::rows::softmax_unscaled;

pub(super) struct F32;

impl Products for F32 {
    type Number = f32;
    const COPIES_QUERIES: bool = false;

    fn pack_keys(_: Level, head: &Head<'_>, packed: &mut [f32]) {
        pack(head.keys, head.counts[1], head.dim, head.strides[1], packed);
    }

    fn pack_values(_: Level, head: &Head<'_>, packed: &mut [f32]) {
        pack_transposed(head.values, head.value_dim, head.counts[1], head.strides[2], packed);
    }

    fn queries<'a>(_: Level, head: &Head<'a>, first: usize, rows: usize, _: &'a mut [f32]) -> Lhs<'a, f32> {
        Lhs::matrix(&head.queries[first * head.strides[0]..], rows, head.dim, head.strides[0])
    }

    fn exponentials(level: Level, row: &mut [f32], seen: usize, scale: f32) -> f32 {
        softmax_unscaled(level, &mut row[..seen], scale)
    }

    fn multiply(level: Level, lhs: &Lhs<'_, f32>, weights: Packed<'_, f32>, out: OutMut<'_>) {
        gemm_f32(level, lhs, weights, &Epilogue::default(), out);
    }
}

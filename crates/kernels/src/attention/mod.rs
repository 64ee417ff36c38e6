//! Attention of one head in f32: `softmax(scale · q·kᵀ) · v`.
//!
//! Keys and the transpose of the values are packed as weights are, so both products are [`gemm_f32`]. Queries
//! go in blocks of [`QUERY_BLOCK`] rows, whose scores stay in the second-level cache between the two products. What
//! a row's exponentials sum to is divided by at the end, from its few values.

use tiny_vlm_simd::Level;
use tiny_vlm_tensor::ViewMut;

use crate::epilogue::Epilogue;
use crate::layout::{Packed, pack, pack_transposed};
use crate::lhs::Lhs;
use crate::output::OutMut;
use crate::product::gemm_f32;
use crate::rows::softmax_unscaled;

/// Queries whose scores are held at a time.
pub const QUERY_BLOCK: usize = 48;

/// Queries, keys and values of one head: rows of a token's values, a stride apart.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Rows of queries, as many as the rectangle of the output that is computed.
    pub queries: &'a [f32],
    /// Rows of keys.
    pub keys: &'a [f32],
    /// Rows of values.
    pub values: &'a [f32],
    /// Elements between rows of queries, keys and values.
    pub strides: [usize; 3],
    /// How many queries and how many keys.
    pub counts: [usize; 2],
    /// Length of a query and of a key.
    pub dim: usize,
    /// Length of a value.
    pub value_dim: usize,
    /// Factor of the scores, usually `1 / √dim`.
    pub scale: f32,
    /// For a causal mask, how many keys the first query sees; each further one sees one more.
    pub causal: Option<usize>,
}

impl Head<'_> {
    /// Floats of scratch that [`attend`] needs.
    pub fn scratch(&self) -> usize {
        let [queries, keys] = self.counts;
        let padded = |n: usize| n.next_multiple_of(16);
        padded(keys) * self.dim
            + padded(self.value_dim) * keys
            + QUERY_BLOCK.min(queries) * score_stride(keys)
    }
}

/// Writes a head's attention to the rectangle: one row a query, `value_dim` columns.
///
/// # Panics
/// If the shapes do not fit one another or the scratch is too small.
pub fn attend(level: Level, head: &Head<'_>, scratch: &mut [f32], out: &mut [f32], out_stride: usize) {
    let [queries, keys] = head.counts;
    assert!(scratch.len() >= head.scratch(), "attention scratch of {} for {}", scratch.len(), head.scratch());
    if keys == 0 || queries == 0 {
        for row in out.chunks_mut(out_stride.max(1)).take(queries) {
            let n = row.len().min(head.value_dim);
            row[..n].fill(0.0);
        }
        return;
    }
    let stride = score_stride(keys);
    let (packed_keys, rest) = scratch.split_at_mut(keys.next_multiple_of(16) * head.dim);
    let (packed_values, rest) = rest.split_at_mut(head.value_dim.next_multiple_of(16) * keys);
    pack(head.keys, keys, head.dim, head.strides[1], packed_keys);
    pack_transposed(head.values, head.value_dim, keys, head.strides[2], packed_values);
    let packed_keys = Packed::new(packed_keys, keys, head.dim).expect("packed length");
    let packed_values = Packed::new(packed_values, head.value_dim, keys).expect("packed length");
    let mut factors = [0.0; QUERY_BLOCK];
    for first in (0..queries).step_by(QUERY_BLOCK) {
        let rows = (queries - first).min(QUERY_BLOCK);
        let seen = |row: usize| head.causal.map_or(keys, |n| (n + first + row).min(keys));
        let most = seen(rows - 1);
        let scores = &mut rest[..rows * stride];
        let q = Lhs::matrix(&head.queries[first * head.strides[0]..], rows, head.dim, head.strides[0]);
        let plain = Epilogue::default();
        gemm_f32(level, &q, packed_keys, &plain, whole(scores, rows, most, stride));
        if head.causal.is_none() {
            softmax_unscaled(level, scores, keys, stride, head.scale, &mut factors[..rows]);
        } else {
            for (r, (row, factor)) in scores.chunks_exact_mut(stride).zip(&mut factors).enumerate() {
                let n = seen(r);
                softmax_unscaled(level, row, n, stride, head.scale, std::slice::from_mut(factor));
                row[n..most].fill(0.0);
            }
        }
        // Keys that no query of this block sees stay out of the sum: their weights are zero, whatever their values.
        scores.chunks_exact_mut(stride).for_each(|row| row[most..keys].fill(0.0));
        let weights = Lhs::matrix(scores, rows, keys, stride);
        let to = &mut out[first * out_stride..];
        gemm_f32(level, &weights, packed_values, &plain, whole(to, rows, head.value_dim, out_stride));
        // There are fewer values than keys to be scaled.
        for (row, factor) in to.chunks_mut(out_stride).zip(&factors[..rows]) {
            row[..head.value_dim].iter_mut().for_each(|x| *x *= factor);
        }
    }
}

/// Elements between the scores of two queries: an odd number of cache lines, so that the rows of a tile do not all fall
/// into the same sets of the first-level cache.
fn score_stride(keys: usize) -> usize {
    (keys.div_ceil(16) | 1) * 16
}

fn whole(data: &mut [f32], rows: usize, columns: usize, stride: usize) -> OutMut<'_> {
    ViewMut::with_strides([rows, columns], [stride, 1], data).expect("rows fit the slice").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn attention_follows_its_definition() {
        for level in Level::available() {
            for (queries, keys, dim, value_dim) in
                [(1, 1, 1, 1), (3, 17, 32, 32), (50, 49, 33, 7), (100, 100, 64, 64), (2, 300, 16, 48)]
            {
                for causal in [None, Some(1), Some(keys / 2 + 1)] {
                    let (q, k, v) =
                        (random(queries * dim, 1), random(keys * dim, 2), random(keys * value_dim, 3));
                    let head = Head {
                        queries: &q,
                        keys: &k,
                        values: &v,
                        strides: [dim, dim, value_dim],
                        counts: [queries, keys],
                        dim,
                        value_dim,
                        scale: 0.7,
                        causal,
                    };
                    let mut scratch = vec![f32::NAN; head.scratch()];
                    let mut out = vec![0.0; queries * (value_dim + 1)];
                    attend(level, &head, &mut scratch, &mut out, value_dim + 1);
                    for i in 0..queries {
                        let n = causal.map_or(keys, |n| (n + i).min(keys));
                        let score = |j: usize| {
                            let dot = |d: usize| f64::from(q[i * dim + d]) * f64::from(k[j * dim + d]);
                            (0.7 * (0..dim).map(dot).sum::<f64>()).exp()
                        };
                        let scores: Vec<f64> = (0..n).map(score).collect();
                        let sum: f64 = scores.iter().sum();
                        for d in 0..value_dim {
                            let expected: f64 =
                                (0..n).map(|j| scores[j] / sum * f64::from(v[j * value_dim + d])).sum();
                            let got = f64::from(out[i * (value_dim + 1) + d]);
                            assert!(
                                (got - expected).abs() < 2e-6,
                                "{level} {queries}x{keys}x{dim} {causal:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

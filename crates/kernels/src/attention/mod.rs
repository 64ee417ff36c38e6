//! Attention of one head: `softmax(scale · q·kᵀ) · v`, with products of f32 or of bf16.
//!
//! Keys and the transpose of the values are packed as weights are, so both products are those of linear maps. Queries go
//! in blocks of [`QUERY_BLOCK`] rows, whose scores stay in the second-level cache between the two products. What a
//! row's exponentials sum to is divided by at the end, from its few values.
//!
//! In bf16, queries, keys, values and exponentials are rounded once each; sums, the softmax and what it divides by are f32.

mod bf16;
mod f32;

use bytemuck::Pod;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::ViewMut;

use crate::layout::{Element, Packed};
use crate::lhs::Lhs;
use crate::output::OutMut;

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
        self.parts::<f32::F32>().into_iter().sum()
    }

    /// Floats of scratch that [`attend_bf16`] needs.
    pub fn scratch_bf16(&self) -> usize {
        self.parts::<bf16::Bf16>().into_iter().sum()
    }

    /// Floats of packed keys, packed values, a block of queries and its scores.
    fn parts<P: Products>(&self) -> [usize; 4] {
        let [queries, keys] = self.counts;
        let rows = QUERY_BLOCK.min(queries);
        let group = P::Number::LAYOUT.group();
        let even = |n: usize| n.next_multiple_of(group);
        let padded = |n: usize| n.next_multiple_of(16);
        let numbers = [
            padded(keys) * even(self.dim),
            padded(self.value_dim) * even(keys),
            if P::COPIES_QUERIES { rows * even(self.dim) } else { 0 },
        ];
        let [keys_part, values_part, queries_part] =
            numbers.map(|n| (n * size_of::<P::Number>()).div_ceil(size_of::<f32>()));
        [keys_part, values_part, queries_part, rows * score_stride(keys)]
    }
}

/// The two products, in one number format.
trait Products {
    /// What is multiplied.
    type Number: Element + Pod;
    /// Whether queries are multiplied from a copy.
    const COPIES_QUERIES: bool;

    /// Packs the keys as weights.
    fn pack_keys(level: Level, head: &Head<'_>, packed: &mut [Self::Number]);
    /// Packs the transpose of the values as weights.
    fn pack_values(level: Level, head: &Head<'_>, packed: &mut [Self::Number]);
    /// Rows of the queries, in place or in the copy.
    fn queries<'a>(
        level: Level,
        head: &Head<'a>,
        first: usize,
        rows: usize,
        copy: &'a mut [Self::Number],
    ) -> Lhs<'a, Self::Number>;
    /// Puts `e^(scale·x − max)` of a row's first `seen` scores in the place of the row's first bytes and returns what a
    /// softmax is that times.
    fn exponentials(level: Level, row: &mut [f32], seen: usize, scale: f32) -> f32;
    /// The product.
    fn multiply(
        level: Level,
        lhs: &Lhs<'_, Self::Number>,
        weights: Packed<'_, Self::Number>,
        out: OutMut<'_>,
    );
}

/// Writes a head's attention to the rectangle: one row a query, `value_dim` columns.
///
/// # Panics
/// If the shapes do not fit one another or the scratch is too small.
pub fn attend(level: Level, head: &Head<'_>, scratch: &mut [f32], out: &mut [f32], out_stride: usize) {
    attend_with::<f32::F32>(level, head, scratch, out, out_stride);
}

/// As [`attend`], with both products in bf16: faster where [`Level::has_bf16_dot`], and there only.
///
/// # Panics
/// As [`attend`], for the scratch of [`Head::scratch_bf16`].
pub fn attend_bf16(level: Level, head: &Head<'_>, scratch: &mut [f32], out: &mut [f32], out_stride: usize) {
    attend_with::<bf16::Bf16>(level, head, scratch, out, out_stride);
}

fn attend_with<P: Products>(
    level: Level,
    head: &Head<'_>,
    scratch: &mut [f32],
    out: &mut [f32],
    out_stride: usize,
) {
    let [queries, keys] = head.counts;
    let parts = head.parts::<P>();
    let needed = parts.iter().sum::<usize>();
    assert!(scratch.len() >= needed, "attention scratch of {} for {needed}", scratch.len());
    if keys == 0 || queries == 0 {
        for row in out.chunks_mut(out_stride.max(1)).take(queries) {
            let n = row.len().min(head.value_dim);
            row[..n].fill(0.0);
        }
        return;
    }
    let (packed_keys, rest) = scratch.split_at_mut(parts[0]);
    let (packed_values, rest) = rest.split_at_mut(parts[1]);
    let (copy, rest) = rest.split_at_mut(parts[2]);
    let copy: &mut [P::Number] = bytemuck::cast_slice_mut(copy);
    P::pack_keys(level, head, bytemuck::cast_slice_mut(packed_keys));
    P::pack_values(level, head, bytemuck::cast_slice_mut(packed_values));
    let packed_keys = Packed::new(bytemuck::cast_slice(packed_keys), keys, head.dim).expect("packed length");
    let packed_values =
        Packed::new(bytemuck::cast_slice(packed_values), head.value_dim, keys).expect("packed length");
    let stride = score_stride(keys);
    // Numbers of a row's weights, and between two rows of them.
    let columns = keys.next_multiple_of(P::Number::LAYOUT.group());
    let number_stride = stride * size_of::<f32>() / size_of::<P::Number>();
    let mut factors = [0.0; QUERY_BLOCK];
    for first in (0..queries).step_by(QUERY_BLOCK) {
        let rows = (queries - first).min(QUERY_BLOCK);
        let seen = |row: usize| head.causal.map_or(keys, |n| (n + first + row).min(keys));
        let scores = &mut rest[..rows * stride];
        let q = P::queries(level, head, first, rows, copy);
        P::multiply(level, &q, packed_keys, whole(scores, rows, seen(rows - 1), stride));
        for (r, (row, factor)) in scores.chunks_exact_mut(stride).zip(&mut factors).enumerate() {
            *factor = P::exponentials(level, row, seen(r), head.scale);
            // Keys that this query does not see stay out of the sum: their weights are zero.
            let weights: &mut [P::Number] = bytemuck::cast_slice_mut(row);
            weights[seen(r)..columns].fill(P::Number::default());
        }
        let weights = Lhs::matrix(bytemuck::cast_slice(scores), rows, columns, number_stride);
        let to = &mut out[first * out_stride..];
        P::multiply(level, &weights, packed_values, whole(to, rows, head.value_dim, out_stride));
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

    /// A unit in the last place of a bf16 is at most so much of it, half of one is what rounding loses.
    const HALF_ULP: f64 = 1.0 / 256.0;

    /// Queries, keys and values to be attended to.
    struct Example {
        counts: [usize; 2],
        dims: [usize; 2],
        causal: Option<usize>,
        qkv: [Vec<f32>; 3],
    }

    const SCALE: f32 = 0.7;

    impl Example {
        fn all() -> Vec<Example> {
            let shapes =
                [(1, 1, 1, 1), (3, 17, 32, 32), (50, 49, 33, 7), (100, 100, 64, 64), (2, 300, 16, 48)];
            let examples = shapes.into_iter().flat_map(|(queries, keys, dim, value_dim)| {
                [None, Some(1), Some(keys / 2 + 1)].map(|causal| Example {
                    counts: [queries, keys],
                    dims: [dim, value_dim],
                    causal,
                    qkv: [random(queries * dim, 1), random(keys * dim, 2), random(keys * value_dim, 3)],
                })
            });
            examples.collect()
        }

        /// The same with numbers that are bf16.
        fn rounded(&self) -> Example {
            let round = |x: &Vec<f32>| x.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
            Example { qkv: self.qkv.each_ref().map(round), ..*self }
        }

        fn head(&self) -> Head<'_> {
            let ([dim, value_dim], [queries, keys, values]) = (self.dims, &self.qkv);
            Head {
                queries,
                keys,
                values,
                strides: [dim, dim, value_dim],
                counts: self.counts,
                dim,
                value_dim,
                scale: SCALE,
                causal: self.causal,
            }
        }

        /// What comes out, to rows that are one longer than they need be.
        fn attend<P: Products>(&self, level: Level) -> Vec<f32> {
            let (head, stride) = (self.head(), self.dims[1] + 1);
            let mut scratch = vec![f32::NAN; head.parts::<P>().into_iter().sum()];
            let mut out = vec![9.0; self.counts[0] * stride];
            attend_with::<P>(level, &head, &mut scratch, &mut out, stride);
            let rows = out.chunks_exact(stride);
            rows.flat_map(|row| {
                assert_eq!(row[stride - 1], 9.0, "a row is written past its end");
                &row[..stride - 1]
            })
            .copied()
            .collect()
        }

        /// The definition: each element, the same of the values' magnitudes, and how much a product of the query with
        /// a key changes at most when both are rounded to bf16.
        fn naive(&self) -> Vec<[f64; 3]> {
            let ([queries, keys], [dim, value_dim], [q, k, v]) = (self.counts, self.dims, &self.qkv);
            let mut elements = Vec::new();
            for i in 0..queries {
                let seen = self.causal.map_or(keys, |n| (n + i).min(keys));
                let pairs =
                    |j: usize| (0..dim).map(move |d| f64::from(q[i * dim + d]) * f64::from(k[j * dim + d]));
                let weight = |j: usize| (f64::from(SCALE) * pairs(j).sum::<f64>()).exp();
                let weights: Vec<f64> = (0..seen).map(weight).collect();
                let sum: f64 = weights.iter().sum();
                let rounded = (1.0 + HALF_ULP).powi(2) - 1.0;
                let moved = |j: usize| f64::from(SCALE) * rounded * pairs(j).map(f64::abs).sum::<f64>();
                let moved = (0..seen).map(moved).fold(0.0, f64::max);
                for d in 0..value_dim {
                    let value = |j: usize| f64::from(v[j * value_dim + d]);
                    let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
                        weights.iter().enumerate().map(|(j, w)| w / sum * of(j)).sum()
                    };
                    elements.push([mean(&value), mean(&|j| value(j).abs()), moved]);
                }
            }
            elements
        }
    }

    #[test]
    fn attention_follows_its_definition() {
        for level in Level::available() {
            for example in Example::all() {
                let got = example.attend::<f32::F32>(level);
                for (got, [expected, ..]) in got.into_iter().zip(example.naive()) {
                    let off = (f64::from(got) - expected).abs();
                    assert!(off < 2e-6, "{level} {:?} {:?}: {off}", example.counts, example.dims);
                }
            }
        }
    }

    /// Of numbers that are bf16 already, what is lost is what rounding the exponentials loses: `w·(1 ± 2⁻⁸)`. Of others, a
    /// score that is off by `ε` makes a weight `e^±2ε` of what it was, and the value is rounded as well.
    #[test]
    fn attention_in_bf16_loses_what_rounding_loses() {
        for level in Level::available() {
            for example in Example::all() {
                let what = format!("{level} {:?} {:?} {:?}", example.counts, example.dims, example.causal);
                let rounded = example.rounded();
                let got = rounded.attend::<bf16::Bf16>(level);
                for (got, [expected, magnitude, _]) in got.into_iter().zip(rounded.naive()) {
                    let (off, most) = ((f64::from(got) - expected).abs(), HALF_ULP * magnitude + 4e-6);
                    assert!(off < most, "{what}: {off} beyond {most} of rounded numbers");
                }
                let got = example.attend::<bf16::Bf16>(level);
                for (got, [expected, magnitude, moved]) in got.into_iter().zip(example.naive()) {
                    let most = ((2.0 * moved).exp() * (1.0 + HALF_ULP).powi(2) - 1.0) * magnitude + 4e-6;
                    let off = (f64::from(got) - expected).abs();
                    assert!(off < most, "{what}: {off} beyond {most}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_seen_of_no_keys() {
        for example in Example::all() {
            let head = Head { counts: [example.counts[0], 0], ..example.head() };
            let mut out = vec![9.0; example.counts[0] * example.dims[1]];
            attend_bf16(
                Level::detect(),
                &head,
                &mut vec![0.0; head.scratch_bf16()],
                &mut out,
                example.dims[1],
            );
            assert!(out.iter().all(|x| *x == 0.0));
        }
    }
}

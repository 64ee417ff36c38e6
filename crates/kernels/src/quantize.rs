//! Dynamic quantization of activations: each row to asymmetric unsigned bytes.
//!
//! A row's range is widened to hold zero, so that zero (padding, ReLU) is exact: `scale = (max − min) / Q`,
//! `zero = round(−min / scale)`, `q = round(x / scale) + zero`, with Q the level's
//! [`activation_max`](tiny_vlm_simd::Level::activation_max): 255, or 127 where the dot product takes only seven
//! bits. The extra bit matters after GELU, whose values are nearly all of one sign.
//!
//! A row that holds a NaN or an infinity gets a NaN for its scale, so that all its products are NaN.

use tiny_vlm_simd::{Dot4, DotOp, Isa, LANES, Level};
use tiny_vlm_tensor::View;

use crate::output::OutMut;

/// Below this a range counts as zero: its inverse would not be finite.
const SMALLEST: f32 = 1e-35;

/// Words of a quantized row of K values, the least stride: scale and zero, then the bytes, for weights of any layout.
///
/// Strides are odd multiples of a cache line, so that the rows of a tile do not all fall into the same sets of the
/// first-level cache.
pub fn quantized_stride(k: usize) -> usize {
    let lines = (2 + k.next_multiple_of(64) / 4).div_ceil(16);
    (lines | 1) * 16
}

/// Quantizes rows. Each row of `out` begins with scale and zero and goes on with the bytes, and zeros to its end; it must
/// have room for K rounded up to a multiple of four.
///
/// # Panics
/// If there are fewer rows of `x` than of `out`, or they are too short.
pub fn quantize_rows(level: Level, x: View<'_, f32, 2>, out: OutMut<'_>) {
    let [rows, columns] = x.shape();
    assert!(out.rows().end <= rows, "{rows} rows quantized into {:?}", out.rows());
    let (to, needed) = (out.columns(), 2 + columns.div_ceil(4));
    assert!(to.start == 0 && to.end >= needed, "a quantized row of {columns} in {to:?}");
    level.run_dot(Quantize { x, out });
}

struct Quantize<'a> {
    x: View<'a, f32, 2>,
    out: OutMut<'a>,
}

impl DotOp for Quantize<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(mut self, isa: I) {
        for (i, r) in self.out.rows().enumerate() {
            let x = self.x.row(r);
            let range = range_of(isa, [x].into_iter());
            let (head, to) = self.out.row_mut(i).split_at_mut(2);
            head.copy_from_slice(&[range.scale, range.zero]);
            range.quantize(isa, x, bytemuck::cast_slice_mut(to));
        }
    }
}

/// What the bytes of some values stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) scale: f32,
    pub(crate) zero: f32,
    inverse: f32,
    most: f32,
}

/// The range of the values of some slices.
#[inline(always)]
pub(crate) fn range_of<'a, I: Dot4>(isa: I, slices: impl Iterator<Item = &'a [f32]>) -> Range {
    let nothing = isa.splat(0.0);
    // Several chains hide the latency of each.
    let (mut low, mut high, mut other) = ([nothing; 4], [nothing; 4], [nothing; 4]);
    for x in slices {
        let (fours, rest) = x.as_chunks::<{ 4 * LANES }>();
        for four in fours {
            let (vectors, _) = four.as_chunks::<LANES>();
            for j in 0..4 {
                let x = isa.load_array(&vectors[j]);
                low[j] = isa.min(low[j], x);
                high[j] = isa.max(high[j], x);
                // Zero for every number, NaN for the rest, and so it stays.
                other[j] = isa.fma(x, nothing, other[j]);
            }
        }
        for part in rest.chunks(LANES) {
            let x = isa.load_slice(part);
            low[0] = isa.min(low[0], x);
            high[0] = isa.max(high[0], x);
            other[0] = isa.fma(x, nothing, other[0]);
        }
    }
    let low = isa.reduce_min(isa.min(isa.min(low[0], low[1]), isa.min(low[2], low[3])));
    let high = isa.reduce_max(isa.max(isa.max(high[0], high[1]), isa.max(high[2], high[3])));
    let other = isa.add(isa.add(other[0], other[1]), isa.add(other[2], other[3]));
    let most = f32::from(I::ACTIVATION_MAX);
    if isa.reduce_sum(other).is_nan() {
        return Range { scale: f32::NAN, zero: 0.0, inverse: 0.0, most };
    }
    let scale = high / most - low / most;
    if scale < SMALLEST {
        return Range { scale: 0.0, zero: 0.0, inverse: 0.0, most };
    }
    let inverse = 1.0 / scale;
    Range { scale, zero: (-low * inverse).round_ties_even().min(most), inverse, most }
}

impl Range {
    /// Writes the bytes of the values, and zero bytes after them.
    #[inline(always)]
    pub(crate) fn quantize<I: Isa>(self, isa: I, x: &[f32], out: &mut [u8]) {
        let (zero, inverse, most) = (isa.splat(self.zero), isa.splat(self.inverse), isa.splat(self.most));
        let (bytes, padding) = out.split_at_mut(x.len());
        let (whole, tail) = x.as_chunks::<LANES>();
        let (to, to_tail) = bytes.as_chunks_mut::<LANES>();
        for (x, to) in whole.iter().zip(to) {
            let q = isa.min(isa.fma(isa.load_array(x), inverse, zero), most);
            // SAFETY: the chunk is 16 bytes.
            unsafe { isa.store_u8(to.as_mut_ptr(), isa.to_i32(q)) };
        }
        if !tail.is_empty() {
            let q = isa.min(isa.fma(isa.load_slice(tail), inverse, zero), most);
            let mut last = [0; LANES];
            // SAFETY: the array is 16 bytes.
            unsafe { isa.store_u8(last.as_mut_ptr(), isa.to_i32(q)) };
            to_tail.copy_from_slice(&last[..tail.len()]);
        }
        padding.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use tiny_vlm_tensor::ViewMut;

    use super::*;
    use crate::random::random;
    use crate::testing::shapes;

    fn run(level: Level, x: &[f32], rows: usize, columns: usize) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
        let stride = quantized_stride(columns);
        let mut words = vec![9.0; rows * stride];
        let to = ViewMut::new([rows, stride], &mut words).unwrap();
        quantize_rows(level, View::new([rows, columns], x).unwrap(), to.into());
        let rows = words.chunks(stride);
        let bytes =
            |row: &[f32]| bytemuck::cast_slice::<f32, u8>(&row[2..])[..columns.next_multiple_of(4)].to_vec();
        let q = rows.clone().flat_map(bytes).collect();
        (q, rows.clone().map(|row| row[0]).collect(), rows.map(|row| row[1]).collect())
    }

    #[test]
    fn bytes_are_within_half_a_step() {
        for level in Level::available() {
            for (rows, columns) in shapes() {
                let mut x = random(rows * columns, 11);
                x.iter_mut().for_each(|x| *x = *x * 3.0 + 1.0);
                let (q, s, z) = run(level, &x, rows, columns);
                let padded = columns.next_multiple_of(4);
                for r in 0..rows {
                    assert!(
                        z[r] == z[r].round() && (0.0..=f32::from(level.activation_max())).contains(&z[r])
                    );
                    for c in 0..padded {
                        let byte = q[r * padded + c];
                        assert!(byte <= level.activation_max());
                        if c >= columns {
                            assert_eq!(byte, 0);
                            continue;
                        }
                        let back = (f32::from(byte) - z[r]) * s[r];
                        // Half a step from rounding and up to another half at the ends, where the byte is clamped.
                        let error = (back - x[r * columns + c]).abs();
                        assert!(error <= 1.001 * s[r], "{level} {rows}x{columns}: {error} of {}", s[r]);
                    }
                }
            }
        }
    }

    #[test]
    fn zero_is_exact_and_what_is_not_a_number_spoils_its_row() {
        for level in Level::available() {
            let (q, s, z) = run(level, &[0.0, -0.3, 5.0, 0.0, f32::NAN, 1.0, 0.0, 0.0, f32::INFINITY], 3, 3);
            assert_eq!(f32::from(q[0]), z[0]);
            assert!(s[0] > 0.0 && s[1].is_nan() && s[2].is_nan(), "{level}");
            let (q, s, z) = run(level, &[0.0; 5], 1, 5);
            assert_eq!((q[0], s[0], z[0]), (0, 0.0, 0.0));
            let (_, s, _) = run(level, &[f32::MAX, f32::MIN, 1e-40], 1, 3);
            assert!(s[0].is_finite());
            let (_, s, _) = run(level, &[1e-40, 0.0, -1e-42], 1, 3);
            assert_eq!(s[0], 0.0);
        }
    }
}

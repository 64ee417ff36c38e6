//! The two passes of a resize, a row at a time.
//!
//! Both compute `clamp((2^21 + Σ weight · pixel) >> 22)` with wrapping 32-bit sums, which is exact: the true sum fits.

use crate::coefficients::{Coefficients, PRECISION};

const HALF: i32 = 1 << (PRECISION - 1);

fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Across: one row of source pixels, `C` bytes each, to one row of target pixels.
pub(crate) fn horizontal<const C: usize>(row: &[u8], weights: &Coefficients, out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<C>();
    for (i, target) in out.as_chunks_mut::<C>().0.iter_mut().enumerate() {
        let ws = weights.weights(i);
        let mut sums = [HALF; C];
        for (pixel, &w) in pixels[weights.first(i)..][..ws.len()].iter().zip(ws) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(w));
            }
        }
        *target = sums.map(round);
    }
}

/// Down: as many rows as there are weights, to one row. `row(k)` is the row that `weights[k]` belongs to.
pub(crate) fn vertical<'a>(row: impl Fn(usize) -> &'a [u8], weights: &[i32], out: &mut [u8]) {
    // The sums of this many bytes stay in registers while all rows are gone through.
    const LANES: usize = 64;
    let whole = out.len() / LANES * LANES;
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    for (b, block) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; LANES];
        for (k, &w) in weights.iter().enumerate() {
            let values: &[u8; LANES] = &row(k).as_chunks::<LANES>().0[b];
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(w));
            }
        }
        *block = sums.map(round);
    }
    for (x, target) in rest.iter_mut().enumerate() {
        let mut sum = HALF;
        for (k, &w) in weights.iter().enumerate() {
            sum = sum.wrapping_add(i32::from(row(k)[whole + x]).wrapping_mul(w));
        }
        *target = round(sum);
    }
}

//! The two passes of a resize.
//!
//! Both compute `clamp((2^21 + Σ weight · pixel) >> 22)` with wrapping 32-bit sums, which is exact: the true sum fits. Both
//! keep bytes that are treated alike side by side, so that the compiler makes vectors of them. Down, those are the bytes
//! of a row. Across, they are the bytes of [`LANES`] rows in the same column: a strip of rows is transposed, resized down
//! its columns, and transposed back.

use crate::coefficients::{Coefficients, PRECISION};

/// Rows that go across together.
pub(crate) const LANES: usize = 16;
/// Target pixels of a strip that are made from one transposed piece of it, which then fits the nearest cache.
const PIECE: usize = 64;
const HALF: i32 = 1 << (PRECISION - 1);

#[inline(always)]
fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Bytes of a strip in the same column.
type Column = [u8; LANES];

/// Memory for the pieces of a strip.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    source: Vec<Column>,
    target: Vec<Column>,
}

impl Strip {
    /// Across: source rows of pixels of `C` bytes to the target rows that `out` holds, at most [`LANES`].
    #[inline(always)]
    pub(crate) fn horizontal<'a, const C: usize>(
        &mut self,
        row: impl Fn(usize) -> &'a [u8],
        weights: &Coefficients,
        row_bytes: usize,
        out: &mut [u8],
    ) {
        let count = out.len() / row_bytes;
        let mut rows: [&[u8]; LANES] = [&[]; LANES];
        (0..count).for_each(|i| rows[i] = row(i));
        let rows = &rows[..count];
        for begin in (0..weights.len()).step_by(PIECE) {
            let end = (begin + PIECE).min(weights.len());
            let first = weights.first(begin);
            let last = weights.first(end - 1) + weights.weights(end - 1).len();
            let needed = ((last - first) * C).next_multiple_of(8);
            self.source.resize(self.source.len().max(needed), [0; LANES]);
            self.target.resize(PIECE * C.next_multiple_of(8), [0; LANES]);
            to_columns(rows, first * C..last * C, &mut self.source);
            for (i, target) in (begin..end).zip(self.target.as_chunks_mut::<C>().0) {
                let ws = weights.weights(i);
                let columns = &self.source.as_chunks::<C>().0[weights.first(i) - first..][..ws.len()];
                // Channel by channel: the sums of one are a vector, and those of all would be too many.
                for (c, target) in target.iter_mut().enumerate() {
                    let mut sums = [HALF; LANES];
                    for (pixel, &w) in columns.iter().zip(ws) {
                        for (sum, &value) in sums.iter_mut().zip(&pixel[c]) {
                            *sum = sum.wrapping_add(i32::from(value).wrapping_mul(w));
                        }
                    }
                    *target = sums.map(round);
                }
            }
            to_rows(&self.target, begin * C..end * C, row_bytes, out);
        }
    }
}

/// Transposes eight times eight bytes: byte `i` of word `j` becomes byte `j` of word `i`.
#[inline(always)]
fn transposed(mut words: [u64; 8]) -> [u64; 8] {
    // Exchanges blocks off the diagonal: of four bytes, then of two, then of one.
    for (apart, mask) in
        [(4, 0x0000_0000_ffff_ffff_u64), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)]
    {
        for i in (0..8).filter(|i| i & apart == 0) {
            let (a, b) = (words[i], words[i + apart]);
            let shift = 8 * apart as u32;
            words[i] = (a & mask) | ((b & mask) << shift);
            words[i + apart] = ((a >> shift) & mask) | (b & !mask);
        }
    }
    words
}

/// The bytes `range` of each row become columns, as many as there are, then some that mean nothing. Lanes without a row
/// keep what they had.
#[inline(always)]
fn to_columns(rows: &[&[u8]], range: std::ops::Range<usize>, columns: &mut [Column]) {
    for (eight, rows) in rows.chunks(8).enumerate() {
        let blocks = columns.as_chunks_mut::<8>().0;
        let whole = range.len() / 8;
        for (b, block) in blocks.iter_mut().enumerate().take(range.len().div_ceil(8)) {
            let mut words = [0; 8];
            for (word, row) in words.iter_mut().zip(rows) {
                let row = &row[range.clone()];
                *word = if b < whole {
                    u64::from_le_bytes(row.as_chunks::<8>().0[b])
                } else {
                    let rest = &row[whole * 8..];
                    let mut bytes = [0; 8];
                    bytes[..rest.len()].copy_from_slice(rest);
                    u64::from_le_bytes(bytes)
                };
            }
            for (column, word) in block.iter_mut().zip(transposed(words)) {
                column.as_chunks_mut::<8>().0[eight] = word.to_le_bytes();
            }
        }
    }
}

/// The columns become the bytes `range` of each row.
#[inline(always)]
fn to_rows(columns: &[Column], range: std::ops::Range<usize>, row_bytes: usize, rows: &mut [u8]) {
    for (eight, rows) in rows.chunks_mut(8 * row_bytes).enumerate() {
        for (b, block) in columns.as_chunks::<8>().0.iter().enumerate().take(range.len().div_ceil(8)) {
            let mut words = [0; 8];
            for (word, column) in words.iter_mut().zip(block) {
                *word = u64::from_le_bytes(column.as_chunks::<8>().0[eight]);
            }
            for (row, word) in rows.chunks_exact_mut(row_bytes).zip(transposed(words)) {
                let row = &mut row[range.clone()][b * 8..];
                let n = row.len().min(8);
                if let Some(row) = row.first_chunk_mut::<8>() {
                    *row = word.to_le_bytes();
                } else {
                    row.copy_from_slice(&word.to_le_bytes()[..n]);
                }
            }
        }
    }
}

/// Down: as many rows as there are weights, to one row. `row(k)` is the row that `weights[k]` belongs to.
#[inline(always)]
pub(crate) fn vertical<'a>(row: impl Fn(usize) -> &'a [u8], weights: &[i32], out: &mut [u8]) {
    // The sums of this many bytes stay in registers while all rows are gone through.
    const BLOCK: usize = 64;
    let whole = out.len() / BLOCK * BLOCK;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    for (b, block) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; BLOCK];
        for (k, &w) in weights.iter().enumerate() {
            let values: &[u8; BLOCK] = &row(k).as_chunks::<BLOCK>().0[b];
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

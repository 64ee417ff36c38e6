//! Rows of activations in panels, for sparse weights.
//!
//! Panels of 16 rows lie as those of f32 weights do, `[M/16][K][16]`, in words of 4 bytes: a value of f32, or four
//! bytes. Rows that are missing in the last panel are zeros.

use tiny_vlm_simd::{Isa, Level, Op};
use tiny_vlm_tensor::View;

use crate::layout::{Layout, PANEL};

/// Rows of activations in panels, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a> {
    words: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Panels<'a> {
    /// Takes what [`pack_rows`] wrote of rows of so many words; nothing where the length does not fit.
    pub fn new(words: &'a [f32], rows: usize, columns: usize) -> Option<Self> {
        (Panels::len(rows, columns) == Some(words.len())).then_some(Panels { words, rows, columns })
    }

    /// Words of the packed form, or nothing where that overflows.
    pub fn len(rows: usize, columns: usize) -> Option<usize> {
        Layout::F32.len(rows, columns)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many words a row has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn words(&self) -> &'a [f32] {
        self.words
    }
}

/// Packs rows of words into panels.
///
/// # Panics
/// If `out` is not of the packed length.
pub fn pack_rows(level: Level, x: View<'_, f32, 2>, out: &mut [f32]) {
    let [rows, columns] = x.shape();
    assert_eq!(Panels::len(rows, columns), Some(out.len()), "packed length of {rows}x{columns}");
    level.run(Pack { x, out });
}

struct Pack<'a> {
    x: View<'a, f32, 2>,
    out: &'a mut [f32],
}

impl Op for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ([rows, columns], stride) = (self.x.shape(), self.x.strides()[0]);
        for (p, panel) in self.out.chunks_exact_mut((columns * PANEL).max(1)).enumerate() {
            let first = p * PANEL;
            let whole = if rows - first >= PANEL { columns - columns % PANEL } else { 0 };
            for column in (0..whole).step_by(PANEL) {
                // SAFETY: 16 rows from `first` on and 16 words of each from `column` on exist in both, and `out` is
                // borrowed exclusively.
                unsafe {
                    let from = self.x.as_ptr().add(first * stride + column);
                    isa.transpose(from, stride, panel.as_mut_ptr().add(column * PANEL), PANEL);
                }
            }
            let rest = &mut panel[whole * PANEL..];
            if rows - first < PANEL {
                rest.fill(0.0);
            }
            for (lane, row) in (first..rows.min(first + PANEL)).enumerate() {
                for (word, step) in self.x.row(row)[whole..].iter().zip(rest.chunks_exact_mut(PANEL)) {
                    step[lane] = *word;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_every_word_and_zeros_for_missing_rows() {
        for level in Level::available() {
            for [rows, columns] in [[0, 5], [5, 0], [1, 1], [15, 17], [16, 16], [17, 33], [50, 70]] {
                let stride = columns + 3;
                // Any bits may be words: these are NaNs in part.
                let word = |i: usize, k: usize| {
                    (((i * columns + k) as u32) << 18 | 0x7f80_0001).rotate_left(i as u32)
                };
                let x: Vec<f32> =
                    (0..rows * stride).map(|at| f32::from_bits(word(at / stride, at % stride))).collect();
                let view = View::with_strides([rows, columns], [stride, 1], &x).unwrap();
                let mut out = vec![9.0; Panels::len(rows, columns).unwrap()];
                pack_rows(level, view, &mut out);
                for (at, got) in out.iter().enumerate() {
                    let (panel, k, lane) = (at / PANEL / columns, at / PANEL % columns, at % PANEL);
                    let row = panel * PANEL + lane;
                    let expected = if row < rows { word(row, k) } else { 0 };
                    assert_eq!(got.to_bits(), expected, "{level} {rows}x{columns} at {row}, {k}");
                }
                assert!(Panels::new(&out, rows, columns).is_some());
                assert!(Panels::new(&out, rows + 16, columns).is_none() || columns == 0);
            }
        }
    }
}

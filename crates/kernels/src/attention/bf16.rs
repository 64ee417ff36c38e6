//! Products of bf16, pairs at a time: queries, keys and values are rounded as they are copied and packed, exponentials as
//! they are written.

use half::bf16;
use tiny_vlm_simd::{Bf16Op, DotBf16, LANES, Level};

use super::{Head, Products};
use crate::epilogue::Epilogue;
use crate::layout::{PANEL, Packed};
use crate::lhs::Lhs;
use crate::output::OutMut;
use crate::product::gemm_bf16;
use crate::rows::softmax_unscaled_bf16;

pub(super) struct Bf16;

impl Products for Bf16 {
    type Number = bf16;
    const COPIES_QUERIES: bool = true;

    fn pack_keys(level: Level, head: &Head<'_>, packed: &mut [bf16]) {
        let rows = Rows { data: head.keys, count: head.counts[1], len: head.dim, stride: head.strides[1] };
        level.run_bf16(PackRows { rows, packed });
    }

    fn pack_values(level: Level, head: &Head<'_>, packed: &mut [bf16]) {
        let (count, stride) = (head.counts[1], head.strides[2]);
        let rows = Rows { data: head.values, count, len: head.value_dim, stride };
        level.run_bf16(PackColumns { rows, packed });
    }

    fn queries<'a>(
        level: Level,
        head: &Head<'a>,
        first: usize,
        rows: usize,
        copy: &'a mut [bf16],
    ) -> Lhs<'a, bf16> {
        let columns = head.dim.next_multiple_of(2);
        let copy = &mut copy[..rows * columns];
        let data = &head.queries[first * head.strides[0]..];
        let rows = Rows { data, count: rows, len: head.dim, stride: head.strides[0] };
        level.run_bf16(Copy { rows, copy: &mut *copy });
        Lhs::matrix(copy, rows.count, columns, columns)
    }

    fn exponentials(level: Level, row: &mut [f32], seen: usize, scale: f32) -> f32 {
        softmax_unscaled_bf16(level, row, seen, scale)
    }

    fn multiply(level: Level, lhs: &Lhs<'_, bf16>, weights: Packed<'_, bf16>, out: OutMut<'_>) {
        gemm_bf16(level, lhs, weights, &Epilogue::default(), out);
    }
}

/// Rows of f32, a stride apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    count: usize,
    len: usize,
    stride: usize,
}

impl<'a> Rows<'a> {
    fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.len]
    }

    /// Has a row fetched that is soon to be read, if there is one: so far apart, the machine does not foresee them.
    #[inline(always)]
    fn prefetch<I: DotBf16>(&self, isa: I, index: usize) {
        let row = self.data.as_ptr().wrapping_add(index * self.stride);
        for at in (0..self.len).step_by(LANES) {
            isa.prefetch(row.wrapping_add(at));
        }
    }
}

/// How many rows ahead they are fetched.
const AHEAD: usize = 16;

/// Rounds two vectors, of which the last may be short and is then followed by zeros.
#[inline(always)]
fn round<I: DotBf16>(isa: I, x: &[f32], to: &mut [bf16; 2 * LANES]) {
    let (first, second) = x.split_at(x.len().min(LANES));
    let to = to.as_mut_ptr().cast::<u16>();
    // SAFETY: there is room for two vectors of half-words, which is what bf16 is.
    unsafe {
        isa.store_operands(to, isa.load_slice(first));
        isa.store_operands(to.add(LANES), isa.load_slice(second));
    }
}

/// Rounds rows to rows that lie one after the other, each padded to an even length with a zero.
struct Copy<'a> {
    rows: Rows<'a>,
    copy: &'a mut [bf16],
}

impl Bf16Op for Copy<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) {
        let columns = self.rows.len.next_multiple_of(2);
        let mut rounded = [bf16::ZERO; 2 * LANES];
        for (index, copy) in self.copy.chunks_exact_mut(columns.max(1)).enumerate() {
            self.rows.prefetch(isa, index + AHEAD);
            let row = self.rows.row(index).chunks(2 * LANES);
            for (x, to) in row.zip(copy.chunks_mut(2 * LANES)) {
                round(isa, x, &mut rounded);
                to.copy_from_slice(&rounded[..to.len()]);
            }
        }
    }
}

/// Packs rows: a row is a channel, its values go along K.
struct PackRows<'a> {
    rows: Rows<'a>,
    packed: &'a mut [bf16],
}

impl Bf16Op for PackRows<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) {
        let Rows { count, len, .. } = self.rows;
        let panel_len = len.next_multiple_of(2) * PANEL;
        for (p, panel) in self.packed.chunks_exact_mut(panel_len.max(1)).enumerate() {
            let lanes = (count - p * PANEL).min(PANEL);
            for lane in 0..PANEL {
                self.rows.prefetch(isa, p * PANEL + lane + AHEAD);
            }
            // 16 words of each row, of two values each, and the same with rows and words exchanged.
            let mut words = [[bf16::ZERO; 2 * LANES]; PANEL];
            let mut steps = [[bf16::ZERO; 2 * LANES]; PANEL];
            for (first, to) in (0..len).step_by(2 * LANES).zip(panel.chunks_mut(2 * LANES * PANEL)) {
                let columns = first..len.min(first + 2 * LANES);
                for (lane, words) in words[..lanes].iter_mut().enumerate() {
                    round(isa, &self.rows.row(p * PANEL + lane)[columns.clone()], words);
                }
                // SAFETY: both are 16 rows of 16 words.
                unsafe {
                    isa.transpose(words.as_ptr().cast(), LANES, steps.as_mut_ptr().cast(), LANES);
                }
                to.copy_from_slice(&steps.as_flattened()[..to.len()]);
            }
        }
    }
}

/// Packs columns: a column is a channel, and K goes from row to row.
struct PackColumns<'a> {
    rows: Rows<'a>,
    packed: &'a mut [bf16],
}

impl Bf16Op for PackColumns<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) {
        let Rows { count, len, .. } = self.rows;
        let panel_len = count.next_multiple_of(2) * PANEL;
        let mut halves = [[bf16::ZERO; LANES]; 2];
        for s in 0..count.div_ceil(2) {
            self.rows.prefetch(isa, 2 * s + AHEAD);
            self.rows.prefetch(isa, 2 * s + 1 + AHEAD);
            for (p, panel) in self.packed.chunks_exact_mut(panel_len).enumerate() {
                let columns = p * PANEL..len.min((p + 1) * PANEL);
                for (row, half) in (2 * s..2 * s + 2).zip(&mut halves) {
                    let x = if row < count { &self.rows.row(row)[columns.clone()] } else { &[] };
                    // SAFETY: there is room for a vector of half-words.
                    unsafe { isa.store_operands(half.as_mut_ptr().cast(), isa.load_slice(x)) };
                }
                let step: &mut [bf16; 2 * PANEL] =
                    panel[s * 2 * PANEL..].first_chunk_mut().expect("a panel has every step");
                // SAFETY: each half is a vector of half-words, and a step is a vector of pairs of them.
                unsafe {
                    let first = isa.load_u16(halves[0].as_ptr().cast());
                    let second = isa.load_u16(halves[1].as_ptr().cast());
                    isa.store_i32(step.as_mut_ptr().cast(), isa.or(first, isa.shl::<16>(second)));
                }
            }
        }
    }
}

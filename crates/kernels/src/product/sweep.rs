//! The loop nest around the tile: blocks of rows that stay in the second-level cache, blocks of K that keep a
//! panel there, panels, and tiles of near-equal height.

use std::ptr::null;

use tiny_vlm_simd::{Isa, LANES};

use super::{Block, MOST_ACCUMULATORS, MOST_ROWS, Product};
use crate::epilogue::{self, Epilogue, Finish, Residual};
use crate::layout::PANEL;
use crate::lhs::Words;
use crate::output::OutMut;

/// Bytes of activations that a block of rows may hold: half of a 1 MB second-level cache.
const ROW_BLOCK: usize = 512 << 10;
/// Words of K in a block, where partial sums can be kept.
const K_BLOCK: usize = 1024;

/// A tile's sums on their way through the epilogue.
#[repr(align(64))]
struct Sums([f32; MOST_ACCUMULATORS * LANES]);

/// Computes a rectangle of the output.
///
/// # Safety
/// The activations must have every row of the rectangle, with as many words as a panel has steps; `weights` must
/// point to panels of `steps` steps for every column of the rectangle, counted from channel 0; the product's
/// tables must cover both.
#[inline(always)]
pub(crate) unsafe fn sweep<I: Isa, P: Product<I>>(
    isa: I,
    product: P,
    lhs: &Words,
    weights: *const u8,
    steps: usize,
    ep: &Epilogue<'_>,
    mut out: OutMut<'_>,
) {
    let (rows, columns) = (out.rows(), out.columns());
    assert!(columns.start.is_multiple_of(PANEL), "a product's columns begin with a panel");
    epilogue::check(ep, &out);
    let to = out.pointer();
    let stride = out.stride();
    let row_bytes = (lhs.runs * lhs.run_len * 4).max(1);
    let tile = P::tile();
    let block_rows = (ROW_BLOCK / row_bytes).max(4 * tile.rows);
    let blocks = rows.len().div_ceil(block_rows);
    // Partial sums kept in the output would overwrite what is to be added to them.
    let resumes = P::RESUMES && lhs.runs == 1 && !matches!(ep.residual, Residual::Output);
    let k_block = if resumes { K_BLOCK } else { usize::MAX };
    let mut sums = Sums([0.0; MOST_ACCUMULATORS * LANES]);
    let sums = sums.0.as_mut_ptr();
    for b in 0..blocks {
        let start = rows.start + rows.len() * b / blocks;
        let count = rows.start + rows.len() * (b + 1) / blocks - start;
        let tiles = count.div_ceil(tile.rows);
        let (height, higher) = (count / tiles, count % tiles);
        let wide = vectors(tile.accumulators, height + usize::from(higher > 0));
        let mut k = 0;
        loop {
            let words = (lhs.run_len - k).min(k_block);
            let last_k = k + words == lhs.run_len;
            let panels = columns.len().div_ceil(PANEL);
            let mut panel = 0;
            while panel < panels {
                let nv = largest(wide.min(panels - panel));
                let channel = columns.start + panel * PANEL;
                let width = (columns.end - channel).min(nv * PANEL);
                let mut row = start;
                for t in 0..tiles {
                    let mr = height + usize::from(t < higher);
                    // SAFETY: rows, channels and the block of K lie within what the caller promises, and the
                    // output's rectangle begins at its first row and column.
                    unsafe {
                        let at = to.add((row - rows.start) * stride + channel - columns.start);
                        let through = last_k && !ep.is_nothing();
                        let mut block = Block {
                            rows: [null(); MOST_ROWS],
                            runs: lhs.runs,
                            run_step: lhs.run_step,
                            run_len: words,
                            weights: weights.add((channel / PANEL * steps + k) * P::STEP),
                            panel: steps * P::STEP,
                            from: if k > 0 { at } else { null() },
                            from_stride: stride,
                            to: if through { sums } else { at },
                            to_stride: if through { nv * LANES } else { stride },
                            last: width - (nv - 1) * PANEL,
                            row,
                            channel,
                        };
                        for i in 0..mr {
                            block.rows[i] = lhs.row(row + i).add(k * 4);
                        }
                        pick(isa, product, mr, nv, &block);
                        if through {
                            isa.call(Finish {
                                from: sums,
                                from_stride: nv * LANES,
                                to: at,
                                to_stride: stride,
                                row,
                                column: channel,
                                rows: mr,
                                columns: width,
                                epilogue: ep,
                            });
                        }
                    }
                    row += mr;
                }
                panel += nv;
            }
            k += words;
            if last_k {
                break;
            }
        }
    }
}

/// The widest tile of this many rows.
fn vectors(accumulators: usize, rows: usize) -> usize {
    largest((accumulators / rows.max(1)).max(1))
}

/// The widest of the tiles there are, at most `n >= 1` wide.
fn largest(n: usize) -> usize {
    match n {
        8.. => 8,
        4..8 => 4,
        2..4 => 2,
        _ => 1,
    }
}

/// Runs the tile of this size.
///
/// # Safety
/// As [`Block::run`]. The size must be one that `sweep` chooses.
#[inline(always)]
unsafe fn pick<I: Isa, P: Product<I>>(isa: I, product: P, mr: usize, nv: usize, block: &Block) {
    macro_rules! tiles {
        ($($mr:literal: $($nv:literal)*;)*) => {
            match (mr, nv) {
                // The condition is constant: tiles that this instruction set has no registers for vanish.
                $($(($mr, $nv) => if $mr <= P::tile().rows && $mr * $nv <= P::tile().accumulators {
                    // SAFETY: the caller's promise.
                    unsafe { product.call::<$mr, $nv>(isa, block) }
                },)*)*
                _ => unreachable!("no tile of {mr}x{nv}"),
            }
        };
    }
    tiles! {
        1: 8 4 2 1;
        2: 8 4 2 1;
        3: 8 4 2 1;
        4: 4 2 1;
        5: 4 2 1;
        6: 4 2 1;
        7: 2 1;
        8: 2 1;
        9: 2 1;
        10: 2 1;
        11: 2 1;
        12: 2 1;
    }
}

//! The loop nest around the tile: blocks of rows that stay in the second-level cache, blocks of K that keep a
//! panel there, panels, and tiles of near-equal height.

use std::ptr::null;

use tiny_vlm_simd::{Isa, LANES};

use super::{Block, MOST_ACCUMULATORS, Product, Rows, Steps};
use crate::epilogue::{self, Epilogue, Finish, Residual};
use crate::layout::PANEL;
use crate::lhs::Words;
use crate::output::OutMut;
use crate::panels::Panels;

/// Bytes of activations that a block of rows may hold: half of a 1 MB second-level cache.
const ROW_BLOCK: usize = 512 << 10;
/// Bytes of panels of rows that a block may hold, beside which the second-level cache has sparse weights.
const PANEL_BLOCK: usize = 384 << 10;
/// Bytes of sparse weights that a block of channels may hold.
const WEIGHT_BLOCK: usize = 256 << 10;
/// Words of K in a block, where partial sums can be kept.
const K_BLOCK: usize = 1024;

/// A tile's sums on their way through the epilogue.
#[repr(align(64))]
struct Sums([f32; MOST_ACCUMULATORS * LANES]);

/// Computes a rectangle of the output.
///
/// # Safety
/// The activations must have every row of the rectangle, with as many words as a panel has steps; `weights` must
/// point to panels of `steps` steps for every column of the rectangle, counted from channel 0, or `steps` be 0 and the
/// product find its panels from there; the product's tables must cover both.
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
    let tile = P::TILE;
    let block_rows = (ROW_BLOCK / row_bytes).max(4 * tile.rows);
    let blocks = rows.len().div_ceil(block_rows);
    // Partial sums kept in the output would overwrite what is to be added to them or multiplied by.
    let keeps = ep.gated || matches!(ep.residual, Residual::Output);
    let resumes = P::RESUMES && lhs.runs == 1 && !keeps;
    let k_block = if resumes { K_BLOCK } else { usize::MAX };
    let mut sums = Sums([0.0; MOST_ACCUMULATORS * LANES]);
    let sums = sums.0.as_mut_ptr();
    for b in 0..blocks {
        let start = rows.start + rows.len() * b / blocks;
        let count = rows.start + rows.len() * (b + 1) / blocks - start;
        let tiles = count.div_ceil(tile.rows);
        let (height, higher) = (count / tiles, count % tiles);
        let wide = match height + usize::from(higher > 0) {
            0 | 1 => largest(P::ROW_PANELS),
            rows => largest(tile.accumulators / rows),
        };
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
                        let through = last_k && (P::CONVERTS || !ep.is_nothing());
                        let block = Block {
                            rows: lhs.rows(row, mr, k),
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
                        // Stores that miss would fill the queue, and what a tile spills would wait behind them.
                        for i in 0..mr {
                            for j in 0..nv {
                                isa.prefetch(at.wrapping_add(i * stride + j * LANES));
                            }
                        }
                        pick(isa, product, mr, nv, &block);
                        if through {
                            let finish = Finish {
                                from: sums,
                                from_stride: nv * LANES,
                                to: at,
                                to_stride: stride,
                                row,
                                column: channel,
                                rows: mr,
                                columns: width,
                                epilogue: ep,
                            };
                            product.finish(isa, finish);
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

/// The sums of 16 channels and as many panels of rows as a tile has at most.
#[repr(align(64))]
struct PanelSums([f32; 2 * PANEL * PANEL]);

/// Computes a rectangle of the output by tiles of channels and panels of rows: [`sweep`] with the sides exchanged.
/// A panel's weights take `weight_bytes` on average. Sums come channel by channel and are transposed on their way to the epilogue.
///
/// # Safety
/// `x` must have every row of the rectangle; the product must have weights for every column of it and for `x`'s
/// words, and its tables must cover both.
#[inline(always)]
pub(crate) unsafe fn sweep_panels<I: Isa, P: Steps<I>>(
    isa: I,
    product: P,
    x: Panels<'_>,
    weight_bytes: usize,
    ep: &Epilogue<'_>,
    mut out: OutMut<'_>,
) {
    let (rows, columns) = (out.rows(), out.columns());
    assert!(
        rows.start.is_multiple_of(PANEL) && columns.start.is_multiple_of(PANEL),
        "a product's rows and columns begin with a panel"
    );
    epilogue::check(ep, &out);
    let (to, stride) = (out.pointer(), out.stride());
    let panel_bytes = x.columns() * P::STEP;
    let wide = P::TILE.accumulators / P::TILE.rows;
    let panels = rows.len().div_ceil(PANEL);
    let block_panels = (PANEL_BLOCK / panel_bytes.max(1)).max(wide) / wide * wide;
    let block_columns = (WEIGHT_BLOCK / weight_bytes.max(1)).max(1) * PANEL;
    let tiles = PANEL.div_ceil(P::TILE.rows);
    let mut by_channel = PanelSums([0.0; 2 * PANEL * PANEL]);
    let mut by_row = PanelSums([0.0; 2 * PANEL * PANEL]);
    let (by_channel, by_row) = (by_channel.0.as_mut_ptr(), by_row.0.as_mut_ptr());
    for first in (0..panels).step_by(block_panels) {
        let last = panels.min(first + block_panels);
        for start in columns.clone().step_by(block_columns) {
            let end = columns.end.min(start + block_columns);
            for panel in (first..last).step_by(wide) {
                let nv = wide.min(last - panel);
                let row = rows.start + panel * PANEL;
                let height = (rows.end - row).min(nv * PANEL);
                for column in (start..end).step_by(PANEL) {
                    let mut channel = 0;
                    for t in 0..tiles {
                        let mr = PANEL / tiles + usize::from(t < PANEL % tiles);
                        // SAFETY: the caller promises rows and channels; there is room for the sums of 16 channels.
                        unsafe {
                            let block = Block {
                                rows: Rows::none(),
                                runs: 1,
                                run_step: 0,
                                run_len: x.columns(),
                                weights: x.words().as_ptr().cast::<u8>().add(row / PANEL * panel_bytes),
                                panel: panel_bytes,
                                from: null(),
                                from_stride: 0,
                                to: by_channel.add(channel * nv * PANEL),
                                to_stride: nv * PANEL,
                                last: LANES,
                                row: column + channel,
                                channel: row,
                            };
                            pick_across(isa, product, mr, nv, &block);
                        }
                        channel += mr;
                    }
                    // SAFETY: every sum was written above, and the caller promises rows, channels and the output.
                    unsafe {
                        for j in 0..nv {
                            let to = by_row.add(j * PANEL * PANEL);
                            isa.transpose(by_channel.add(j * PANEL), nv * PANEL, to, PANEL);
                        }
                        let finish = Finish {
                            from: by_row,
                            from_stride: PANEL,
                            to: to.add(panel * PANEL * stride + column - columns.start),
                            to_stride: stride,
                            row,
                            column,
                            rows: height,
                            columns: (columns.end - column).min(PANEL),
                            epilogue: ep,
                        };
                        product.finish(isa, finish);
                    }
                }
            }
        }
    }
}

/// Runs a tile of channels by panels of rows.
///
/// # Safety
/// As [`Block::run`]. The size must be one that `sweep_panels` chooses.
#[inline(always)]
unsafe fn pick_across<I: Isa, P: Product<I>>(isa: I, product: P, mr: usize, nv: usize, block: &Block) {
    macro_rules! tiles {
        ($($mr:literal x $nv:literal)*) => {
            match (mr, nv) {
                $(($mr, $nv) if const {
                    let tiles = PANEL.div_ceil(P::TILE.rows);
                    ($mr == PANEL / tiles || $mr == PANEL.div_ceil(tiles)) && $mr * $nv <= P::TILE.accumulators
                } => {
                    // SAFETY: the caller's promise.
                    unsafe { product.call::<$mr, $nv>(isa, block) }
                },)*
                _ => unreachable!("no tile of {mr} channels by {nv} panels"),
            }
        };
    }
    tiles! { 8 x 2 8 x 1 6 x 2 6 x 1 5 x 2 5 x 1 4 x 1 2 x 1 }
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
                // Constant, so that tiles that this instruction set has no registers for are never compiled.
                $($(($mr, $nv) if const { $mr <= P::TILE.rows && $mr * $nv <= P::TILE.accumulators } => {
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

//! The ways of a tile along K: every step of it, or the blocks of it that are kept.

use tiny_vlm_simd::{Isa, Tile};

use super::{Block, Steps};
use crate::layout::PANEL;
use crate::sparse::Pattern;

/// How a tile's sums are made, in the order of K.
pub(crate) trait Walk: Copy {
    /// Whether K can be cut into blocks whose partial sums are kept in the output.
    const RESUMES: bool;
    /// Whether vectors are of activations and words of weights.
    const TURNED: bool;
    /// The largest tile, where the instruction set has the registers.
    const MOST: Tile;
    /// How the last part of kernel names begins.
    const NAME: &'static str;

    /// Adds the products to `acc`.
    ///
    /// # Safety
    /// As [`Block::run`].
    unsafe fn sum<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
        self,
        isa: I,
        product: P,
        block: &Block,
        acc: [[P::Acc; NV]; MR],
    ) -> [[P::Acc; NV]; MR];
}

/// The tile of a way, where that of its instruction set is this one.
pub(crate) const fn at_most<W: Walk>(tile: Tile) -> Tile {
    const fn least(a: usize, b: usize) -> usize {
        if a < b { a } else { b }
    }
    Tile {
        rows: least(tile.rows, W::MOST.rows),
        accumulators: least(tile.accumulators, W::MOST.accumulators),
    }
}

/// The tile of a way as kernel names have it: rows of activations by channels.
pub(crate) fn tile_name<W: Walk>(tile: Tile) -> String {
    let Tile { rows, accumulators } = at_most::<W>(tile);
    let lanes = accumulators / rows * PANEL;
    let (rows, channels) = if W::TURNED { (lanes, rows) } else { (rows, lanes) };
    format!("{}{rows}x{channels}", W::NAME)
}

/// Every step. A word of activations serves all panels of the tile.
#[derive(Clone, Copy)]
pub(crate) struct Dense;

impl Walk for Dense {
    const RESUMES: bool = true;
    const TURNED: bool = false;
    const MOST: Tile = Tile { rows: usize::MAX, accumulators: usize::MAX };
    const NAME: &'static str = "";

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and vector")]
    unsafe fn sum<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
        self,
        isa: I,
        product: P,
        block: &Block,
        mut acc: [[P::Acc; NV]; MR],
    ) -> [[P::Acc; NV]; MR] {
        let mut weights = block.weights;
        for run in 0..block.runs {
            let mut rows = [std::ptr::null::<u32>(); MR];
            for i in 0..MR {
                // SAFETY: the caller promises this run of the row.
                rows[i] = unsafe { block.rows.get(i).add(run * block.run_step).cast() };
            }
            for k in 0..block.run_len {
                // SAFETY: the caller promises `run_len` words of each row's run, at any alignment, and a step of
                // each panel for every word.
                unsafe {
                    let mut w = [product.weights(isa, weights); NV];
                    for j in 1..NV {
                        w[j] = product.weights(isa, weights.add(j * block.panel));
                    }
                    for i in 0..MR {
                        let a = product.spread(isa, rows[i].add(k).read_unaligned());
                        for j in 0..NV {
                            acc[i][j] = product.step(isa, acc[i][j], a, w[j]);
                        }
                    }
                    weights = weights.add(P::STEP);
                }
            }
        }
        acc
    }
}

/// The blocks that are kept, each of `STEPS` steps, for few rows: panels of weights by words of activations. Each panel
/// keeps other blocks and so has words of its own; several are in a tile to hide the latency of a sum.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a, const STEPS: usize>(pub(crate) &'a Pattern);

impl<const STEPS: usize> Walk for Kept<'_, STEPS> {
    const RESUMES: bool = false;
    const TURNED: bool = false;
    const MOST: Tile = Tile { rows: 2, accumulators: 8 };
    const NAME: &'static str = "sparse";

    #[inline(always)]
    unsafe fn sum<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
        self,
        isa: I,
        product: P,
        block: &Block,
        mut acc: [[P::Acc; NV]; MR],
    ) -> [[P::Acc; NV]; MR] {
        let short = block.run_len / STEPS;
        let mut kept: [(&[u32], bool); NV] = [(&[], false); NV];
        let mut weights = [block.weights; NV];
        for j in 0..NV {
            let panel = block.channel / PANEL + j;
            kept[j] = self.0.whole(panel, short);
            weights[j] = block.weights.wrapping_add(self.0.panel(panel).start * STEPS * P::STEP);
        }
        let longest = kept.iter().fold(0, |longest, (columns, _)| longest.max(columns.len()));
        // SAFETY: the pattern has whole blocks within K and within the weights, and of the short one the first steps.
        unsafe {
            for b in 0..longest {
                for j in 0..NV {
                    if let Some(place) = kept[j].0.get(b) {
                        let (k, w) = (*place as usize * STEPS, weights[j].add(b * STEPS * P::STEP));
                        column(isa, product, block, k, w, STEPS, &mut acc, j);
                    }
                }
            }
            for j in 0..NV {
                if kept[j].1 {
                    let w = weights[j].add(kept[j].0.len() * STEPS * P::STEP);
                    column(isa, product, block, short * STEPS, w, block.run_len % STEPS, &mut acc, j);
                }
            }
        }
        acc
    }
}

/// Steps of one panel of a tile, from the word `k` of each row on.
///
/// # Safety
/// `MR` rows must have these words, and `weights` these steps.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "a part of a loop, which a closure cannot be: it would lose the instruction set"
)]
#[expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and vector")]
unsafe fn column<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
    isa: I,
    product: P,
    block: &Block,
    k: usize,
    weights: *const u8,
    steps: usize,
    acc: &mut [[P::Acc; NV]; MR],
    j: usize,
) {
    for s in 0..steps {
        // SAFETY: the caller's promise.
        unsafe {
            let w = product.weights(isa, weights.add(s * P::STEP));
            for i in 0..MR {
                let a = product.spread(isa, block.rows.get(i).cast::<u32>().add(k + s).read_unaligned());
                acc[i][j] = product.step(isa, acc[i][j], a, w);
            }
        }
    }
}

/// The blocks that are kept, each of `STEPS` steps, for many rows: panels of 16 rows of activations by words of weights.
/// A word of weights serves all panels of the tile, so that it has the proportions of a dense one. Its rows are
/// channels, its columns rows of the output.
#[derive(Clone, Copy)]
pub(crate) struct Across<'a, const STEPS: usize> {
    pub(crate) pattern: &'a Pattern,
    /// The pattern's blocks.
    pub(crate) blocks: *const u8,
}

impl<const STEPS: usize> Across<'_, STEPS> {
    /// Bytes of a panel's blocks, on average.
    pub(crate) fn panel_bytes(&self) -> usize {
        let blocks = self.pattern.columns().len();
        blocks * STEPS * size_of::<[u32; PANEL]>() / self.pattern.n().div_ceil(PANEL).max(1)
    }
}

impl<const STEPS: usize> Walk for Across<'_, STEPS> {
    const RESUMES: bool = false;
    const TURNED: bool = true;
    const MOST: Tile = Tile { rows: 8, accumulators: 16 };
    const NAME: &'static str = "sparse";

    #[inline(always)]
    unsafe fn sum<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
        self,
        isa: I,
        product: P,
        block: &Block,
        mut acc: [[P::Acc; NV]; MR],
    ) -> [[P::Acc; NV]; MR] {
        let (panel, channel) = (block.row / PANEL, block.row % PANEL);
        let short = block.run_len / STEPS;
        let (columns, ends_short) = self.pattern.whole(panel, short);
        let first = self.pattern.panel(panel).start * STEPS * PANEL + channel;
        let mut words = self.blocks.cast::<u32>().wrapping_add(first);
        // SAFETY: the pattern has its blocks within K, which the caller promises of the panels, and within the weights.
        unsafe {
            for column in columns {
                let x = block.weights.add(*column as usize * STEPS * P::STEP);
                across(isa, product, x, block.panel, words, STEPS, &mut acc);
                words = words.wrapping_add(STEPS * PANEL);
            }
            if ends_short {
                let x = block.weights.add(short * STEPS * P::STEP);
                across(isa, product, x, block.panel, words, block.run_len % STEPS, &mut acc);
            }
        }
        acc
    }
}

/// Steps of a tile of `MR` channels by `NV` panels of rows, which are `panel` bytes apart.
///
/// # Safety
/// The panels must have these steps, and `words` as many rows of 16.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and vector")]
unsafe fn across<I: Isa, P: Steps<I>, const MR: usize, const NV: usize>(
    isa: I,
    product: P,
    x: *const u8,
    panel: usize,
    words: *const u32,
    steps: usize,
    acc: &mut [[P::Acc; NV]; MR],
) {
    for s in 0..steps {
        // SAFETY: the caller's promise.
        unsafe {
            let mut vectors = [product.weights(isa, x.add(s * P::STEP)); NV];
            for j in 1..NV {
                vectors[j] = product.weights(isa, x.add(j * panel + s * P::STEP));
            }
            for i in 0..MR {
                let word = product.spread(isa, words.add(s * PANEL + i).read_unaligned());
                for j in 0..NV {
                    acc[i][j] = product.step(isa, acc[i][j], word, vectors[j]);
                }
            }
        }
    }
}

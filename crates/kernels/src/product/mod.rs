//! Matrix products: one register tile and one loop nest for every type.
//!
//! A tile is `MR` rows of activations by `NV` panels of 16 channels. Each step along K loads `NV` vectors of 64
//! bytes of weights, broadcasts one 4-byte word of each row (an f32, two bf16, four u8) and feeds `MR · NV`
//! accumulators, which stay in registers from the first value of K to the last (Goto and van de Geijn,
//! "Anatomy of high-performance matrix multiplication", 2008). [`Steps`] says what one step does and [`Walk`]
//! which steps there are; weights whose scales change along K have a tile of their own.
//!
//! Every output is summed along K in order, by itself. So it does not depend on the tile it fell into, on how
//! many rows were computed with it or on the number of threads; and, but for WebAssembly and for the portable level on
//! machines without a fused multiply-add, not on the instruction set.

mod bf16;
mod f32;
mod grouped;
mod s8;
mod sweep;
mod walk;
mod widened;

pub use bf16::{bf16_kernel, gemm_bf16};
pub use f32::{f32_kernel, gemm_f32, gemm_f32_sparse, gemm_f32_sparse_panels, sparse_f32_kernel};
pub use grouped::{gemm_grouped, grouped_kernel};
pub use s8::{Quantized, gemm_s8, gemm_s8_sparse, gemm_s8_sparse_panels, s8_kernel, sparse_s8_kernel};
pub use widened::{Widen, gemm_widened, widened_kernel};

use std::mem::MaybeUninit;

use tiny_vlm_simd::{Isa, LANES, Tile};
use walk::Walk;

use crate::epilogue::Finish;

/// The most rows of any tile.
pub(crate) const MOST_ROWS: usize = 12;
/// The most accumulators of any tile.
pub(crate) const MOST_ACCUMULATORS: usize = 24;

/// What the loop nest has to know of a product.
pub(crate) trait Product<I: Isa>: Copy {
    /// Bytes of a panel's step.
    const STEP: usize;
    /// Whether partial sums can be kept in the output between blocks of K.
    const RESUMES: bool;

    /// The register tile.
    const TILE: Tile;
    /// Panels of a tile of one row, which does little more than to read weights.
    const ROW_PANELS: usize;

    /// Whether sums have still to be converted, which is done on their way through the epilogue.
    const CONVERTS: bool;

    /// Runs a tile in a function of its own.
    ///
    /// # Safety
    /// As [`Block::run`].
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block);

    /// Takes sums through the epilogue in a function of its own.
    ///
    /// # Safety
    /// The product's tables must have the rows and channels that the sums are of.
    unsafe fn finish(self, isa: I, finish: Finish<'_, '_>);
}

/// Panels of a tile of one row, at most `most`. Several hide the latency of a sum, and are as many places that are read
/// from, each shorter than what a processor takes to fetch ahead. Where there are registers for two, the second hides
/// little: a single one is a stream that goes on in the next panel, read twice as fast from memory in WebAssembly.
const fn row_panels(tile: Tile, most: usize) -> usize {
    if tile.accumulators <= 2 {
        1
    } else if tile.accumulators < most {
        tile.accumulators
    } else {
        most
    }
}

/// What one step of a product does, where all steps are alike. `B` is a vector of weights, or one word of activations
/// in every lane; where [`Walk::TURNED`], a vector of activations, or one word of weights.
pub(crate) trait Steps<I: Isa>: Product<I> {
    type Acc: Copy;
    type B: Copy;

    /// No sum yet.
    fn zero(self, isa: I) -> Self::Acc;
    /// A partial sum from the output.
    ///
    /// # Safety
    /// `n` values must be readable.
    unsafe fn resume(self, isa: I, from: *const f32, n: usize) -> Self::Acc;
    /// A step of a panel.
    ///
    /// # Safety
    /// `STEP` bytes must be readable.
    unsafe fn weights(self, isa: I, from: *const u8) -> Self::B;
    /// A word of activations in every lane.
    fn spread(self, isa: I, word: u32) -> Self::B;
    /// Adds the product of activations and weights.
    fn step(self, isa: I, acc: Self::Acc, a: Self::B, w: Self::B) -> Self::Acc;
    /// The sum's 64 bytes.
    fn raw(self, isa: I, acc: Self::Acc) -> I::F32;
}

/// Where the rows of a tile begin. What a tile does not have is never written: an array of nulls to begin with would be
/// copied in pieces that overlap, and such a copy waits for every store before it, those of the last tile's sums, too.
#[derive(Clone, Copy)]
pub(crate) struct Rows([MaybeUninit<*const u8>; MOST_ROWS]);

impl Rows {
    /// Of no row yet.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Rows([const { MaybeUninit::uninit() }; MOST_ROWS])
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, i: usize, first: *const u8) {
        self.0[i].write(first);
    }

    /// # Safety
    /// The row must have been set.
    #[inline(always)]
    pub(crate) unsafe fn get(&self, i: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0[i].assume_init() }
    }
}

/// The pointers of one tile.
pub(crate) struct Block {
    /// Where each row's first run begins; of as many rows as the tile has.
    pub(crate) rows: Rows,
    pub(crate) runs: usize,
    /// Bytes from one run to the next.
    pub(crate) run_step: usize,
    /// Words of a run.
    pub(crate) run_len: usize,
    /// The first panel's first step of this block of K.
    pub(crate) weights: *const u8,
    /// Bytes from one panel to the next.
    pub(crate) panel: usize,
    /// Partial sums to go on from, or null.
    pub(crate) from: *const f32,
    pub(crate) from_stride: usize,
    /// Where the sums go.
    pub(crate) to: *mut f32,
    pub(crate) to_stride: usize,
    /// Columns of the last panel that are read and written, at most 16.
    pub(crate) last: usize,
    /// The place of the first sum in the whole output.
    pub(crate) row: usize,
    pub(crate) channel: usize,
}

impl Block {
    /// Computes the tile.
    ///
    /// # Safety
    /// The first `MR` rows must be set and valid for `runs` runs, `NV` panels for as many steps, and `from` and `to`
    /// for `MR` rows of `16·(NV − 1) + last` values.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and vector")]
    pub(crate) unsafe fn run<I: Isa, P: Steps<I>, W: Walk, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        product: P,
        walk: W,
    ) {
        let width = |j: usize| if j + 1 == NV { self.last } else { LANES };
        let mut acc = [[product.zero(isa); NV]; MR];
        if !self.from.is_null() {
            for i in 0..MR {
                for j in 0..NV {
                    // SAFETY: the caller promises these values.
                    acc[i][j] = unsafe {
                        let from = self.from.add(i * self.from_stride + j * LANES);
                        product.resume(isa, from, width(j))
                    };
                }
            }
        }
        // SAFETY: the caller's promise.
        let acc = unsafe { walk.sum(isa, product, self, acc) };
        for i in 0..MR {
            for j in 0..NV {
                // SAFETY: the tile has this vector; the caller promises room for it in the output.
                unsafe { self.put::<I, NV>(isa, i, j, product.raw(isa, acc[i][j])) };
            }
        }
    }

    /// Writes a vector of the tile.
    ///
    /// # Safety
    /// There must be room for it.
    #[inline(always)]
    unsafe fn put<I: Isa, const NV: usize>(&self, isa: I, i: usize, j: usize, sum: I::F32) {
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.to.add(i * self.to_stride + j * LANES);
            if j + 1 == NV && self.last < LANES {
                isa.store_first(to, self.last, sum);
            } else {
                isa.store(to, sum);
            }
        }
    }
}

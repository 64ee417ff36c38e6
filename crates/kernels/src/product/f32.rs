//! f32 activations by weights that are f32, or that are widened to it as they are loaded.

use std::marker::PhantomData;

use tiny_vlm_simd::{Isa, LANES, Level, Op, Tile};

use super::sweep::{sweep, sweep_panels};
use super::walk::{Across, Kept, Walk, at_most, tile_name};
use super::widened::{Widen, gemm_widened, widened_kernel};
use super::{Block, Product, Steps, row_panels};
use crate::epilogue::{Epilogue, Finish};
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;
use crate::panels::Panels;
use crate::sparse::{BLOCK, Sparse};

#[derive(Clone, Copy)]
struct F32<W, T>(W, PhantomData<T>);

impl<I: Isa, W: Walk, T: Widen> Product<I> for F32<W, T> {
    const STEP: usize = LANES * size_of::<T>();
    const RESUMES: bool = W::RESUMES;
    const TILE: Tile = at_most::<W>(tile::<I, T>());
    const ROW_PANELS: usize = row_panels(at_most::<W>(tile::<I, T>()), if W::RESUMES { 4 } else { 8 });
    const CONVERTS: bool = false;

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call(Call::<W, T, MR, NV>(self, block));
    }

    #[inline(always)]
    unsafe fn finish(self, isa: I, finish: Finish<'_, '_>) {
        isa.call(finish);
    }
}

/// Half the rows for narrow formats: they save memory, and larger tiles would only make the library larger.
const fn tile<I: Isa, T>() -> Tile {
    if size_of::<T>() == size_of::<f32>() {
        return I::TILE;
    }
    Tile { rows: I::TILE.rows.div_ceil(2), accumulators: I::TILE.accumulators.div_ceil(2) }
}

impl<I: Isa, W: Walk, T: Widen> Steps<I> for F32<W, T> {
    type Acc = I::F32;
    type B = I::F32;
    #[inline(always)]
    fn zero(self, isa: I) -> I::F32 {
        isa.splat(0.0)
    }
    #[inline(always)]
    unsafe fn resume(self, isa: I, from: *const f32, n: usize) -> I::F32 {
        // SAFETY: the caller's promise.
        unsafe { isa.load_first(from, n) }
    }
    #[inline(always)]
    unsafe fn weights(self, isa: I, from: *const u8) -> I::F32 {
        // SAFETY: the caller's promise of a step, which is 16 values.
        unsafe { T::widen(isa, from.cast()) }
    }
    #[inline(always)]
    fn spread(self, isa: I, word: u32) -> I::F32 {
        isa.splat(f32::from_bits(word))
    }
    #[inline(always)]
    fn step(self, isa: I, acc: I::F32, a: I::F32, w: I::F32) -> I::F32 {
        isa.fma(a, w, acc)
    }
    #[inline(always)]
    fn raw(self, _: I, acc: I::F32) -> I::F32 {
        acc
    }
}

struct Call<'a, W, T, const MR: usize, const NV: usize>(F32<W, T>, &'a Block);

impl<W: Walk, T: Widen, const MR: usize, const NV: usize> Op for Call<'_, W, T, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, F32<W, T>, W, MR, NV>(isa, self.0, self.0.0) }
    }
}

/// A product of the rows `lhs`.
pub(super) struct Gemm<'a, 'b, W, T> {
    pub(super) lhs: Words,
    pub(super) walk: W,
    pub(super) weights: &'a [T],
    /// Steps of a panel, where all have as many.
    pub(super) steps: usize,
    pub(super) epilogue: &'b Epilogue<'a>,
    pub(super) out: OutMut<'b>,
}

impl<W: Walk, T: Widen> Op for Gemm<'_, '_, W, T> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let weights = self.weights.as_ptr().cast();
        // SAFETY: who made it checked rows, columns and K against one another.
        unsafe {
            let product = F32(self.walk, PhantomData::<T>);
            sweep(isa, product, &self.lhs, weights, self.steps, self.epilogue, self.out);
        }
    }
}

/// The name of the kernel that a level takes.
pub fn f32_kernel(level: Level) -> String {
    widened_kernel::<f32>(level)
}

/// The name of the kernel that a level takes for sparse weights.
pub fn sparse_f32_kernel(level: Level) -> String {
    level.run(Name::<Across<'_, BLOCK>, f32>(PhantomData))
}

/// The name of a kernel.
pub(super) struct Name<W, T>(pub(super) PhantomData<(W, T)>);

impl<W: Walk, T: Widen> Op for Name<W, T> {
    type Output = String;
    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> String {
        format!("{}-f32{}f32-{}", I::NAME, T::NAME, tile_name::<W>(tile::<I, T>()))
    }
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)`.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel.
pub fn gemm_f32<'a>(
    level: Level,
    lhs: &Lhs<'_, f32>,
    weights: Packed<'a, f32>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    gemm_widened(level, lhs, weights, epilogue, out);
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` without the blocks that are left out.
///
/// # Panics
/// If the shapes do not fit one another, the activations are of several runs, or the rectangle does not begin with a
/// panel.
pub fn gemm_f32_sparse<'a>(
    level: Level,
    lhs: &Lhs<'_, f32>,
    weights: Sparse<'a, f32>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let pattern = weights.pattern();
    check_shapes(lhs.rows(), lhs.columns(), pattern.n(), pattern.k(), &out);
    let lhs = lhs.words();
    assert!(lhs.runs == 1, "sparse weights by activations of {} runs", lhs.runs);
    let walk = Kept::<BLOCK>(pattern);
    level.run(Gemm { lhs, walk, weights: weights.blocks(), steps: 0, epilogue, out });
}

/// As [`gemm_f32_sparse`], for rows in panels: the same bits, faster where they are more than a few.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel of either side.
pub fn gemm_f32_sparse_panels<'a>(
    level: Level,
    x: Panels<'_>,
    weights: Sparse<'a, f32>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let pattern = weights.pattern();
    check_shapes(x.rows(), x.columns(), pattern.n(), pattern.k(), &out);
    let walk = Across::<BLOCK> { pattern, blocks: weights.blocks().as_ptr().cast() };
    level.run(GemmPanels { x, walk, epilogue, out });
}

struct GemmPanels<'a, 'b> {
    x: Panels<'b>,
    walk: Across<'a, BLOCK>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl Op for GemmPanels<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let weight_bytes = self.walk.panel_bytes();
        // SAFETY: who made it checked rows, columns and K against one another.
        unsafe {
            sweep_panels(
                isa,
                F32(self.walk, PhantomData::<f32>),
                self.x,
                weight_bytes,
                self.epilogue,
                self.out,
            )
        }
    }
}

/// Checks what the loop nest relies on.
pub(crate) fn check_shapes(rows: usize, columns: usize, n: usize, k: usize, out: &OutMut<'_>) {
    assert_eq!(columns, k, "activations of {rows}x{columns} by weights of {n}x{k}");
    let (r, c) = (out.rows().end, out.columns().end);
    assert!(r <= rows && c <= n, "{rows}x{columns} by {n}x{k} into an output of {r}x{c}");
}

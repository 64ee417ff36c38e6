//! f32 activations by f32 weights.

use std::marker::PhantomData;

use tiny_vlm_simd::{Isa, Level, Op, Tile};

use super::sweep::{sweep, sweep_panels};
use super::walk::{Across, Dense, Kept, Walk, at_most, tile_name};
use super::{Block, Product, Steps};
use crate::epilogue::Epilogue;
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;
use crate::panels::Panels;
use crate::sparse::{BLOCK, Sparse};

#[derive(Clone, Copy)]
struct F32<W>(W);

impl<I: Isa, W: Walk> Product<I> for F32<W> {
    const STEP: usize = 64;
    const RESUMES: bool = W::RESUMES;
    const TILE: Tile = at_most::<W>(I::TILE);

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call(Call::<W, MR, NV>(self, block));
    }
}

impl<I: Isa, W: Walk> Steps<I> for F32<W> {
    type Acc = I::F32;
    type B = I::F32;
    const CONVERTS: bool = false;

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
        // SAFETY: the caller's promise.
        unsafe { isa.load(from.cast()) }
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
    #[inline(always)]
    unsafe fn result(self, _: I, raw: I::F32, _: usize, _: usize) -> I::F32 {
        raw
    }
}

struct Call<'a, W, const MR: usize, const NV: usize>(F32<W>, &'a Block);

impl<W: Walk, const MR: usize, const NV: usize> Op for Call<'_, W, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, F32<W>, W, MR, NV>(isa, self.0, self.0.0) }
    }
}

struct Gemm<'a, 'b, W> {
    lhs: Words,
    walk: W,
    weights: &'a [f32],
    /// Steps of a panel, where all have as many.
    steps: usize,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl<W: Walk> Op for Gemm<'_, '_, W> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let weights = self.weights.as_ptr().cast();
        // SAFETY: who made it checked rows, columns and K against one another.
        unsafe { sweep(isa, F32(self.walk), &self.lhs, weights, self.steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn f32_kernel(level: Level) -> String {
    level.run(Name::<Dense>(PhantomData))
}

/// The name of the kernel that a level takes for sparse weights.
pub fn sparse_f32_kernel(level: Level) -> String {
    level.run(Name::<Across<'_, BLOCK>>(PhantomData))
}

struct Name<W>(PhantomData<W>);

impl<W: Walk> Op for Name<W> {
    type Output = String;
    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> String {
        format!("{}-f32f32f32-{}", I::NAME, tile_name::<W>(I::TILE))
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
    check_shapes(lhs.rows(), lhs.columns(), weights.n(), weights.k(), &out);
    let (lhs, steps) = (lhs.words(), weights.steps());
    level.run(Gemm { lhs, walk: Dense, weights: weights.data(), steps, epilogue, out });
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
        unsafe { sweep_panels(isa, F32(self.walk), self.x, weight_bytes, self.epilogue, self.out) }
    }
}

/// Checks what the loop nest relies on.
pub(crate) fn check_shapes(rows: usize, columns: usize, n: usize, k: usize, out: &OutMut<'_>) {
    assert_eq!(columns, k, "activations of {rows}x{columns} by weights of {n}x{k}");
    let (r, c) = (out.rows().end, out.columns().end);
    assert!(r <= rows && c <= n, "{rows}x{columns} by {n}x{k} into an output of {r}x{c}");
}

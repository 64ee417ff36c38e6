//! f32 activations by f16 weights, widened as they are loaded.

use half::f16;
use tiny_vlm_simd::{Isa, Level, Op, Tile};

use super::f32::check_shapes;
use super::sweep::sweep;
use super::walk::Dense;
use super::{Block, Product, Steps};
use crate::epilogue::Epilogue;
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;

#[derive(Clone, Copy)]
struct F16;

impl<I: Isa> Product<I> for F16 {
    const STEP: usize = 32;
    const RESUMES: bool = true;
    /// Half the rows: the format saves memory, and larger tiles would only make the library larger.
    const TILE: Tile =
        Tile { rows: I::TILE.rows.div_ceil(2), accumulators: I::TILE.accumulators.div_ceil(2) };

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call(Call::<MR, NV>(self, block));
    }
}

impl<I: Isa> Steps<I> for F16 {
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
        unsafe { isa.load_f16(from.cast()) }
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

struct Call<'a, const MR: usize, const NV: usize>(F16, &'a Block);

impl<const MR: usize, const NV: usize> Op for Call<'_, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, F16, Dense, MR, NV>(isa, self.0, Dense) }
    }
}

struct Gemm<'a, 'b> {
    lhs: Words,
    weights: Packed<'a, f16>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl Op for Gemm<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (w, steps) = (self.weights.data().as_ptr().cast(), self.weights.steps());
        // SAFETY: `gemm_f16` checked rows, columns and K against one another.
        unsafe { sweep(isa, F16, &self.lhs, w, steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn f16_kernel(level: Level) -> String {
    struct Name;
    impl Op for Name {
        type Output = String;
        #[inline(always)]
        fn eval<I: Isa>(self, _: I) -> String {
            let tile = <F16 as Product<I>>::TILE;
            format!("{}-f32f16f32-{}x{}", I::NAME, tile.rows, tile.accumulators / tile.rows * 16)
        }
    }
    level.run(Name)
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` with weights stored in half precision.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel.
pub fn gemm_f16<'a>(
    level: Level,
    lhs: &Lhs<'_, f32>,
    weights: Packed<'a, f16>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    check_shapes(lhs.rows(), lhs.columns(), weights.n(), weights.k(), &out);
    level.run(Gemm { lhs: lhs.words(), weights, epilogue, out });
}

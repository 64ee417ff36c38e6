//! bf16 activations by bf16 weights, summed in f32.

use half::bf16;
use tiny_vlm_simd::{Bf16Op, DotBf16, Level, Tile};

use super::f32::check_shapes;
use super::sweep::sweep;
use super::walk::Dense;
use super::{Block, Product, Steps, row_panels};
use crate::epilogue::{Epilogue, Finish};
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;

#[derive(Clone, Copy)]
struct Bf16;

impl<I: DotBf16> Product<I> for Bf16 {
    const STEP: usize = 64;
    const RESUMES: bool = true;
    const TILE: Tile = I::BF16_TILE;
    const ROW_PANELS: usize = row_panels(I::BF16_TILE, 4);
    const CONVERTS: bool = false;

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call_bf16(Call::<MR, NV>(self, block));
    }

    #[inline(always)]
    unsafe fn finish(self, isa: I, finish: Finish<'_, '_>) {
        isa.call(finish);
    }
}

impl<I: DotBf16> Steps<I> for Bf16 {
    type Acc = I::F32;
    type B = I::I32;
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
    unsafe fn weights(self, isa: I, from: *const u8) -> I::I32 {
        // SAFETY: the caller's promise.
        unsafe { isa.load_i32(from.cast()) }
    }
    #[inline(always)]
    fn spread(self, isa: I, word: u32) -> I::I32 {
        isa.splat_i32(word as i32)
    }
    #[inline(always)]
    fn step(self, isa: I, acc: I::F32, a: I::I32, w: I::I32) -> I::F32 {
        isa.dot_bf16(acc, a, w)
    }
    #[inline(always)]
    fn raw(self, _: I, acc: I::F32) -> I::F32 {
        acc
    }
}

struct Call<'a, const MR: usize, const NV: usize>(Bf16, &'a Block);

impl<const MR: usize, const NV: usize> Bf16Op for Call<'_, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, Bf16, Dense, MR, NV>(isa, self.0, Dense) }
    }
}

struct Gemm<'a, 'b> {
    lhs: Words,
    weights: Packed<'a, bf16>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl Bf16Op for Gemm<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) {
        let (w, steps) = (self.weights.data().as_ptr().cast(), self.weights.steps());
        // SAFETY: `gemm_bf16` checked rows, columns and K against one another.
        unsafe { sweep(isa, Bf16, &self.lhs, w, steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn bf16_kernel(level: Level) -> String {
    struct Name;
    impl Bf16Op for Name {
        type Output = String;
        #[inline(always)]
        fn eval<I: DotBf16>(self, _: I) -> String {
            let tile = I::BF16_TILE;
            format!("{}-bf16bf16f32-{}x{}", I::BF16_NAME, tile.rows, tile.accumulators / tile.rows * 16)
        }
    }
    level.run_bf16(Name)
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` with bf16 products. The activations' rows must be padded
/// with zeros to an even K.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel.
pub fn gemm_bf16<'a>(
    level: Level,
    lhs: &Lhs<'_, bf16>,
    weights: Packed<'a, bf16>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    check_shapes(lhs.rows(), lhs.columns(), weights.n(), weights.k().next_multiple_of(2), &out);
    level.run_bf16(Gemm { lhs: lhs.words(), weights, epilogue, out });
}

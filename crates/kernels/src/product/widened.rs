//! f32 activations by narrower weights, widened as they are loaded.

use std::marker::PhantomData;

use half::{bf16, f16};
use tiny_vlm_simd::{Isa, LANES, Level, Op, Tile};

use super::f32::check_shapes;
use super::sweep::sweep;
use super::walk::Dense;
use super::{Block, Product, Steps};
use crate::epilogue::Epilogue;
use crate::layout::{Element, Packed, Single};
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;

/// A type of which every value is an f32 as well.
pub trait Widen: Element {
    /// What kernels' names call it.
    const NAME: &'static str;

    /// Reads 16 values.
    ///
    /// # Safety
    /// `from` must be valid for reading 16 of them; it needs no alignment.
    unsafe fn widen<I: Isa>(isa: I, from: *const Self) -> I::F32;
}

impl Widen for f16 {
    const NAME: &'static str = "f16";

    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, from: *const Self) -> I::F32 {
        // SAFETY: the caller's promise; a number is a half-word.
        unsafe { isa.load_f16(from.cast()) }
    }
}

impl Widen for Single<bf16> {
    const NAME: &'static str = "bf16";

    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, from: *const Self) -> I::F32 {
        // SAFETY: the caller's promise; a number is a half-word.
        unsafe { isa.load_bf16(from.cast()) }
    }
}

impl Widen for Single<i8> {
    const NAME: &'static str = "s8";

    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, from: *const Self) -> I::F32 {
        // SAFETY: the caller's promise; a number is a byte.
        isa.to_f32(unsafe { isa.load_i8(from.cast()) })
    }
}

struct Widened<T>(PhantomData<T>);

impl<T> Clone for Widened<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Widened<T> {}

impl<I: Isa, T: Widen> Product<I> for Widened<T> {
    const STEP: usize = LANES * size_of::<T>();
    const RESUMES: bool = true;
    const TILE: Tile = tile::<I>();

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call(Call::<T, MR, NV>(self, block));
    }
}

/// Half the rows of f32's: narrow formats save memory, and larger tiles would only make the library larger.
const fn tile<I: Isa>() -> Tile {
    Tile { rows: I::TILE.rows.div_ceil(2), accumulators: I::TILE.accumulators.div_ceil(2) }
}

impl<I: Isa, T: Widen> Steps<I> for Widened<T> {
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
    #[inline(always)]
    unsafe fn result(self, _: I, raw: I::F32, _: usize, _: usize) -> I::F32 {
        raw
    }
}

struct Call<'a, T, const MR: usize, const NV: usize>(Widened<T>, &'a Block);

impl<T: Widen, const MR: usize, const NV: usize> Op for Call<'_, T, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, Widened<T>, Dense, MR, NV>(isa, self.0, Dense) }
    }
}

struct Gemm<'a, 'b, T> {
    lhs: Words,
    weights: Packed<'a, T>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl<T: Widen> Op for Gemm<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (w, steps) = (self.weights.data().as_ptr().cast(), self.weights.k());
        // SAFETY: `gemm_widened` checked rows, columns and K against one another, and that a step is one value of
        // each channel.
        unsafe { sweep(isa, Widened::<T>(PhantomData), &self.lhs, w, steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn widened_kernel<T: Widen>(level: Level) -> String {
    struct Name(&'static str);
    impl Op for Name {
        type Output = String;
        #[inline(always)]
        fn eval<I: Isa>(self, _: I) -> String {
            let tile = tile::<I>();
            format!("{}-f32{}f32-{}x{}", I::NAME, self.0, tile.rows, tile.accumulators / tile.rows * 16)
        }
    }
    level.run(Name(T::NAME))
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` with weights stored in a narrower type: each is widened exactly,
/// so that what differs from [`gemm_f32`](super::gemm_f32) is what storing them lost.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel.
pub fn gemm_widened<'a, T: Widen>(
    level: Level,
    lhs: &Lhs<'_, f32>,
    weights: Packed<'a, T>,
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    const { assert!(T::LAYOUT.group() == 1, "a step is one value of each channel") };
    check_shapes(lhs.rows(), lhs.columns(), weights.n(), weights.k(), &out);
    level.run(Gemm { lhs: lhs.words(), weights, epilogue, out });
}

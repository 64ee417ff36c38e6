//! f32 activations by narrower weights, widened as they are loaded.

use std::marker::PhantomData;

use half::{bf16, f16};
use tiny_vlm_simd::{Isa, Level};

use super::f32::{Gemm, Name, check_shapes};
use super::walk::Dense;
use crate::epilogue::Epilogue;
use crate::layout::{Element, Packed, Single};
use crate::lhs::Lhs;
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

impl Widen for f32 {
    const NAME: &'static str = "f32";

    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, from: *const Self) -> I::F32 {
        // SAFETY: the caller's promise.
        unsafe { isa.load(from) }
    }
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

/// The name of the kernel that a level takes.
pub fn widened_kernel<T: Widen>(level: Level) -> String {
    level.run(Name::<Dense, T>(PhantomData))
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` with weights stored in a type that may be narrower: each is widened exactly,
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
    let (lhs, steps) = (lhs.words(), weights.k());
    level.run(Gemm { lhs, walk: Dense, weights: weights.data(), steps, epilogue, out });
}

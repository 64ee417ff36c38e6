//! WebAssembly's simd128: a vector is four registers. `RELAXED` takes the instructions whose result the standard
//! leaves to the engine within bounds: a multiply-add that may round once or twice, and an int8 dot product that
//! may read its second operand as signed or unsigned and so wants it below 128.
//!
//! A module with an instruction that the engine lacks is refused as a whole, so what a module was compiled with is
//! there when it runs, and the intrinsics are safe to call.

use core::arch::wasm32::*;

use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Op, Tile};

/// The simd128 token.
#[derive(Clone, Copy, Debug)]
pub struct Simd128<const RELAXED: bool>(());

impl<const RELAXED: bool> Simd128<RELAXED> {
    /// The token. Where the module is compiled without relaxed vectors, none of `RELAXED` may be made: its
    /// instructions would make engines refuse the module.
    pub(crate) fn new() -> Self {
        Simd128(())
    }
}

type V = [v128; 4];

/// Adding 1.5 · 2²³ leaves a float's nearest integer in its low mantissa bits.
const ROUNDER: f32 = 12_582_912.0;

#[inline(always)]
fn map(a: V, f: impl Fn(v128) -> v128) -> V {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(v128, v128) -> v128) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

#[inline(always)]
fn zip3(a: V, b: V, c: V, f: impl Fn(v128, v128, v128) -> v128) -> V {
    [f(a[0], b[0], c[0]), f(a[1], b[1], c[1]), f(a[2], b[2], c[2]), f(a[3], b[3], c[3])]
}

/// The lanes folded by halves: `i` with `i + 8`, then 4, 2, 1.
#[inline(always)]
fn halve(a: V, f: impl Fn(v128, v128) -> v128) -> f32 {
    let b = f(f(a[0], a[2]), f(a[1], a[3]));
    let c = f(b, i32x4_shuffle::<2, 3, 2, 3>(b, b));
    f32x4_extract_lane::<0>(f(c, i32x4_shuffle::<1, 1, 1, 1>(c, c)))
}

/// Where relaxed vectors are compiled in, LLVM 22 makes a relaxed maximum of `f32x4_pmax`, which treats what is not a
/// number as the engine likes, and likewise of the minimum.
const PSEUDO: bool = cfg!(not(target_feature = "relaxed-simd"));

/// `a` where `a > b`, else `b`. The instruction is `a < b ? b : a`.
#[inline(always)]
fn larger(a: v128, b: v128) -> v128 {
    if PSEUDO { f32x4_pmax(b, a) } else { v128_bitselect(a, b, f32x4_gt(a, b)) }
}

/// `a` where `a < b`, else `b`. The instruction is `b < a ? b : a`.
#[inline(always)]
fn smaller(a: v128, b: v128) -> v128 {
    if PSEUDO { f32x4_pmin(b, a) } else { v128_bitselect(a, b, f32x4_lt(a, b)) }
}

#[inline(never)]
unsafe fn load_part(src: *const f32, n: usize) -> V {
    let mut part = [0.0_f32; LANES];
    // SAFETY: the caller promises `n <= 16` readable values; a register has no invalid bits.
    unsafe {
        src.copy_to_nonoverlapping(part.as_mut_ptr(), n);
        core::mem::transmute::<[f32; LANES], V>(part)
    }
}

#[inline(never)]
unsafe fn store_part(dst: *mut f32, n: usize, x: V) {
    // SAFETY: the caller promises room for `n` values, and `x` holds 16.
    unsafe { x.as_ptr().cast::<f32>().copy_to_nonoverlapping(dst, n) }
}

impl<const RELAXED: bool> Isa for Simd128<RELAXED> {
    type F32 = V;
    type I32 = V;
    type Mask = V;

    const NAME: &'static str = if RELAXED { "wasm32-relaxed" } else { "wasm32-simd128" };
    // The relaxed multiply-add rounds once only where the machine has such an instruction.
    const FUSED: bool = false;
    // V8 has 15 registers for this on x86: two rows take 8 sums, 4 of weights and one of activations, three would spill.
    const TILE: Tile = Tile { rows: 2, accumulators: 2 };

    #[inline(never)]
    fn call<O: Op>(self, op: O) -> O::Output {
        op.eval(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [f32x4_splat(x); 4]
    }
    #[inline(always)]
    unsafe fn load(self, src: *const f32) -> V {
        // SAFETY: the caller promises 16 readable values.
        unsafe { self.load_i32(src.cast()) }
    }
    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> V {
        debug_assert!(n <= LANES);
        // SAFETY: the caller promises `n` readable values.
        unsafe { if n == LANES { self.load(src) } else { load_part(src, n) } }
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32, x: V) {
        // SAFETY: the caller promises room for 16 values.
        unsafe { self.store_i32(dst.cast(), x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: V) {
        debug_assert!(n <= LANES);
        // SAFETY: the caller promises room for `n` values.
        unsafe { if n == LANES { self.store(dst, x) } else { store_part(dst, n, x) } }
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        zip(a, b, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        zip(a, b, |a, b| f32x4_sub(a, b))
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        zip(a, b, |a, b| f32x4_mul(a, b))
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        zip(a, b, |a, b| f32x4_div(a, b))
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        if RELAXED {
            zip3(a, b, c, |a, b, c| f32x4_relaxed_madd(a, b, c))
        } else {
            self.add(self.mul(a, b), c)
        }
    }
    #[inline(always)]
    fn fnma(self, a: V, b: V, c: V) -> V {
        if RELAXED {
            zip3(a, b, c, |a, b, c| f32x4_relaxed_nmadd(a, b, c))
        } else {
            self.sub(c, self.mul(a, b))
        }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        zip(a, b, larger)
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        zip(a, b, smaller)
    }
    #[inline(always)]
    fn abs(self, a: V) -> V {
        map(a, |a| f32x4_abs(a))
    }

    #[inline(always)]
    fn gt(self, a: V, b: V) -> V {
        zip(a, b, |a, b| f32x4_gt(a, b))
    }
    #[inline(always)]
    fn select(self, mask: V, a: V, b: V) -> V {
        zip3(a, b, mask, |a, b, mask| v128_bitselect(a, b, mask))
    }

    #[inline(always)]
    fn reduce_sum(self, a: V) -> f32 {
        halve(a, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    fn reduce_max(self, a: V) -> f32 {
        halve(a, larger)
    }
    #[inline(always)]
    fn reduce_min(self, a: V) -> f32 {
        halve(a, smaller)
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> V {
        [i32x4_splat(x); 4]
    }
    #[inline(always)]
    unsafe fn load_i32(self, src: *const i32) -> V {
        let src = src.cast::<v128>();
        // SAFETY: the caller promises 64 readable bytes; the instruction needs no alignment.
        unsafe { [v128_load(src), v128_load(src.add(1)), v128_load(src.add(2)), v128_load(src.add(3))] }
    }
    #[inline(always)]
    unsafe fn store_i32(self, dst: *mut i32, x: V) {
        let dst = dst.cast::<v128>();
        // SAFETY: the caller promises room for 64 bytes; the instruction needs no alignment.
        unsafe {
            v128_store(dst, x[0]);
            v128_store(dst.add(1), x[1]);
            v128_store(dst.add(2), x[2]);
            v128_store(dst.add(3), x[3]);
        }
    }
    #[inline(always)]
    fn add_i32(self, a: V, b: V) -> V {
        zip(a, b, |a, b| i32x4_add(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: V, b: V) -> V {
        zip(a, b, |a, b| i32x4_sub(a, b))
    }
    #[inline(always)]
    fn mul_i32(self, a: V, b: V) -> V {
        zip(a, b, |a, b| i32x4_mul(a, b))
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: V) -> V {
        map(a, |a| i32x4_shl(a, N as u32))
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: V) -> V {
        map(a, |a| u32x4_shr(a, N as u32))
    }
    #[inline(always)]
    fn and(self, a: V, b: V) -> V {
        zip(a, b, |a, b| v128_and(a, b))
    }
    #[inline(always)]
    fn or(self, a: V, b: V) -> V {
        zip(a, b, |a, b| v128_or(a, b))
    }

    #[inline(always)]
    fn to_i32(self, a: V) -> V {
        // The conversion that saturates would take a machine of x86 several instructions.
        let rounder = self.splat(ROUNDER);
        self.sub_i32(self.add(a, rounder), rounder)
    }
    #[inline(always)]
    fn to_f32(self, a: V) -> V {
        map(a, |a| f32x4_convert_i32x4(a))
    }
    #[inline(always)]
    fn bits(self, a: V) -> V {
        a
    }
    #[inline(always)]
    fn float(self, a: V) -> V {
        a
    }

    #[inline(always)]
    unsafe fn store_u8(self, dst: *mut u8, x: V) {
        let words = [i16x8_narrow_i32x4(x[0], x[1]), i16x8_narrow_i32x4(x[2], x[3])];
        // SAFETY: the caller promises room for 16 bytes.
        unsafe { v128_store(dst.cast(), u8x16_narrow_i16x8(words[0], words[1])) }
    }
    #[inline(always)]
    unsafe fn load_i8(self, src: *const i8) -> V {
        // SAFETY: the caller promises 16 readable bytes.
        let words = unsafe { [i16x8_load_extend_i8x8(src), i16x8_load_extend_i8x8(src.add(8))] };
        [
            i32x4_extend_low_i16x8(words[0]),
            i32x4_extend_high_i16x8(words[0]),
            i32x4_extend_low_i16x8(words[1]),
            i32x4_extend_high_i16x8(words[1]),
        ]
    }
    #[inline(always)]
    unsafe fn load_u16(self, src: *const u16) -> V {
        // SAFETY: the caller promises 16 readable half-words.
        unsafe {
            [
                u32x4_load_extend_u16x4(src),
                u32x4_load_extend_u16x4(src.add(4)),
                u32x4_load_extend_u16x4(src.add(8)),
                u32x4_load_extend_u16x4(src.add(12)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_u16(self, dst: *mut u16, x: V) {
        let x = self.and(x, self.splat_i32(0xffff));
        // SAFETY: the caller promises room for 16 half-words.
        unsafe {
            v128_store(dst.cast(), u16x8_narrow_i32x4(x[0], x[1]));
            v128_store(dst.add(8).cast(), u16x8_narrow_i32x4(x[2], x[3]));
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, src: *const u16) -> V {
        // SAFETY: the caller promises 16 readable half-words.
        let halves = unsafe { self.load_u16(src) };
        map(halves, f16x4_to_f32x4)
    }
}

/// IEEE binary16, one in each low half, to binary32, exactly: the exponent is moved into place by a product with 2¹¹²,
/// which also normalizes subnormals; infinity and NaN, which then lie above every number, get their exponent back.
#[inline(always)]
fn f16x4_to_f32x4(halves: v128) -> v128 {
    let magnitude = v128_and(halves, i32x4_splat(0x7fff));
    let sign = i32x4_shl(v128_xor(halves, magnitude), 16);
    let number = f32x4_mul(i32x4_shl(magnitude, 13), f32x4_splat(f32::from_bits((127 + 112) << 23)));
    let special = v128_and(i32x4_gt(magnitude, i32x4_splat(0x7bff)), i32x4_splat(0x7f80_0000));
    v128_or(v128_or(number, special), sign)
}

impl<const RELAXED: bool> Dot4 for Simd128<RELAXED> {
    const ACTIVATION_MAX: u8 = if RELAXED { 127 } else { 255 };
    const DOT_NAME: &'static str = Self::NAME;
    const DOT_TILE: Tile = Tile { rows: 2, accumulators: 2 };

    #[inline(never)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Output {
        op.eval(self)
    }

    #[inline(always)]
    fn dot4(self, acc: V, a: V, w: V) -> V {
        if RELAXED {
            // The operand that must be below 128 is the second; 2 · 127 · 128 fits the i16 sums that engines may take.
            zip3(w, a, acc, |w, a, acc| i32x4_relaxed_dot_i8x16_i7x16_add(w, a, acc))
        } else {
            // Even bytes by even bytes and odd by odd, as half-words.
            let even = zip(a, w, |a, w| {
                i32x4_dot_i16x8(v128_and(a, i16x8_splat(0xff)), i16x8_shr(i16x8_shl(w, 8), 8))
            });
            let odd = zip(a, w, |a, w| i32x4_dot_i16x8(u16x8_shr(a, 8), i16x8_shr(w, 8)));
            self.add_i32(self.add_i32(acc, even), odd)
        }
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], index: V) -> V {
        // SAFETY: the table is 16 bytes.
        let table = unsafe { v128_load(table.as_ptr().cast()) };
        // The two differ for indices above 15 only.
        if RELAXED {
            map(index, |index| i8x16_relaxed_swizzle(table, index))
        } else {
            map(index, |index| i8x16_swizzle(table, index))
        }
    }
}

impl<const RELAXED: bool> DotBf16 for Simd128<RELAXED> {
    const BF16_NAME: &'static str = Self::NAME;
    const BF16_TILE: Tile = Self::TILE;

    #[inline(never)]
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        op.eval(self)
    }
}

//! NEON: a vector is four registers. `DOT` 1 adds the int8 dot product of signed bytes, 2 the one of unsigned by
//! signed bytes, which came with the int8 matrix product.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Op, Tile};

/// The NEON token.
#[derive(Clone, Copy, Debug)]
pub struct Neon<const DOT: u8>(());

impl<const DOT: u8> Neon<DOT> {
    /// The token.
    ///
    /// # Safety
    /// The machine must have NEON, its dot product where `DOT` is 1, and its int8 matrix product where it is 2.
    pub(crate) unsafe fn assume() -> Self {
        Neon(())
    }
}

#[target_feature(enable = "neon")]
#[inline(never)]
fn shell<O: Op, I: Isa>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "neon")]
#[inline(never)]
fn shell_multiply<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "neon,dotprod")]
#[inline(never)]
fn shell_dotprod<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "neon,i8mm")]
#[inline(never)]
fn shell_i8mm<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "neon")]
#[inline(never)]
fn shell_widen<O: Bf16Op, I: DotBf16>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

/// 24 of the 32 registers accumulate, four hold weights.
const FULL: Tile = Tile { rows: 6, accumulators: 6 };
/// Where a step, or what is done between groups of them, needs registers of its own.
const PART: Tile = Tile { rows: 4, accumulators: 4 };

/// One of them for each of a vector's four registers.
macro_rules! each {
    ($f:ident($($x:ident),+)) => {
        vector!([$f($($x[0]),+), $f($($x[1]),+), $f($($x[2]),+), $f($($x[3]),+)])
    };
}

/// Reads the first `n < 16` values and sets the other lanes to zero. In a function of its own: a loop over a tile is
/// unrolled only where its body is small, and a tile's sums stay in registers only where it is unrolled.
///
/// # Safety
/// The machine must have NEON, and `src` be valid for reading `n` values.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn load_part(src: *const f32, n: usize) -> [float32x4_t; 4] {
    let zero = vdupq_n_f32(0.0);
    let mut x = [zero; 4];
    // SAFETY: `n` is a sum of some of 8, 4, 2 and 1; each part is read where the larger ones end, all within the `n`
    // values that the caller promises.
    unsafe {
        if n & 1 != 0 {
            x[0] = vld1q_lane_f32::<0>(src.add(n & 14), zero);
        }
        if n & 2 != 0 {
            x[0] = vcombine_f32(vld1_f32(src.add(n & 12)), vget_low_f32(x[0]));
        }
        if n & 4 != 0 {
            x = [vld1q_f32(src.add(n & 8)), x[0], zero, zero];
        }
        if n & 8 != 0 {
            x = [vld1q_f32(src), vld1q_f32(src.add(4)), x[0], x[1]];
        }
    }
    x
}

/// Writes the first `n < 16` values, out of the way for the same reason.
///
/// # Safety
/// The machine must have NEON, and `dst` be valid for writing `n` values.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn store_part(dst: *mut f32, n: usize, mut x: [float32x4_t; 4]) {
    // SAFETY: `n` is a sum of some of 8, 4, 2 and 1; each part is written where the larger ones end, all within the
    // `n` values that the caller promises room for.
    unsafe {
        if n & 8 != 0 {
            vst1q_f32(dst, x[0]);
            vst1q_f32(dst.add(4), x[1]);
            (x[0], x[1]) = (x[2], x[3]);
        }
        if n & 4 != 0 {
            vst1q_f32(dst.add(n & 8), x[0]);
            x[0] = x[1];
        }
        let mut pair = vget_low_f32(x[0]);
        if n & 2 != 0 {
            vst1_f32(dst.add(n & 12), pair);
            pair = vget_high_f32(x[0]);
        }
        if n & 1 != 0 {
            vst1_lane_f32::<0>(dst.add(n & 14), pair);
        }
    }
}

/// `a` where `a > b`, else `b`. NEON's own maximum is not a number where either is not one.
#[inline(always)]
fn greater(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vector!(vbslq_f32(vcgtq_f32(a, b), a, b))
}

/// `a` where `a < b`, else `b`.
#[inline(always)]
fn less(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vector!(vbslq_f32(vcltq_f32(a, b), a, b))
}

/// Folds the lanes by `f`: `i` with `i + 8`, then 4, and then 2 and 1 by `last`.
#[inline(always)]
fn halve(
    a: [float32x4_t; 4],
    f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t,
    last: impl Fn(f32, f32) -> f32,
) -> f32 {
    let b = f(f(a[0], a[2]), f(a[1], a[3]));
    let lanes = vector!([
        vgetq_lane_f32::<0>(b),
        vgetq_lane_f32::<1>(b),
        vgetq_lane_f32::<2>(b),
        vgetq_lane_f32::<3>(b)
    ]);
    last(last(lanes[0], lanes[2]), last(lanes[1], lanes[3]))
}

impl<const DOT: u8> Isa for Neon<DOT> {
    type F32 = [float32x4_t; 4];
    type I32 = [int32x4_t; 4];
    type Mask = [uint32x4_t; 4];

    const NAME: &'static str = "aarch64-neon";
    const FUSED: bool = true;
    const TILE: Tile = FULL;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Output {
        vector!(shell(self, op))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [float32x4_t; 4] {
        vector!([vdupq_n_f32(x); 4])
    }
    #[inline(always)]
    unsafe fn load(self, src: *const f32) -> [float32x4_t; 4] {
        // SAFETY: the caller promises 16 readable values.
        unsafe { [vld1q_f32(src), vld1q_f32(src.add(4)), vld1q_f32(src.add(8)), vld1q_f32(src.add(12))] }
    }
    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> [float32x4_t; 4] {
        debug_assert!(n <= LANES);
        // SAFETY: the caller promises `n` readable values.
        unsafe { if n == LANES { self.load(src) } else { load_part(src, n) } }
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32, x: [float32x4_t; 4]) {
        // SAFETY: the caller promises room for 16 values.
        unsafe {
            vst1q_f32(dst, x[0]);
            vst1q_f32(dst.add(4), x[1]);
            vst1q_f32(dst.add(8), x[2]);
            vst1q_f32(dst.add(12), x[3]);
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: [float32x4_t; 4]) {
        debug_assert!(n <= LANES);
        // SAFETY: the caller promises room for `n` values.
        unsafe { if n == LANES { self.store(dst, x) } else { store_part(dst, n, x) } }
    }

    #[inline(always)]
    fn add(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn fma(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn fnma(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vfmsq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        [greater(a[0], b[0]), greater(a[1], b[1]), greater(a[2], b[2]), greater(a[3], b[3])]
    }
    #[inline(always)]
    fn min(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        [less(a[0], b[0]), less(a[1], b[1]), less(a[2], b[2]), less(a[3], b[3])]
    }
    #[inline(always)]
    fn abs(self, a: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vabsq_f32(a))
    }

    #[inline(always)]
    fn gt(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [uint32x4_t; 4] {
        each!(vcgtq_f32(a, b))
    }
    #[inline(always)]
    fn select(self, mask: [uint32x4_t; 4], a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vbslq_f32(mask, a, b))
    }

    #[inline(always)]
    fn reduce_sum(self, a: [float32x4_t; 4]) -> f32 {
        halve(a, |x, y| vector!(vaddq_f32(x, y)), |x, y| x + y)
    }
    #[inline(always)]
    fn reduce_max(self, a: [float32x4_t; 4]) -> f32 {
        halve(a, greater, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn reduce_min(self, a: [float32x4_t; 4]) -> f32 {
        halve(a, less, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [int32x4_t; 4] {
        vector!([vdupq_n_s32(x); 4])
    }
    #[inline(always)]
    unsafe fn load_i32(self, src: *const i32) -> [int32x4_t; 4] {
        // SAFETY: the caller promises 64 readable bytes.
        unsafe { [vld1q_s32(src), vld1q_s32(src.add(4)), vld1q_s32(src.add(8)), vld1q_s32(src.add(12))] }
    }
    #[inline(always)]
    unsafe fn store_i32(self, dst: *mut i32, x: [int32x4_t; 4]) {
        // SAFETY: the caller promises room for 64 bytes.
        unsafe {
            vst1q_s32(dst, x[0]);
            vst1q_s32(dst.add(4), x[1]);
            vst1q_s32(dst.add(8), x[2]);
            vst1q_s32(dst.add(12), x[3]);
        }
    }
    #[inline(always)]
    fn add_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vsubq_s32(a, b))
    }
    #[inline(always)]
    fn mul_i32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vmulq_s32(a, b))
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: [int32x4_t; 4]) -> [int32x4_t; 4] {
        let n = self.splat_i32(N);
        each!(vshlq_s32(a, n))
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: [int32x4_t; 4]) -> [int32x4_t; 4] {
        // Shifted up by less than nothing, as what has no sign.
        let n = self.splat_i32(-N);
        let a = each!(vreinterpretq_u32_s32(a));
        let a = each!(vshlq_u32(a, n));
        each!(vreinterpretq_s32_u32(a))
    }
    #[inline(always)]
    fn and(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vandq_s32(a, b))
    }
    #[inline(always)]
    fn or(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vorrq_s32(a, b))
    }

    #[inline(always)]
    fn to_i32(self, a: [float32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vcvtnq_s32_f32(a))
    }
    #[inline(always)]
    fn to_f32(self, a: [int32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vcvtq_f32_s32(a))
    }
    #[inline(always)]
    fn bits(self, a: [float32x4_t; 4]) -> [int32x4_t; 4] {
        each!(vreinterpretq_s32_f32(a))
    }
    #[inline(always)]
    fn float(self, a: [int32x4_t; 4]) -> [float32x4_t; 4] {
        each!(vreinterpretq_f32_s32(a))
    }

    #[inline(always)]
    unsafe fn store_u8(self, dst: *mut u8, x: [int32x4_t; 4]) {
        let words = each!(vqmovun_s32(x));
        // SAFETY: the caller promises room for 16 bytes.
        unsafe {
            let low = vqmovn_u16(vcombine_u16(words[0], words[1]));
            let high = vqmovn_u16(vcombine_u16(words[2], words[3]));
            vst1q_u8(dst, vcombine_u8(low, high));
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, src: *const i8) -> [int32x4_t; 4] {
        // SAFETY: the caller promises 16 readable bytes.
        unsafe {
            let bytes = vld1q_s8(src);
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [
                vmovl_s16(vget_low_s16(low)),
                vmovl_high_s16(low),
                vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_u16(self, src: *const u16) -> [int32x4_t; 4] {
        // SAFETY: the caller promises 16 readable half-words.
        let halves =
            unsafe { [vld1_u16(src), vld1_u16(src.add(4)), vld1_u16(src.add(8)), vld1_u16(src.add(12))] };
        let words = each!(vmovl_u16(halves));
        each!(vreinterpretq_s32_u32(words))
    }
    #[inline(always)]
    unsafe fn store_u16(self, dst: *mut u16, x: [int32x4_t; 4]) {
        let words = each!(vreinterpretq_u32_s32(x));
        let halves = each!(vmovn_u32(words));
        // SAFETY: the caller promises room for 16 half-words.
        unsafe {
            vst1q_u16(dst, vcombine_u16(halves[0], halves[1]));
            vst1q_u16(dst.add(8), vcombine_u16(halves[2], halves[3]));
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, src: *const u16) -> [float32x4_t; 4] {
        // SAFETY: the caller promises 16 readable half-words.
        let halves =
            unsafe { [vld1_u16(src), vld1_u16(src.add(4)), vld1_u16(src.add(8)), vld1_u16(src.add(12))] };
        let halves = each!(vreinterpret_f16_u16(halves));
        each!(vcvt_f32_f16(halves))
    }
}

/// `acc`, and each half-word and its neighbour added to it. The intrinsic is an addition to the compiler, which regroups
/// several of them into more instructions.
///
/// # Safety
/// The machine must have NEON.
#[inline(always)]
unsafe fn sadalp(mut acc: int32x4_t, x: int16x8_t) -> int32x4_t {
    // SAFETY: the caller promises the instruction, which touches registers only.
    unsafe {
        asm!("sadalp {0:v}.4s, {1:v}.8h", inout(vreg) acc, in(vreg) x,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// `acc + Σ a[4i..4i+4] · w[4i..4i+4]`, both signed: `sdot`, which has no stable intrinsic.
///
/// # Safety
/// The machine must have the dot product.
#[inline(always)]
unsafe fn sdot(mut acc: int32x4_t, a: int32x4_t, w: int32x4_t) -> int32x4_t {
    // SAFETY: the caller promises the instruction, which touches registers only.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc, in(vreg) a, in(vreg) w,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// `acc + Σ a[4i..4i+4] · w[4i..4i+4]`, `a` unsigned: `usdot`, which has no stable intrinsic.
///
/// # Safety
/// The machine must have the int8 matrix product.
#[inline(always)]
unsafe fn usdot(mut acc: int32x4_t, a: int32x4_t, w: int32x4_t) -> int32x4_t {
    // SAFETY: the caller promises the instruction, which touches registers only.
    unsafe {
        asm!("usdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc, in(vreg) a, in(vreg) w,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// The same by products of half-words, where 255 · −128 fits; each is added to its neighbour in 32 bits.
///
/// # Safety
/// The machine must have NEON.
#[inline(always)]
unsafe fn multiply(acc: int32x4_t, a: int32x4_t, w: int32x4_t) -> int32x4_t {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, w) = (vreinterpretq_u16_s32(a), vreinterpretq_s16_s32(w));
        let even = (vandq_u16(a, vdupq_n_u16(0xff)), vshrq_n_s16::<8>(vshlq_n_s16::<8>(w)));
        let odd = (vshrq_n_u16::<8>(a), vshrq_n_s16::<8>(w));
        let acc = sadalp(acc, vmulq_s16(vreinterpretq_s16_u16(even.0), even.1));
        sadalp(acc, vmulq_s16(vreinterpretq_s16_u16(odd.0), odd.1))
    }
}

impl<const DOT: u8> Dot4 for Neon<DOT> {
    const ACTIVATION_MAX: u8 = 255;
    const DOT_NAME: &'static str = match DOT {
        0 => "aarch64-neon",
        1 => "aarch64-dotprod",
        _ => "aarch64-i8mm",
    };
    const DOT_TILE: Tile = PART;
    const OFFSET: i32 = if DOT == 1 { 128 } else { 0 };

    #[inline(always)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Output {
        match DOT {
            0 => vector!(shell_multiply(self, op)),
            1 => vector!(shell_dotprod(self, op)),
            _ => vector!(shell_i8mm(self, op)),
        }
    }

    #[inline(always)]
    fn activations(self, bytes: [int32x4_t; 4]) -> [int32x4_t; 4] {
        if DOT == 1 {
            // A byte with its top bit turned over is, read as signed, 128 less.
            let top = self.splat_i32(0x8080_8080_u32 as i32);
            each!(veorq_s32(bytes, top))
        } else {
            bytes
        }
    }
    #[inline(always)]
    fn dot4(self, acc: [int32x4_t; 4], a: [int32x4_t; 4], w: [int32x4_t; 4]) -> [int32x4_t; 4] {
        match DOT {
            0 => each!(multiply(acc, a, w)),
            1 => each!(sdot(acc, a, w)),
            _ => each!(usdot(acc, a, w)),
        }
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], index: [int32x4_t; 4]) -> [int32x4_t; 4] {
        // SAFETY: the table is 16 bytes; the token is made only where the machine has this instruction set.
        let table = unsafe { [vld1q_s8(table.as_ptr()); 4] };
        let index = each!(vreinterpretq_u8_s32(index));
        let entries = each!(vqtbl1q_s8(table, index));
        each!(vreinterpretq_s32_s8(entries))
    }
}

impl<const DOT: u8> DotBf16 for Neon<DOT> {
    const BF16_NAME: &'static str = "aarch64-neon";
    const BF16_TILE: Tile = PART;

    #[inline(always)]
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        vector!(shell_widen(self, op))
    }
}

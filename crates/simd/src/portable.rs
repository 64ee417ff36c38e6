//! The instruction set of every machine: arrays, which the compiler vectorizes with what the target has.

use std::array::from_fn;

use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Op, Tile};

/// The portable token.
#[derive(Clone, Copy, Debug)]
pub struct Portable(());

impl Portable {
    /// The token; no machine lacks it.
    pub fn new() -> Self {
        Portable(())
    }
}

impl Default for Portable {
    fn default() -> Self {
        Portable::new()
    }
}

/// 16 lanes in memory.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Lanes<T>([T; LANES]);

/// Adding 1.5 · 2²³ leaves a float's nearest integer in its low mantissa bits.
const ROUNDER: f32 = 12_582_912.0;

impl Portable {
    #[inline(always)]
    fn halve(a: Lanes<f32>, f: impl Fn(f32, f32) -> f32) -> f32 {
        let a = a.0;
        let b: [f32; 8] = from_fn(|i| f(a[i], a[i + 8]));
        let c: [f32; 4] = from_fn(|i| f(b[i], b[i + 4]));
        f(f(c[0], c[2]), f(c[1], c[3]))
    }
}

impl Isa for Portable {
    type F32 = Lanes<f32>;
    type I32 = Lanes<i32>;
    type Mask = Lanes<bool>;

    const NAME: &'static str = "portable-scalar";
    const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    const TILE: Tile = Tile { rows: 2, accumulators: 2 };

    #[inline(never)]
    fn call<O: Op>(self, op: O) -> O::Output {
        op.eval(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes<f32> {
        Lanes([x; LANES])
    }
    #[inline(always)]
    unsafe fn load(self, src: *const f32) -> Lanes<f32> {
        // SAFETY: the caller promises 16 readable values.
        Lanes(unsafe { src.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> Lanes<f32> {
        let mut x = [0.0; LANES];
        for (i, x) in x.iter_mut().enumerate().take(n) {
            // SAFETY: the caller promises `n` readable values, and `i < n`.
            *x = unsafe { src.add(i).read_unaligned() };
        }
        Lanes(x)
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32, x: Lanes<f32>) {
        // SAFETY: the caller promises room for 16 values.
        unsafe { dst.cast::<[f32; LANES]>().write_unaligned(x.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: Lanes<f32>) {
        for (i, x) in x.0.into_iter().enumerate().take(n) {
            // SAFETY: the caller promises room for `n` values, and `i < n`.
            unsafe { dst.add(i).write_unaligned(x) }
        }
    }

    #[inline(always)]
    fn add(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i] + b.0[i]))
    }
    #[inline(always)]
    fn sub(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i] - b.0[i]))
    }
    #[inline(always)]
    fn mul(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i] * b.0[i]))
    }
    #[inline(always)]
    fn div(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i] / b.0[i]))
    }
    #[inline(always)]
    fn fma(self, a: Lanes<f32>, b: Lanes<f32>, c: Lanes<f32>) -> Lanes<f32> {
        // Without the instruction `mul_add` is a library call.
        if Self::FUSED {
            Lanes(from_fn(|i| a.0[i].mul_add(b.0[i], c.0[i])))
        } else {
            Lanes(from_fn(|i| a.0[i] * b.0[i] + c.0[i]))
        }
    }
    #[inline(always)]
    fn fnma(self, a: Lanes<f32>, b: Lanes<f32>, c: Lanes<f32>) -> Lanes<f32> {
        if Self::FUSED {
            Lanes(from_fn(|i| (-a.0[i]).mul_add(b.0[i], c.0[i])))
        } else {
            Lanes(from_fn(|i| c.0[i] - a.0[i] * b.0[i]))
        }
    }
    #[inline(always)]
    fn max(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    fn min(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    fn abs(self, a: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i].abs()))
    }

    #[inline(always)]
    fn gt(self, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<bool> {
        Lanes(from_fn(|i| a.0[i] > b.0[i]))
    }
    #[inline(always)]
    fn select(self, mask: Lanes<bool>, a: Lanes<f32>, b: Lanes<f32>) -> Lanes<f32> {
        Lanes(from_fn(|i| if mask.0[i] { a.0[i] } else { b.0[i] }))
    }

    #[inline(always)]
    fn reduce_sum(self, a: Lanes<f32>) -> f32 {
        Self::halve(a, |x, y| x + y)
    }
    #[inline(always)]
    fn reduce_max(self, a: Lanes<f32>) -> f32 {
        Self::halve(a, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn reduce_min(self, a: Lanes<f32>) -> f32 {
        Self::halve(a, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Lanes<i32> {
        Lanes([x; LANES])
    }
    #[inline(always)]
    unsafe fn load_i32(self, src: *const i32) -> Lanes<i32> {
        // SAFETY: the caller promises 64 readable bytes.
        Lanes(unsafe { src.cast::<[i32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_i32(self, dst: *mut i32, x: Lanes<i32>) {
        // SAFETY: the caller promises room for 64 bytes.
        unsafe { dst.cast::<[i32; LANES]>().write_unaligned(x.0) }
    }
    #[inline(always)]
    fn add_i32(self, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i].wrapping_add(b.0[i])))
    }
    #[inline(always)]
    fn sub_i32(self, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i].wrapping_sub(b.0[i])))
    }
    #[inline(always)]
    fn mul_i32(self, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i].wrapping_mul(b.0[i])))
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i] << N))
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| ((a.0[i] as u32) >> N) as i32))
    }
    #[inline(always)]
    fn and(self, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i] & b.0[i]))
    }
    #[inline(always)]
    fn or(self, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i] | b.0[i]))
    }

    #[inline(always)]
    fn to_i32(self, a: Lanes<f32>) -> Lanes<i32> {
        Lanes(from_fn(|i| (a.0[i] + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()) as i32))
    }
    #[inline(always)]
    fn to_f32(self, a: Lanes<i32>) -> Lanes<f32> {
        Lanes(from_fn(|i| a.0[i] as f32))
    }
    #[inline(always)]
    fn bits(self, a: Lanes<f32>) -> Lanes<i32> {
        Lanes(from_fn(|i| a.0[i].to_bits() as i32))
    }
    #[inline(always)]
    fn float(self, a: Lanes<i32>) -> Lanes<f32> {
        Lanes(from_fn(|i| f32::from_bits(a.0[i] as u32)))
    }

    #[inline(always)]
    unsafe fn store_u8(self, dst: *mut u8, x: Lanes<i32>) {
        let bytes: [u8; LANES] = from_fn(|i| x.0[i].clamp(0, 255) as u8);
        // SAFETY: the caller promises room for 16 bytes.
        unsafe { dst.cast::<[u8; LANES]>().write_unaligned(bytes) }
    }
    #[inline(always)]
    unsafe fn load_i8(self, src: *const i8) -> Lanes<i32> {
        // SAFETY: the caller promises 16 readable bytes.
        let bytes = unsafe { src.cast::<[i8; LANES]>().read_unaligned() };
        Lanes(from_fn(|i| i32::from(bytes[i])))
    }
    #[inline(always)]
    unsafe fn load_u16(self, src: *const u16) -> Lanes<i32> {
        // SAFETY: the caller promises 16 readable half-words.
        let halves = unsafe { src.cast::<[u16; LANES]>().read_unaligned() };
        Lanes(from_fn(|i| i32::from(halves[i])))
    }
    #[inline(always)]
    unsafe fn store_u16(self, dst: *mut u16, x: Lanes<i32>) {
        let halves: [u16; LANES] = from_fn(|i| x.0[i] as u16);
        // SAFETY: the caller promises room for 16 half-words.
        unsafe { dst.cast::<[u16; LANES]>().write_unaligned(halves) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, src: *const u16) -> Lanes<f32> {
        // SAFETY: the caller promises 16 readable half-words.
        let halves = unsafe { src.cast::<[u16; LANES]>().read_unaligned() };
        Lanes(from_fn(|i| f16_to_f32(halves[i])))
    }
}

/// IEEE binary16 to binary32, exactly: the exponent is moved into place by a product with 2¹¹², which also
/// normalizes subnormals; infinity and NaN, which then lie above every number, get their exponent back.
#[inline(always)]
fn f16_to_f32(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    let special = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (u32::from(half & 0x8000) << 16))
}

impl Dot4 for Portable {
    const ACTIVATION_MAX: u8 = 255;
    const DOT_NAME: &'static str = Self::NAME;
    const DOT_TILE: Tile = Tile { rows: 2, accumulators: 2 };

    #[inline(never)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Output {
        op.eval(self)
    }

    #[inline(always)]
    fn dot4(self, acc: Lanes<i32>, a: Lanes<i32>, w: Lanes<i32>) -> Lanes<i32> {
        Lanes(from_fn(|i| {
            let (a, w) = (a.0[i].to_le_bytes(), w.0[i].to_le_bytes());
            let pair = |j: usize| i32::from(a[j]) * i32::from(w[j] as i8);
            acc.0[i].wrapping_add(pair(0) + pair(1) + pair(2) + pair(3))
        }))
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], index: Lanes<i32>) -> Lanes<i32> {
        let entry = |byte: u8| table[usize::from(byte % 16)] as u8;
        Lanes(from_fn(|i| i32::from_le_bytes(index.0[i].to_le_bytes().map(entry))))
    }
}

impl DotBf16 for Portable {
    const BF16_NAME: &'static str = Self::NAME;
    const BF16_TILE: Tile = Tile { rows: 2, accumulators: 2 };

    #[inline(never)]
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        op.eval(self)
    }
}

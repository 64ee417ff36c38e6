//! The traits that algorithms are written against.

/// Lanes of a vector, on every instruction set.
pub const LANES: usize = 16;

/// How large a register tile an instruction set affords, in 16-lane vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Most rows of a tile.
    pub rows: usize,
    /// Most accumulators of a tile: rows times vectors of columns.
    pub accumulators: usize,
}

/// An algorithm over f32 and i32 lanes, to be run by [`Level::run`](crate::Level::run).
///
/// `eval` must be `#[inline(always)]`, and so must whatever it calls that takes the token: only then is it
/// compiled with the instruction set's features.
pub trait Op {
    /// What it returns.
    type Output;
    /// Runs it with one instruction set.
    fn eval<I: Isa>(self, isa: I) -> Self::Output;
}

/// An algorithm that also takes int8 dot products, to be run by [`Level::run_dot`](crate::Level::run_dot).
pub trait DotOp {
    /// What it returns.
    type Output;
    /// Runs it with one instruction set.
    fn eval<I: Dot4>(self, isa: I) -> Self::Output;
}

/// An algorithm that also takes bf16 dot products, to be run by [`Level::run_bf16`](crate::Level::run_bf16).
pub trait Bf16Op {
    /// What it returns.
    type Output;
    /// Runs it with one instruction set.
    fn eval<I: DotBf16>(self, isa: I) -> Self::Output;
}

/// An instruction set: 16 lanes of f32 or i32, and what can be done with them.
///
/// A value of this type is the proof that the machine has the instructions.
pub trait Isa: Copy + Send + Sync + 'static {
    /// 16 lanes of f32.
    type F32: Copy;
    /// 16 lanes of i32, or 64 bytes, or 32 half-words.
    type I32: Copy;
    /// One bit a lane.
    type Mask: Copy;

    /// Architecture and set, as kernel names begin: `x86_64-avx2`.
    const NAME: &'static str;
    /// Whether [`fma`](Isa::fma) always rounds once. Levels where it does give the same bits as one another; where it
    /// does not, the machine may still decide once for all that it does (WebAssembly's relaxed multiply-add).
    const FUSED: bool;
    /// The register tile for f32 products.
    const TILE: Tile;

    /// Runs `op` in a function of its own, compiled for this instruction set.
    fn call<O: Op>(self, op: O) -> O::Output;

    /// The same value in each lane.
    fn splat(self, x: f32) -> Self::F32;
    /// Reads 16 values.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 values; it needs no alignment.
    unsafe fn load(self, src: *const f32) -> Self::F32;
    /// Reads the first `n <= 16` values and sets the other lanes to zero.
    ///
    /// # Safety
    /// `src` must be valid for reading `n` values.
    unsafe fn load_first(self, src: *const f32, n: usize) -> Self::F32;
    /// Has the cache line around `at` fetched into the second-level cache, if the instruction set can ask for that. It need
    /// not be readable.
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        _ = at;
    }

    /// Writes 16 values.
    ///
    /// # Safety
    /// `dst` must be valid for writing 16 values; it needs no alignment.
    unsafe fn store(self, dst: *mut f32, x: Self::F32);
    /// Writes the first `n <= 16` values.
    ///
    /// # Safety
    /// `dst` must be valid for writing `n` values.
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: Self::F32);

    /// Writes 16 columns of 16 values as rows, bit for bit. Strides are from one row to the next.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 rows of 16 values and `dst` for writing them, without overlap; neither needs
    /// alignment.
    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        let (src, dst) = (src.cast::<u32>(), dst.cast::<u32>());
        for i in 0..LANES {
            for j in 0..LANES {
                // SAFETY: the caller promises these values and room for them.
                unsafe {
                    let value = src.add(j * src_stride + i).read_unaligned();
                    dst.add(i * dst_stride + j).write_unaligned(value);
                }
            }
        }
    }

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where [`FUSED`](Isa::FUSED).
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once where [`FUSED`](Isa::FUSED).
    fn fnma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a` where `a > b`, else `b`: so `b` where either is not a number.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a` where `a < b`, else `b`: so `b` where either is not a number.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The value without its sign.
    fn abs(self, a: Self::F32) -> Self::F32;

    /// Where `a > b`.
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    /// The sum of the lanes, always in the order of halving: lane `i` with `i + 8`, then 4, 2, 1.
    fn reduce_sum(self, a: Self::F32) -> f32;
    /// The largest lane, in the order of [`reduce_sum`](Isa::reduce_sum) and with the rule of [`max`](Isa::max).
    fn reduce_max(self, a: Self::F32) -> f32;
    /// The smallest lane, likewise.
    fn reduce_min(self, a: Self::F32) -> f32;

    /// The same integer in each lane.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// Reads 64 bytes.
    ///
    /// # Safety
    /// `src` must be valid for reading 64 bytes; it needs no alignment.
    unsafe fn load_i32(self, src: *const i32) -> Self::I32;
    /// Writes 64 bytes.
    ///
    /// # Safety
    /// `dst` must be valid for writing 64 bytes; it needs no alignment.
    unsafe fn store_i32(self, dst: *mut i32, x: Self::I32);
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a * b`, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits shifted up by `N`.
    fn shl<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// Bits shifted down by `N`, zeros coming in.
    fn shr<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// Bits set in both.
    fn and(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits set in either.
    fn or(self, a: Self::I32, b: Self::I32) -> Self::I32;

    /// The nearest integer, ties to even. Unspecified beyond ±2²² and for what is not a number.
    fn to_i32(self, a: Self::F32) -> Self::I32;
    /// The nearest float.
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// The lanes' bits.
    fn bits(self, a: Self::F32) -> Self::I32;
    /// The floats with these bits.
    fn float(self, a: Self::I32) -> Self::F32;

    /// Writes 16 lanes as bytes, clamped to 0..=255.
    ///
    /// # Safety
    /// `dst` must be valid for writing 16 bytes.
    unsafe fn store_u8(self, dst: *mut u8, x: Self::I32);
    /// Reads 16 signed bytes.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 bytes.
    unsafe fn load_i8(self, src: *const i8) -> Self::I32;
    /// Reads 16 half-words, zero-extended.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 half-words.
    unsafe fn load_u16(self, src: *const u16) -> Self::I32;
    /// Writes the low half of each lane.
    ///
    /// # Safety
    /// `dst` must be valid for writing 16 half-words.
    unsafe fn store_u16(self, dst: *mut u16, x: Self::I32);
    /// Reads 16 half-precision (IEEE binary16) numbers.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 half-words.
    unsafe fn load_f16(self, src: *const u16) -> Self::F32;

    /// Reads 16 bf16 numbers.
    ///
    /// # Safety
    /// `src` must be valid for reading 16 half-words.
    #[inline(always)]
    unsafe fn load_bf16(self, src: *const u16) -> Self::F32 {
        // SAFETY: the caller's promise is the one asked for.
        self.float(self.shl::<16>(unsafe { self.load_u16(src) }))
    }

    /// Writes 16 values as bf16, rounded to nearest even; what is not a number stays so.
    ///
    /// # Safety
    /// `dst` must be valid for writing 16 half-words.
    #[inline(always)]
    unsafe fn store_bf16(self, dst: *mut u16, x: Self::F32) {
        let bits = self.bits(x);
        let odd = self.and(self.shr::<16>(bits), self.splat_i32(1));
        let rounded = self.add_i32(bits, self.add_i32(odd, self.splat_i32(0x7fff)));
        let magnitude = self.abs(x);
        let number = self.gt(self.splat(f32::INFINITY), magnitude);
        // Infinity has nothing below its top half to round, and a NaN must not be carried into it.
        let kept = self.or(bits, self.and(self.splat_i32(0x0040_0000), self.is_nan_bits(magnitude)));
        let out = self.select(number, self.float(rounded), self.float(kept));
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.store_u16(dst, self.shr::<16>(self.bits(out))) }
    }

    /// All bits of the lanes that are not numbers, given magnitudes.
    #[inline(always)]
    #[doc(hidden)]
    fn is_nan_bits(self, magnitude: Self::F32) -> Self::I32 {
        let ones = self.float(self.splat_i32(-1));
        let zero = self.splat(0.0);
        let number = self.gt(self.splat(f32::INFINITY), magnitude);
        let infinite = self.gt(magnitude, self.splat(f32::MAX));
        self.bits(self.select(number, zero, self.select(infinite, zero, ones)))
    }

    /// Reads an array.
    #[inline(always)]
    fn load_array(self, src: &[f32; LANES]) -> Self::F32 {
        // SAFETY: an array of 16 values is valid for reading them.
        unsafe { self.load(src.as_ptr()) }
    }

    /// Writes to an array.
    #[inline(always)]
    fn store_array(self, dst: &mut [f32; LANES], x: Self::F32) {
        // SAFETY: an array of 16 values is valid for writing them.
        unsafe { self.store(dst.as_mut_ptr(), x) }
    }

    /// Reads a slice of at most 16 values; the other lanes are zero.
    ///
    /// # Panics
    /// If the slice is longer than a vector.
    #[inline(always)]
    fn load_slice(self, src: &[f32]) -> Self::F32 {
        assert!(src.len() <= LANES, "slice longer than a vector");
        // SAFETY: the slice is valid for its length, which is at most 16.
        unsafe { self.load_first(src.as_ptr(), src.len()) }
    }

    /// Writes to a slice of at most 16 values.
    ///
    /// # Panics
    /// If the slice is longer than a vector.
    #[inline(always)]
    fn store_slice(self, dst: &mut [f32], x: Self::F32) {
        assert!(dst.len() <= LANES, "slice longer than a vector");
        // SAFETY: the slice is valid for its length, which is at most 16.
        unsafe { self.store_first(dst.as_mut_ptr(), dst.len(), x) }
    }
}

/// Dot products of four unsigned bytes with four signed ones, added to i32 lanes.
pub trait Dot4: Isa {
    /// The largest activation: 255, or 127 where the products of two full bytes would not fit the
    /// instruction's i16 sums (AVX2's and AVX-512's `maddubs`, WebAssembly's relaxed dot product).
    const ACTIVATION_MAX: u8;
    /// How kernel names begin: `x86_64-avxvnni`.
    const DOT_NAME: &'static str;
    /// The register tile for int8 products.
    const DOT_TILE: Tile;
    /// What [`dot4`](Dot4::dot4) takes off each activation: 128 where the instruction has signed bytes only. To add
    /// `OFFSET · Σ w` once at the end costs less than to do so at each step.
    const OFFSET: i32 = 0;

    /// Runs `op` in a function of its own, compiled for this instruction set.
    fn call_dot<O: DotOp>(self, op: O) -> O::Output;

    /// Activations as [`dot4`](Dot4::dot4) takes them, from their unsigned bytes.
    #[inline(always)]
    fn activations(self, bytes: Self::I32) -> Self::I32 {
        bytes
    }

    /// `acc + Σ (a[4i..4i+4] − OFFSET) · w[4i..4i+4]` in lane `i`: `a` of [`activations`](Dot4::activations), unsigned
    /// and at most [`ACTIVATION_MAX`](Dot4::ACTIVATION_MAX), `w` signed.
    fn dot4(self, acc: Self::I32, a: Self::I32, w: Self::I32) -> Self::I32;

    /// Whether [`dot4_short`](Dot4::dot4_short) is cheaper than [`dot4`](Dot4::dot4): sums of pairs in 16 bits, where one
    /// instruction multiplies and a second one would bring each sum to 32.
    const SHORT_SUMS: bool = false;

    /// As [`dot4`](Dot4::dot4), but what it returns is only for itself and for [`widen_short`](Dot4::widen_short), begins
    /// as zeros and has room for 16 steps of weights between −8 and 8.
    #[inline(always)]
    fn dot4_short(self, acc: Self::I32, a: Self::I32, w: Self::I32) -> Self::I32 {
        self.dot4(acc, a, w)
    }

    /// What [`dot4_short`](Dot4::dot4_short) summed, in lanes of 32 bits.
    #[inline(always)]
    fn widen_short(self, acc: Self::I32) -> Self::I32 {
        acc
    }

    /// The bytes of a table that the bytes of `index` name, each of them at most 15.
    fn lookup(self, table: &[i8; 16], index: Self::I32) -> Self::I32;
}

/// Dot products of pairs of bf16, added to f32 lanes.
pub trait DotBf16: Isa {
    /// How kernel names begin: `x86_64-avx512bf16`.
    const BF16_NAME: &'static str;
    /// The register tile for bf16 products.
    const BF16_TILE: Tile;
    /// Whether [`dot_bf16`](DotBf16::dot_bf16) is an instruction, and so faster than a multiply-add of f32.
    const HAS_BF16_DOT: bool = false;

    /// Runs `op` in a function of its own, compiled for this instruction set.
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output;

    /// `acc + a[2i]·b[2i] + a[2i+1]·b[2i+1]` in lane `i`. Order of the two sums, their rounding and the
    /// treatment of subnormals are the instruction's; where there is none, both are f32 products.
    #[inline(always)]
    fn dot_bf16(self, acc: Self::F32, a: Self::I32, b: Self::I32) -> Self::F32 {
        widened_dot(self, acc, a, b)
    }

    /// Writes 16 values as bf16 for [`dot_bf16`](DotBf16::dot_bf16) to take: rounded to nearest even, but for subnormals, which are
    /// zero where that takes them for zero.
    ///
    /// # Safety
    /// `dst` must be valid for writing 16 half-words.
    #[inline(always)]
    unsafe fn store_operands(self, dst: *mut u16, x: Self::F32) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.store_bf16(dst, x) }
    }
}

/// [`dot_bf16`](DotBf16::dot_bf16) of f32: a bf16 is the upper half of one.
#[inline(always)]
pub(crate) fn widened_dot<I: Isa>(isa: I, acc: I::F32, a: I::I32, b: I::I32) -> I::F32 {
    let high = isa.splat_i32(0xffff_0000_u32 as i32);
    let low = (isa.float(isa.shl::<16>(a)), isa.float(isa.shl::<16>(b)));
    let top = (isa.float(isa.and(a, high)), isa.float(isa.and(b, high)));
    isa.fma(top.0, top.1, isa.fma(low.0, low.1, acc))
}

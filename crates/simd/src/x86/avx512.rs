//! AVX-512 F, BW, VL and DQ: a vector is one register. `DOT` 1 adds the int8 dot product (VNNI), 2 the bf16
//! dot product; each is a token of its own so that the others can be run on the same machine.

use core::arch::x86_64::*;

use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, Op, Tile, widened_dot};

/// The AVX-512 token.
#[derive(Clone, Copy, Debug)]
pub struct Avx512<const DOT: u8>(());

impl<const DOT: u8> Avx512<DOT> {
    /// The token.
    ///
    /// # Safety
    /// The machine must have AVX-512 F, BW, VL and DQ, AVX2, FMA and F16C, and VNNI where `DOT` is 1, BF16
    /// where it is 2.
    pub(crate) unsafe fn assume() -> Self {
        Avx512(())
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline(never)]
fn shell<O: Op, I: Isa>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline(never)]
fn shell_maddubs<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni")]
#[inline(never)]
fn shell_vnni<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline(never)]
fn shell_widen<O: Bf16Op, I: DotBf16>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512bf16")]
#[inline(never)]
fn shell_bf16<O: Bf16Op, I: DotBf16>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

/// 24 of the 32 registers accumulate.
const FULL: Tile = Tile { rows: 12, accumulators: 24 };
/// Where a step takes several instructions, more rows would only make the library larger.
const HALF: Tile = Tile { rows: 6, accumulators: 12 };

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1_u32 << n) - 1) as __mmask16
}

impl<const DOT: u8> Isa for Avx512<DOT> {
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;

    const NAME: &'static str = "x86_64-avx512";
    const FUSED: bool = true;
    const TILE: Tile = FULL;

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Output {
        vector!(shell(self, op))
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        vector!(_mm_prefetch::<_MM_HINT_T1>(at.cast()))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        vector!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, src: *const f32) -> __m512 {
        // SAFETY: the caller promises 16 readable values.
        unsafe { _mm512_loadu_ps(src) }
    }
    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller promises `n` readable values; masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(first(n), src) }
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32, x: __m512) {
        // SAFETY: the caller promises room for 16 values.
        unsafe { _mm512_storeu_ps(dst, x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: __m512) {
        // SAFETY: the caller promises room for `n` values; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(dst, first(n), x) }
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // Loops: closures would be functions without the instruction set.
        // SAFETY: the caller promises 16 rows of 16 values to read and to write.
        unsafe {
            // Columns 4l + c of rows 4q .. 4q + 4 lie in quarter l of the vector c.
            let mut fours = [[_mm512_setzero_ps(); 4]; 4];
            for (q, fours) in fours.iter_mut().enumerate() {
                let a = _mm512_loadu_ps(src.add(4 * q * src_stride));
                let b = _mm512_loadu_ps(src.add((4 * q + 1) * src_stride));
                let c = _mm512_loadu_ps(src.add((4 * q + 2) * src_stride));
                let d = _mm512_loadu_ps(src.add((4 * q + 3) * src_stride));
                let ab = [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)];
                let cd = [_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)];
                for half in 0..2 {
                    let (ab, cd) = (_mm512_castps_pd(ab[half]), _mm512_castps_pd(cd[half]));
                    fours[2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                    fours[2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                }
            }
            let [first, second, third, fourth] = fours;
            for (c, (((x, y), z), w)) in first.into_iter().zip(second).zip(third).zip(fourth).enumerate() {
                let even = [_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0x88>(z, w)];
                let odd = [_mm512_shuffle_f32x4::<0xdd>(x, y), _mm512_shuffle_f32x4::<0xdd>(z, w)];
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]),
                    _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]),
                ];
                for (l, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(dst.add((4 * l + c) * dst_stride), column);
                }
            }
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        vector!(_mm512_abs_ps(a))
    }

    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        vector!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mask_blend_ps(mask, b, a))
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m512) -> f32 {
        vector!({
            let b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_add_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)))
        })
    }
    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        vector!({
            let b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_max_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)))
        })
    }
    #[inline(always)]
    fn reduce_min(self, a: __m512) -> f32 {
        vector!({
            let b = _mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_min_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_min_ss(d, _mm_movehdup_ps(d)))
        })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        vector!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    unsafe fn load_i32(self, src: *const i32) -> __m512i {
        // SAFETY: the caller promises 64 readable bytes.
        unsafe { _mm512_loadu_si512(src.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i32(self, dst: *mut i32, x: __m512i) {
        // SAFETY: the caller promises room for 64 bytes.
        unsafe { _mm512_storeu_si512(dst.cast(), x) }
    }
    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: __m512i) -> __m512i {
        vector!(_mm512_sllv_epi32(a, _mm512_set1_epi32(N)))
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: __m512i) -> __m512i {
        vector!(_mm512_srlv_epi32(a, _mm512_set1_epi32(N)))
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_or_si512(a, b))
    }

    #[inline(always)]
    fn to_i32(self, a: __m512) -> __m512i {
        vector!(_mm512_cvtps_epi32(a))
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        vector!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        vector!(_mm512_castps_si512(a))
    }
    #[inline(always)]
    fn float(self, a: __m512i) -> __m512 {
        vector!(_mm512_castsi512_ps(a))
    }

    #[inline(always)]
    unsafe fn store_u8(self, dst: *mut u8, x: __m512i) {
        // SAFETY: the caller promises room for 16 bytes.
        unsafe {
            let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(x, _mm512_setzero_si512()));
            _mm_storeu_si128(dst.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, src: *const i8) -> __m512i {
        // SAFETY: the caller promises 16 readable bytes.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(src.cast())) }
    }
    #[inline(always)]
    unsafe fn load_u16(self, src: *const u16) -> __m512i {
        // SAFETY: the caller promises 16 readable half-words.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(src.cast())) }
    }
    #[inline(always)]
    unsafe fn store_u16(self, dst: *mut u16, x: __m512i) {
        // SAFETY: the caller promises room for 16 half-words.
        unsafe { _mm256_storeu_si256(dst.cast(), _mm512_cvtepi32_epi16(x)) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, src: *const u16) -> __m512 {
        // SAFETY: the caller promises 16 readable half-words.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(src.cast())) }
    }
}

impl<const DOT: u8> Dot4 for Avx512<DOT> {
    const ACTIVATION_MAX: u8 = if DOT >= 1 { 255 } else { 127 };
    const DOT_NAME: &'static str = if DOT >= 1 { "x86_64-avx512vnni" } else { "x86_64-avx512" };
    const DOT_TILE: Tile = if DOT >= 1 { FULL } else { HALF };

    #[inline(always)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Output {
        if DOT >= 1 { vector!(shell_vnni(self, op)) } else { vector!(shell_maddubs(self, op)) }
    }

    #[inline(always)]
    fn dot4(self, acc: __m512i, a: __m512i, w: __m512i) -> __m512i {
        if DOT >= 1 {
            vector!(_mm512_dpbusd_epi32(acc, a, w))
        } else {
            // 2 · 127 · 128 fits the i16 sums of `maddubs`.
            vector!({
                let pairs = _mm512_maddubs_epi16(a, w);
                _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
            })
        }
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], index: __m512i) -> __m512i {
        // SAFETY: the table is 16 bytes; the token is made only where the machine has this instruction set.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, index)
        }
    }
}

impl<const DOT: u8> DotBf16 for Avx512<DOT> {
    const BF16_NAME: &'static str = if DOT >= 2 { "x86_64-avx512bf16" } else { "x86_64-avx512" };
    const BF16_TILE: Tile = if DOT >= 2 { FULL } else { HALF };
    const HAS_BF16_DOT: bool = DOT >= 2;

    #[inline(always)]
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        if DOT >= 2 { vector!(shell_bf16(self, op)) } else { vector!(shell_widen(self, op)) }
    }

    #[inline(always)]
    fn dot_bf16(self, acc: __m512, a: __m512i, b: __m512i) -> __m512 {
        if DOT >= 2 {
            // SAFETY: the token is made only where the machine has this instruction set; both types are 64
            // bytes in which every bit pattern is valid.
            unsafe {
                let pairs = core::mem::transmute::<[__m512i; 2], [__m512bh; 2]>([a, b]);
                _mm512_dpbf16_ps(acc, pairs[0], pairs[1])
            }
        } else {
            widened_dot(self, acc, a, b)
        }
    }

    #[inline(always)]
    unsafe fn store_operands(self, dst: *mut u16, x: __m512) {
        if DOT >= 2 {
            // SAFETY: the caller promises room for 16 half-words; the token is made only where the machine has this
            // instruction set; both types are 32 bytes in which every bit pattern is valid.
            unsafe {
                let halves = core::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                _mm256_storeu_si256(dst.cast(), halves);
            }
        } else {
            // SAFETY: the caller's promise is the one asked for.
            unsafe { self.store_bf16(dst, x) }
        }
    }
}

//! AVX2 with FMA and F16C: a vector is two registers. `VNNI` adds the 256-bit int8 dot product.

use core::arch::x86_64::*;

use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, Op, Tile};

/// The AVX2 token.
#[derive(Clone, Copy, Debug)]
pub struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    /// The token.
    ///
    /// # Safety
    /// The machine must have AVX2, FMA and F16C, and AVX-VNNI where `VNNI`.
    pub(crate) unsafe fn assume() -> Self {
        Avx2(())
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
fn shell<O: Op, I: Isa>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
fn shell_maddubs<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
#[inline(never)]
fn shell_vnni<O: DotOp, I: Dot4>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
fn shell_widen<O: Bf16Op, I: DotBf16>(isa: I, op: O) -> O::Output {
    op.eval(isa)
}

/// The top bit of each lane below `n` set.
#[inline(always)]
fn first(n: usize) -> [__m256i; 2] {
    debug_assert!(n <= 16);
    vector!({
        let n = _mm256_set1_epi32(n as i32);
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let upper = _mm256_add_epi32(lane, _mm256_set1_epi32(8));
        [_mm256_cmpgt_epi32(n, lane), _mm256_cmpgt_epi32(n, upper)]
    })
}

impl<const VNNI: bool> Isa for Avx2<VNNI> {
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];
    type Mask = [__m256; 2];

    const NAME: &'static str = "x86_64-avx2";
    const FUSED: bool = true;
    const TILE: Tile = Tile { rows: 6, accumulators: 6 };

    #[inline(always)]
    fn call<O: Op>(self, op: O) -> O::Output {
        vector!(shell(self, op))
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        vector!(_mm_prefetch::<_MM_HINT_T1>(at.cast()))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> [__m256; 2] {
        vector!([_mm256_set1_ps(x); 2])
    }
    #[inline(always)]
    unsafe fn load(self, src: *const f32) -> [__m256; 2] {
        // SAFETY: the caller promises 16 readable values.
        unsafe { [_mm256_loadu_ps(src), _mm256_loadu_ps(src.add(8))] }
    }
    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> [__m256; 2] {
        let mask = first(n);
        // SAFETY: the caller promises `n` readable values; masked lanes are not read, and the address of
        // the upper half is only computed.
        unsafe { [_mm256_maskload_ps(src, mask[0]), _mm256_maskload_ps(src.wrapping_add(8), mask[1])] }
    }
    #[inline(always)]
    unsafe fn store(self, dst: *mut f32, x: [__m256; 2]) {
        // SAFETY: the caller promises room for 16 values.
        unsafe {
            _mm256_storeu_ps(dst, x[0]);
            _mm256_storeu_ps(dst.add(8), x[1]);
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, dst: *mut f32, n: usize, x: [__m256; 2]) {
        let mask = first(n);
        // SAFETY: the caller promises room for `n` values; masked lanes are not written, and the address of
        // the upper half is only computed.
        unsafe {
            _mm256_maskstore_ps(dst, mask[0], x[0]);
            _mm256_maskstore_ps(dst.wrapping_add(8), mask[1], x[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }
    #[inline(always)]
    fn fnma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_fnmadd_ps(a[0], b[0], c[0]), _mm256_fnmadd_ps(a[1], b[1], c[1])])
    }
    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn abs(self, a: [__m256; 2]) -> [__m256; 2] {
        vector!({
            let sign = _mm256_set1_ps(-0.0);
            [_mm256_andnot_ps(sign, a[0]), _mm256_andnot_ps(sign, a[1])]
        })
    }

    #[inline(always)]
    fn gt(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_cmp_ps::<_CMP_GT_OQ>(a[0], b[0]), _mm256_cmp_ps::<_CMP_GT_OQ>(a[1], b[1])])
    }
    #[inline(always)]
    fn select(self, mask: [__m256; 2], a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        vector!([_mm256_blendv_ps(b[0], a[0], mask[0]), _mm256_blendv_ps(b[1], a[1], mask[1])])
    }

    #[inline(always)]
    fn reduce_sum(self, a: [__m256; 2]) -> f32 {
        vector!({
            let b = _mm256_add_ps(a[0], a[1]);
            let c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_add_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)))
        })
    }
    #[inline(always)]
    fn reduce_max(self, a: [__m256; 2]) -> f32 {
        vector!({
            let b = _mm256_max_ps(a[0], a[1]);
            let c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_max_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)))
        })
    }
    #[inline(always)]
    fn reduce_min(self, a: [__m256; 2]) -> f32 {
        vector!({
            let b = _mm256_min_ps(a[0], a[1]);
            let c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps::<1>(b));
            let d = _mm_min_ps(c, _mm_movehl_ps(c, c));
            _mm_cvtss_f32(_mm_min_ss(d, _mm_movehdup_ps(d)))
        })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [__m256i; 2] {
        vector!([_mm256_set1_epi32(x); 2])
    }
    #[inline(always)]
    unsafe fn load_i32(self, src: *const i32) -> [__m256i; 2] {
        // SAFETY: the caller promises 64 readable bytes.
        unsafe { [_mm256_loadu_si256(src.cast()), _mm256_loadu_si256(src.add(8).cast())] }
    }
    #[inline(always)]
    unsafe fn store_i32(self, dst: *mut i32, x: [__m256i; 2]) {
        // SAFETY: the caller promises room for 64 bytes.
        unsafe {
            _mm256_storeu_si256(dst.cast(), x[0]);
            _mm256_storeu_si256(dst.add(8).cast(), x[1]);
        }
    }
    #[inline(always)]
    fn add_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        vector!([_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])])
    }
    #[inline(always)]
    fn sub_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        vector!([_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])])
    }
    #[inline(always)]
    fn mul_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        vector!([_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])])
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: [__m256i; 2]) -> [__m256i; 2] {
        vector!({
            let n = _mm256_set1_epi32(N);
            [_mm256_sllv_epi32(a[0], n), _mm256_sllv_epi32(a[1], n)]
        })
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: [__m256i; 2]) -> [__m256i; 2] {
        vector!({
            let n = _mm256_set1_epi32(N);
            [_mm256_srlv_epi32(a[0], n), _mm256_srlv_epi32(a[1], n)]
        })
    }
    #[inline(always)]
    fn and(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        vector!([_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])])
    }
    #[inline(always)]
    fn or(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        vector!([_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])])
    }

    #[inline(always)]
    fn to_i32(self, a: [__m256; 2]) -> [__m256i; 2] {
        vector!([_mm256_cvtps_epi32(a[0]), _mm256_cvtps_epi32(a[1])])
    }
    #[inline(always)]
    fn to_f32(self, a: [__m256i; 2]) -> [__m256; 2] {
        vector!([_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])])
    }
    #[inline(always)]
    fn bits(self, a: [__m256; 2]) -> [__m256i; 2] {
        vector!([_mm256_castps_si256(a[0]), _mm256_castps_si256(a[1])])
    }
    #[inline(always)]
    fn float(self, a: [__m256i; 2]) -> [__m256; 2] {
        vector!([_mm256_castsi256_ps(a[0]), _mm256_castsi256_ps(a[1])])
    }

    #[inline(always)]
    unsafe fn store_u8(self, dst: *mut u8, x: [__m256i; 2]) {
        // SAFETY: the caller promises room for 16 bytes.
        unsafe {
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(x[0], x[1]));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(dst.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, src: *const i8) -> [__m256i; 2] {
        // SAFETY: the caller promises 16 readable bytes.
        unsafe {
            let bytes = _mm_loadu_si128(src.cast());
            [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))]
        }
    }
    #[inline(always)]
    unsafe fn load_u16(self, src: *const u16) -> [__m256i; 2] {
        // SAFETY: the caller promises 16 readable half-words.
        unsafe {
            let halves = [_mm_loadu_si128(src.cast()), _mm_loadu_si128(src.add(8).cast())];
            [_mm256_cvtepu16_epi32(halves[0]), _mm256_cvtepu16_epi32(halves[1])]
        }
    }
    #[inline(always)]
    unsafe fn store_u16(self, dst: *mut u16, x: [__m256i; 2]) {
        // SAFETY: the caller promises room for 16 half-words.
        unsafe {
            let low = _mm256_set1_epi32(0xffff);
            let words = _mm256_packus_epi32(_mm256_and_si256(x[0], low), _mm256_and_si256(x[1], low));
            _mm256_storeu_si256(dst.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(words));
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, src: *const u16) -> [__m256; 2] {
        // SAFETY: the caller promises 16 readable half-words.
        unsafe {
            let halves = [_mm_loadu_si128(src.cast()), _mm_loadu_si128(src.add(8).cast())];
            [_mm256_cvtph_ps(halves[0]), _mm256_cvtph_ps(halves[1])]
        }
    }
}

impl<const VNNI: bool> Dot4 for Avx2<VNNI> {
    const ACTIVATION_MAX: u8 = if VNNI { 255 } else { 127 };
    const DOT_NAME: &'static str = if VNNI { "x86_64-avxvnni" } else { "x86_64-avx2" };
    const DOT_TILE: Tile =
        if VNNI { Tile { rows: 6, accumulators: 6 } } else { Tile { rows: 4, accumulators: 4 } };

    #[inline(always)]
    fn call_dot<O: DotOp>(self, op: O) -> O::Output {
        if VNNI { vector!(shell_vnni(self, op)) } else { vector!(shell_maddubs(self, op)) }
    }

    #[inline(always)]
    fn dot4(self, acc: [__m256i; 2], a: [__m256i; 2], w: [__m256i; 2]) -> [__m256i; 2] {
        if VNNI {
            vector!([
                _mm256_dpbusd_avx_epi32(acc[0], a[0], w[0]),
                _mm256_dpbusd_avx_epi32(acc[1], a[1], w[1])
            ])
        } else {
            // 2 · 127 · 128 fits the i16 sums of `maddubs`.
            vector!({
                let ones = _mm256_set1_epi16(1);
                let pairs = [_mm256_maddubs_epi16(a[0], w[0]), _mm256_maddubs_epi16(a[1], w[1])];
                [
                    _mm256_add_epi32(acc[0], _mm256_madd_epi16(pairs[0], ones)),
                    _mm256_add_epi32(acc[1], _mm256_madd_epi16(pairs[1], ones)),
                ]
            })
        }
    }
    const SHORT_SUMS: bool = !VNNI;
    #[inline(always)]
    fn dot4_short(self, acc: [__m256i; 2], a: [__m256i; 2], w: [__m256i; 2]) -> [__m256i; 2] {
        if VNNI {
            return self.dot4(acc, a, w);
        }
        // 16 · 2 · 127 · 8 fits.
        vector!([
            _mm256_add_epi16(acc[0], _mm256_maddubs_epi16(a[0], w[0])),
            _mm256_add_epi16(acc[1], _mm256_maddubs_epi16(a[1], w[1]))
        ])
    }
    #[inline(always)]
    fn widen_short(self, acc: [__m256i; 2]) -> [__m256i; 2] {
        if VNNI {
            return acc;
        }
        vector!({
            let ones = _mm256_set1_epi16(1);
            [_mm256_madd_epi16(acc[0], ones), _mm256_madd_epi16(acc[1], ones)]
        })
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], index: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the table is 16 bytes; the token is made only where the machine has this instruction set.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            [_mm256_shuffle_epi8(table, index[0]), _mm256_shuffle_epi8(table, index[1])]
        }
    }
}

impl<const VNNI: bool> DotBf16 for Avx2<VNNI> {
    const BF16_NAME: &'static str = "x86_64-avx2";
    const BF16_TILE: Tile = Tile { rows: 4, accumulators: 4 };

    #[inline(always)]
    fn call_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        vector!(shell_widen(self, op))
    }
}

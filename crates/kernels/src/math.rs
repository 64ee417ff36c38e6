//! Elementary functions over 16 lanes.

use tiny_vlm_simd::Isa;

/// `eˣ`, to 1.5 units in the last place; 0 below −86.99, infinite above 88.7.
///
/// `x = n·ln 2 + r` with `|r| <= ln 2 / 2`; `eʳ` is a polynomial and `2ⁿ` is made from its exponent, in two
/// steps so that `n = 128` does not overflow before `eʳ < 1` brings it back; in the first `n = −126` is zero.
#[inline(always)]
pub(crate) fn exp<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    const P: [f32; 5] = [0.5, 0.166_665_73, 0.041_666_456, 0.008_363_777, 0.001_393_454_5];
    // The second operand is the one that a NaN survives in.
    let x = isa.min(isa.splat(89.0), x);
    let x = isa.max(isa.splat(-87.0), x);
    let n = isa.to_i32(isa.mul(x, isa.splat(std::f32::consts::LOG2_E)));
    let whole = isa.to_f32(n);
    let r = isa.fnma(whole, isa.splat(0.693_359_4), x);
    let r = isa.fnma(whole, isa.splat(-2.121_944_4e-4), r);
    let mut p = isa.splat(P[4]);
    for c in [P[3], P[2], P[1], P[0]] {
        p = isa.fma(p, r, isa.splat(c));
    }
    let p = isa.add(isa.fma(isa.mul(r, r), p, r), isa.splat(1.0));
    let scale = isa.float(isa.shl::<23>(isa.add_i32(n, isa.splat_i32(126))));
    isa.mul(isa.add(p, p), scale)
}

/// `2ˣ` for `x` at most a rounding above zero, to 1.6e-7; 0 below −126.5.
///
/// As [`exp`], without what only large numbers need. The polynomial is minimax in the relative error and exactly 1 at 0.
#[inline(always)]
pub(crate) fn exp2_below<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    #[expect(clippy::approx_constant, reason = "a fitted coefficient near ln 2, not ln 2 itself")]
    const P: [f32; 5] = [0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_513, 0.001_326_472_7];
    // The second operand is the one that a NaN survives in.
    let x = isa.max(isa.splat(-127.0), x);
    let n = isa.to_i32(x);
    let r = isa.sub(x, isa.to_f32(n));
    let mut p = isa.splat(P[4]);
    for c in [P[3], P[2], P[1], P[0], 1.0] {
        p = isa.fma(p, r, isa.splat(c));
    }
    isa.mul(p, isa.float(isa.shl::<23>(isa.add_i32(n, isa.splat_i32(127)))))
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
pub(crate) fn sigmoid<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let one = isa.splat(1.0);
    isa.div(one, isa.add(one, exp(isa, isa.sub(isa.splat(0.0), x))))
}

/// `x·Φ(x)` with the exact normal distribution, to 6e-7.
///
/// It equals `max(x, 0) − g(|x|)` with `g(t) = t·(1 − Φ(t))`, a bump that is nothing beyond 5.5 and a polynomial
/// of degree 16 before it.
#[inline(always)]
pub(crate) fn gelu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    const BUMP: [f32; 17] = [
        -0.015_696_92,
        -0.000_522_047_34,
        0.098_924_37,
        -0.037_460_41,
        -0.256_906_2,
        0.232_402_07,
        0.272_212_54,
        -0.545_276_4,
        0.151_383_86,
        0.459_697_37,
        -0.628_322_9,
        0.260_418_27,
        0.178_947_58,
        -0.308_680_9,
        0.191_263_38,
        -0.060_577_98,
        0.008_194_37,
    ];
    above_bump(isa, x, 5.5, &BUMP)
}

/// The usual approximation of [`gelu`] by a hyperbolic tangent, as some models were trained with, to 6e-7.
///
/// It is `x·sigmoid(2z)` with an odd function `z` of `x`, and so again `max(x, 0)` without a bump, `t·sigmoid(−2z(t))`.
#[inline(always)]
pub(crate) fn gelu_tanh<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    const BUMP: [f32; 17] = [
        -0.006_396_185_6,
        -0.005_271_777_5,
        0.045_354_93,
        -0.002_365_550_3,
        -0.121_850_39,
        0.109_676_82,
        0.095_344_02,
        -0.296_901_34,
        0.229_137_05,
        0.181_051_06,
        -0.531_334_3,
        0.384_833_13,
        0.058_555_867,
        -0.294_394_43,
        0.220_285_15,
        -0.076_627_99,
        0.010_903_868,
    ];
    above_bump(isa, x, 5.25, &BUMP)
}

/// `max(x, 0) − bump(|x|)`, with a bump that stays what it is beyond `limit`: a polynomial in `u = |x| · 2/limit − 1`,
/// highest power first. Its even and its odd powers are summed apart, or the time would be that of one step waiting for
/// another.
#[inline(always)]
fn above_bump<I: Isa>(isa: I, x: I::F32, limit: f32, bump: &[f32; 17]) -> I::F32 {
    let t = isa.min(isa.abs(x), isa.splat(limit));
    let u = isa.fma(t, isa.splat(2.0 / limit), isa.splat(-1.0));
    let square = isa.mul(u, u);
    let (mut even, mut odd) = (isa.splat(bump[0]), isa.splat(bump[1]));
    for i in (2..16).step_by(2) {
        even = isa.fma(even, square, isa.splat(bump[i]));
        odd = isa.fma(odd, square, isa.splat(bump[i + 1]));
    }
    let even = isa.fma(even, square, isa.splat(bump[16]));
    isa.sub(isa.max(isa.splat(0.0), x), isa.fma(odd, u, even))
}

/// `x · sigmoid(x)`
#[inline(always)]
pub(crate) fn silu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    isa.mul(x, sigmoid(isa, x))
}

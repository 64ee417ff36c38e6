//! Every operation of every level against the portable one, on ordinary and on special values.

use tiny_vlm_simd::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Level, Op};

const SPECIAL: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    2.5,
    -2.5,
    3.5,
    1e-30,
    -1e30,
    65504.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1e-40,
    123.456,
    -0.499_999_97,
];

/// Results as bits, with every NaN written the same way: its payload and sign are the machine's.
fn bits(x: [f32; LANES]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }).collect()
}

struct Floats([f32; LANES], [f32; LANES]);

impl Op for Floats {
    type Output = Vec<Vec<u32>>;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let (a, b) = (isa.load_slice(&self.0), isa.load_slice(&self.1));
        let mut results = Vec::new();
        let vectors = [
            isa.add(a, b),
            isa.sub(a, b),
            isa.mul(a, b),
            isa.div(a, b),
            isa.max(a, b),
            isa.min(a, b),
            isa.abs(a),
            isa.select(isa.gt(a, b), a, b),
            isa.splat(self.0[2]),
            isa.float(isa.shl::<3>(isa.shr::<5>(isa.bits(a)))),
            isa.float(isa.and(isa.bits(a), isa.bits(b))),
            isa.float(isa.or(isa.bits(a), isa.bits(b))),
            isa.float(isa.add_i32(isa.bits(a), isa.bits(b))),
            isa.float(isa.sub_i32(isa.bits(a), isa.bits(b))),
            isa.float(isa.mul_i32(isa.bits(a), isa.bits(b))),
            isa.to_f32(isa.bits(a)),
        ];
        for v in vectors {
            let mut out = [0.0; LANES];
            isa.store_slice(&mut out, v);
            results.push(bits(out));
        }
        for n in 0..=LANES {
            let mut out = [7.0; LANES];
            let part = isa.load_slice(&self.0[..n]);
            isa.store_slice(&mut out, part);
            results.push(bits(out));
            let mut out = [7.0; LANES];
            isa.store_slice(&mut out[..n], a);
            results.push(bits(out));
        }
        let mut halves = [0_u16; LANES];
        let mut back = [[0.0_f32; LANES]; 2];
        // SAFETY: every array holds 16 values.
        unsafe {
            isa.store_bf16(halves.as_mut_ptr(), a);
            isa.store(back[0].as_mut_ptr(), isa.load_bf16(halves.as_ptr()));
        }
        results.push(halves.iter().map(|&h| u32::from(h)).collect());
        results.push(bits(back[0]));
        results
    }
}

struct Halves([u16; LANES]);

impl Op for Halves {
    type Output = [f32; LANES];
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let mut out = [0.0; LANES];
        // SAFETY: both arrays hold 16 values.
        unsafe { isa.store(out.as_mut_ptr(), isa.load_f16(self.0.as_ptr())) };
        out
    }
}

struct Transpose<'a>(&'a [f32]);

impl Op for Transpose<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Vec<f32> {
        assert_eq!(self.0.len(), LANES * 19);
        let mut out = vec![9.0; LANES * 17];
        // SAFETY: both have 16 rows, of 19 and 17 values.
        unsafe { isa.transpose(self.0.as_ptr(), 19, out.as_mut_ptr(), 17) };
        out
    }
}

#[test]
fn columns_become_rows_bit_for_bit() {
    // Signalling NaNs and subnormals are words like any other.
    let word = |at: usize| 0x7f80_0001_u32.wrapping_mul(at as u32 | 1).rotate_left(at as u32);
    let src: Vec<f32> = (0..LANES * 19).map(|at| f32::from_bits(word(at))).collect();
    for level in Level::available() {
        let out = level.run(Transpose(&src));
        for (i, row) in out.chunks(17).enumerate() {
            for (j, got) in row[..LANES].iter().enumerate() {
                assert_eq!(got.to_bits(), word(j * 19 + i), "{level} at {i}, {j}");
            }
            assert_eq!(row[LANES], 9.0, "{level} wrote beyond row {i}");
        }
    }
}

struct Narrow([f32; LANES]);

impl Op for Narrow {
    type Output = ([f32; 3], [u8; LANES], [i32; LANES]);
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let x = isa.load_slice(&self.0);
        let sums = [isa.reduce_sum(x), isa.reduce_max(x), isa.reduce_min(x)];
        let (mut bytes, mut back) = ([0_u8; LANES], [0_i32; LANES]);
        // SAFETY: both arrays hold 16 values, and bytes may be read as signed ones.
        unsafe {
            isa.store_u8(bytes.as_mut_ptr(), isa.to_i32(x));
            isa.store_i32(back.as_mut_ptr(), isa.load_i8(bytes.as_ptr().cast()));
        }
        (sums, bytes, back)
    }
}

struct Bytes([i32; LANES], [i32; LANES], [i32; LANES]);

impl DotOp for Bytes {
    type Output = [i32; LANES];
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) -> Self::Output {
        let mut out = [0; LANES];
        // SAFETY: every array is 64 bytes.
        unsafe {
            let limit = isa.splat_i32(i32::from_ne_bytes([I::ACTIVATION_MAX; 4]));
            let a = isa.and(isa.load_i32(self.1.as_ptr()), limit);
            let (acc, w) = (isa.load_i32(self.0.as_ptr()), isa.load_i32(self.2.as_ptr()));
            let short = isa.dot4(acc, isa.activations(a), w);
            // The sum of the weights: what activations of 1 give more than those of 0.
            let dot = |a| isa.dot4(isa.splat_i32(0), isa.activations(isa.splat_i32(a)), w);
            let sum = isa.sub_i32(dot(0x0101_0101), dot(0));
            let left_out = isa.mul_i32(isa.splat_i32(I::OFFSET), sum);
            isa.store_i32(out.as_mut_ptr(), isa.add_i32(short, left_out));
        }
        out
    }
}

/// Sixteen steps of weights between −8 and 8, by short sums.
struct Few([i32; LANES], [i32; LANES]);

impl DotOp for Few {
    type Output = [i32; LANES];
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) -> Self::Output {
        let mut out = [0; LANES];
        // SAFETY: every array is 64 bytes.
        unsafe {
            let a = isa.activations(isa.and(isa.load_i32(self.0.as_ptr()), isa.splat_i32(0x7f7f_7f7f)));
            let w = isa.load_i32(self.1.as_ptr());
            let (mut sum, mut nothing) = (isa.splat_i32(0), isa.splat_i32(0));
            for _ in 0..16 {
                sum = isa.dot4_short(sum, a, w);
                nothing = isa.dot4_short(nothing, isa.activations(isa.splat_i32(0)), w);
            }
            isa.store_i32(out.as_mut_ptr(), isa.sub_i32(isa.widen_short(sum), isa.widen_short(nothing)));
        }
        out
    }
}

struct Pairs([f32; LANES], [i32; LANES], [i32; LANES]);

impl Bf16Op for Pairs {
    type Output = [f32; LANES];
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) -> Self::Output {
        let mut out = [0.0; LANES];
        // SAFETY: every array is 64 bytes.
        unsafe {
            let (a, b) = (isa.load_i32(self.1.as_ptr()), isa.load_i32(self.2.as_ptr()));
            isa.store(out.as_mut_ptr(), isa.dot_bf16(isa.load(self.0.as_ptr()), a, b));
        }
        out
    }
}

#[test]
fn every_level_computes_what_the_portable_one_does() {
    let mut reversed = SPECIAL;
    reversed.reverse();
    let rotated = std::array::from_fn(|i| SPECIAL[(i + 5) % 16]);
    for b in [reversed, rotated, SPECIAL, [0.75; 16]] {
        let expected = Level::SCALAR.run(Floats(SPECIAL, b));
        for level in Level::available() {
            let got = level.run(Floats(SPECIAL, b));
            for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                assert_eq!(got, expected, "{level}, result {i}");
            }
        }
    }
}

#[test]
fn short_sums_have_room_for_sixteen_steps_of_few_bits() {
    for (a, w) in [(0x7f, -8_i8), (0x7f, 8), (0x35, -3), (1, 7)] {
        let (activations, weights) = (i32::from_ne_bytes([a; 4]), i32::from_ne_bytes([w.cast_unsigned(); 4]));
        let expected = 16 * 4 * i32::from(a) * i32::from(w);
        for level in Level::available() {
            let got = level.run_dot(Few([activations; LANES], [weights; LANES]));
            assert_eq!(got, [expected; LANES], "{level}: {a} by {w}");
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn every_arm_machine_has_neon() {
    assert!(Level::available().iter().any(|level| level.name() == "neon"));
}

#[test]
fn bf16_rounds_to_nearest_even_and_keeps_what_is_not_a_number() {
    let x = [
        f32::from_bits(0x3f80_8000),
        f32::from_bits(0x3f81_8000),
        f32::from_bits(0x3f80_8001),
        f32::MAX,
        f32::INFINITY,
        f32::from_bits(0x7f80_0001),
    ];
    for level in Level::available() {
        let rounded = &level.run(Floats(std::array::from_fn(|i| x[i % 6]), [0.0; 16]))[50];
        assert_eq!(rounded[..5], [0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7f80], "{level}");
        assert!(f32::from_bits(rounded[5] << 16).is_nan(), "{level}");
    }
}

struct Operands([f32; LANES]);

impl Bf16Op for Operands {
    type Output = [u16; LANES];
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) -> Self::Output {
        let mut out = [0; LANES];
        // SAFETY: the array holds 16 half-words.
        unsafe { isa.store_operands(out.as_mut_ptr(), isa.load_array(&self.0)) };
        out
    }
}

#[test]
fn operands_of_bf16_products_are_rounded_like_others_unless_subnormal() {
    let mut state = 1_u32;
    for _ in 0..2000 {
        let x: [f32; LANES] = std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state)
        });
        for level in Level::available() {
            let rounded = &level.run(Floats(x, [0.0; 16]))[50];
            for ((x, expected), got) in x.iter().zip(rounded).zip(level.run_bf16(Operands(x))) {
                let (expected, got) = (expected << 16, u32::from(got) << 16);
                let zero = x.to_bits() & 0x8000_0000;
                let flushed = x.is_subnormal() && level.has_bf16_dot();
                assert!(got == if flushed { zero } else { expected }, "{level}: {x:e} becomes {got:#x}");
            }
        }
    }
    assert!(!Level::SCALAR.has_bf16_dot());
}

#[test]
fn every_half_widens_exactly() {
    for base in (0..=u16::MAX).step_by(16) {
        let halves = std::array::from_fn(|i| base + i as u16);
        for level in Level::available() {
            for (half, got) in halves.into_iter().zip(level.run(Halves(halves))) {
                let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
                let (exponent, mantissa) = (i32::from((half >> 10) & 31), f32::from(half & 1023));
                let expected = match exponent {
                    0 => sign * mantissa * 2.0_f32.powi(-24),
                    31 if mantissa == 0.0 => sign * f32::INFINITY,
                    31 => f32::NAN,
                    e => sign * (1.0 + mantissa / 1024.0) * 2.0_f32.powi(e - 15),
                };
                assert_eq!(bits([got; 16]), bits([expected; 16]), "{level}, {half:#06x}");
            }
        }
    }
}

#[test]
fn reductions_and_bytes_agree() {
    let x: [f32; LANES] = std::array::from_fn(|i| (i as f32 * 37.3) % 61.0 * 9.7 - 150.0);
    let expected = Level::SCALAR.run(Narrow(x));
    assert_eq!(expected.1, x.map(|x| x.round_ties_even().clamp(0.0, 255.0) as u8));
    assert_eq!(expected.2, expected.1.map(|b| i32::from(b as i8)));
    for level in Level::available() {
        assert_eq!(level.run(Narrow(x)), expected, "{level}");
    }
}

#[test]
fn dot_products_agree() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    for _ in 0..100 {
        let acc = std::array::from_fn(|_| next() as i32 >> 4);
        let a = std::array::from_fn(|_| next() as i32);
        let w: [i32; LANES] = std::array::from_fn(|_| next() as i32);
        for level in Level::available() {
            let limit = if level.activation_max() == 255 { -1 } else { 0x7f7f_7f7f };
            let expected = Level::SCALAR.run_dot(Bytes(acc, a.map(|a: i32| a & limit), w));
            assert_eq!(level.run_dot(Bytes(acc, a, w)), expected, "{level}");
        }
        let f = std::array::from_fn(|_| (next() >> 8) as f32 * 1e-6);
        let bf16 = |x: u32| ((x & 0x80ff_80ff) | 0x3f00_3f00) as i32;
        let (a, b) = (std::array::from_fn(|_| bf16(next())), std::array::from_fn(|_| bf16(next())));
        let expected = Level::SCALAR.run_bf16(Pairs(f, a, b));
        for level in Level::available() {
            for (got, expected) in level.run_bf16(Pairs(f, a, b)).into_iter().zip(expected) {
                assert!((got - expected).abs() <= 4e-6, "{level}: {got} for {expected}");
            }
        }
    }
}

struct Fused([[f32; LANES]; 3]);

impl Op for Fused {
    type Output = [[f32; LANES]; 2];
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let [a, b, c] = self.0.map(|x| isa.load_array(&x));
        let mut out = [[0.0; LANES]; 2];
        isa.store_array(&mut out[0], isa.fma(a, b, c));
        isa.store_array(&mut out[1], isa.fnma(a, b, c));
        out
    }
}

#[test]
fn multiply_adds_take_their_operands_in_order() {
    // So small that no rounding can tell.
    let of = |f: fn(f32) -> f32| std::array::from_fn(|i| f(i as f32));
    let (a, b, c) = (of(|i| i - 7.0), of(|i| 3.0 - 2.0 * i), of(|i| 100.0 * i + 0.5));
    for level in Level::available() {
        let [plus, minus] = level.run(Fused([a, b, c]));
        for i in 0..LANES {
            assert_eq!(plus[i], c[i] + a[i] * b[i], "{level}, lane {i}");
            assert_eq!(minus[i], c[i] - a[i] * b[i], "{level}, lane {i}");
        }
    }
}

struct Lookup([i8; 16], [i32; LANES]);

impl DotOp for Lookup {
    type Output = [i32; LANES];
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) -> Self::Output {
        let mut out = [0; LANES];
        // SAFETY: both arrays are 64 bytes.
        unsafe { isa.store_i32(out.as_mut_ptr(), isa.lookup(&self.0, isa.load_i32(self.1.as_ptr()))) };
        out
    }
}

#[test]
fn lookups_take_every_entry() {
    let table = std::array::from_fn(|i| (i as i32 * 13 - 100) as i8);
    let index: [i32; LANES] =
        std::array::from_fn(|i| i32::from_le_bytes(std::array::from_fn(|b| ((4 * i + b) * 7 % 16) as u8)));
    let expected =
        index.map(|word| i32::from_le_bytes(word.to_le_bytes().map(|b| table[usize::from(b)] as u8)));
    for level in Level::available() {
        assert_eq!(level.run_dot(Lookup(table, index)), expected, "{level}");
    }
}

#[test]
fn extreme_bytes_do_not_saturate() {
    for level in Level::available() {
        let a = i32::from_ne_bytes([level.activation_max(); 4]);
        let w = i32::from_ne_bytes([(-128_i8) as u8; 4]);
        let expected = -4 * 128 * i32::from(level.activation_max());
        assert_eq!(level.run_dot(Bytes([0; 16], [a; 16], [w; 16])), [expected; 16], "{level}");
    }
}

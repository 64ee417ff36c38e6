//! Functions of single values, over whole slices.

use tiny_vlm_simd::{Isa, LANES, Level, Op};

use crate::epilogue::{Activation, Function, with_function};

/// Applies an activation in place.
pub fn activate(level: Level, data: &mut [f32], activation: Activation) {
    level.run(Activate { data, activation });
}

struct Activate<'a> {
    data: &'a mut [f32],
    activation: Activation,
}

impl Op for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        with_function!(self.activation, f => {
            let (whole, tail) = self.data.as_chunks_mut::<LANES>();
            for x in whole {
                let y = f.apply(isa, isa.load_array(x));
                isa.store_array(x, y);
            }
            let y = f.apply(isa, isa.load_slice(tail));
            isa.store_slice(tail, y);
        })
    }
}

/// Adds a slice to another.
///
/// # Panics
/// If their lengths differ.
pub fn add_assign(level: Level, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "adding slices of different lengths");
    level.run(Add { x, y });
}

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Op for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        for (x, y) in self.x.chunks_mut(LANES).zip(self.y.chunks(LANES)) {
            let sum = isa.add(isa.load_slice(x), isa.load_slice(y));
            isa.store_slice(x, sum);
        }
    }
}

/// Rounds floats to bf16, to nearest even.
///
/// # Panics
/// If `out` is shorter than `x`; what it has beyond is set to zero.
pub fn to_bf16(level: Level, x: &[f32], out: &mut [half::bf16]) {
    assert!(out.len() >= x.len(), "{} values into {}", x.len(), out.len());
    level.run(ToBf16 { x, out });
}

struct ToBf16<'a> {
    x: &'a [f32],
    out: &'a mut [half::bf16],
}

impl Op for ToBf16<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (out, rest) = self.out.split_at_mut(self.x.len());
        rest.fill(half::bf16::ZERO);
        let (whole, tail) = self.x.as_chunks::<LANES>();
        let (to, to_tail) = out.as_chunks_mut::<LANES>();
        for (x, to) in whole.iter().zip(to) {
            // SAFETY: the chunk has room for 16 half-words, which is what bf16 is.
            unsafe { isa.store_bf16(to.as_mut_ptr().cast(), isa.load_array(x)) };
        }
        let mut last = [half::bf16::ZERO; LANES];
        // SAFETY: the array has room for 16 half-words.
        unsafe { isa.store_bf16(last.as_mut_ptr().cast(), isa.load_slice(tail)) };
        to_tail.copy_from_slice(&last[..tail.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use crate::testing::erf;

    fn reference(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Gelu => x * 0.5 * (1.0 + erf(x / 2_f64.sqrt())),
            Activation::GeluTanh => {
                let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + z.tanh())
            }
            Activation::Silu => x * sigmoid(x),
            Activation::Sigmoid => sigmoid(x),
            Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        }
    }

    const ALL: [Activation; 7] = [
        Activation::None,
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::HardSwish,
    ];

    #[test]
    fn activations_follow_their_definitions() {
        let x: Vec<f32> =
            (-160_001..=160_000).map(|i| i as f32 * 1e-4).chain([-100.0, 100.0, -1e20]).collect();
        for level in Level::available() {
            for activation in ALL {
                let mut y = x.clone();
                activate(level, &mut y, activation);
                for (x, y) in x.iter().zip(&y) {
                    let expected = reference(activation, f64::from(*x));
                    let error = (f64::from(*y) - expected).abs();
                    // Half a unit in the last place of the result, and of its intermediates.
                    let bound = 3e-7 + 1.2e-7 * f64::from(x.abs());
                    assert!(error <= bound, "{level} {activation:?} of {x}: {y} for {expected}");
                }
            }
        }
    }

    #[test]
    fn not_a_number_stays_so() {
        for level in Level::available() {
            for activation in ALL {
                let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0, -1.0];
                activate(level, &mut x, activation);
                assert!(x[0].is_nan(), "{level} {activation:?}");
                assert!(x[3].is_finite() && x[4].is_finite());
            }
        }
    }

    #[test]
    fn sums_and_roundings() {
        for level in Level::available() {
            for n in [0, 1, 15, 16, 17, 40] {
                let (mut x, y) = (random(n, 1), random(n, 2));
                let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
                add_assign(level, &mut x, &y);
                assert_eq!(x, expected);
                let mut halves = vec![half::bf16::ONE; n + 3];
                to_bf16(level, &x, &mut halves);
                let expected: Vec<_> = x.iter().map(|x| half::bf16::from_f32(*x)).collect();
                assert_eq!(halves[..n], expected);
                assert_eq!(halves[n..], [half::bf16::ZERO; 3]);
            }
        }
    }
}

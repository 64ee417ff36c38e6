//! Rotary position embedding (Su et al., arXiv 2104.09864): pairs of a head's values are turned by an angle that
//! is the position times a frequency, `θ^(−2i/d)`.

use tiny_vlm_simd::{Isa, LANES, Level, Op};

/// Which values of a head make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Value `i` with `i + d/2`, as Llama's checkpoints have it.
    Halves,
    /// Value `2i` with `2i + 1`.
    Neighbours,
}

/// Writes the cosines and sines for one position: `dim / 2` of each.
///
/// # Panics
/// If the slices are not of half the dimension.
pub fn rotary_angles(position: f64, dim: usize, theta: f64, cos: &mut [f32], sin: &mut [f32]) {
    assert!(cos.len() == dim / 2 && sin.len() == dim / 2, "rotary table of {} for {dim}", cos.len());
    for (i, (cos, sin)) in cos.iter_mut().zip(sin).enumerate() {
        let angle = position * theta.powf(-2.0 * i as f64 / dim as f64);
        (*sin, *cos) = (angle.sin() as f32, angle.cos() as f32);
    }
}

/// Turns each head of one token; a head is as long as both tables together.
///
/// # Panics
/// If the token is not a whole number of heads.
pub fn rotate(level: Level, token: &mut [f32], cos: &[f32], sin: &[f32], pairing: Pairing) {
    let half = cos.len();
    assert!(sin.len() == half && half > 0, "rotary tables of {half} and {}", sin.len());
    assert!(token.len().is_multiple_of(2 * half), "token of {} in heads of {}", token.len(), 2 * half);
    match pairing {
        Pairing::Halves => level.run(Rotate { token, cos, sin }),
        Pairing::Neighbours => {
            for head in token.chunks_exact_mut(2 * half) {
                for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin)) {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, b * cos + a * sin];
                }
            }
        }
    }
}

struct Rotate<'a> {
    token: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Op for Rotate<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let half = self.cos.len();
        for head in self.token.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for i in (0..half).step_by(LANES) {
                let end = (i + LANES).min(half);
                let (a, b) = (isa.load_slice(&first[i..end]), isa.load_slice(&second[i..end]));
                let (cos, sin) = (isa.load_slice(&self.cos[i..end]), isa.load_slice(&self.sin[i..end]));
                isa.store_slice(&mut first[i..end], isa.fnma(b, sin, isa.mul(a, cos)));
                isa.store_slice(&mut second[i..end], isa.fma(a, sin, isa.mul(b, cos)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn both_pairings_turn_by_the_same_angles() {
        for level in Level::available() {
            for dim in [2, 6, 32, 34, 64] {
                let (mut cos, mut sin) = (vec![0.0; dim / 2], vec![0.0; dim / 2]);
                rotary_angles(17.0, dim, 10_000.0, &mut cos, &mut sin);
                let x = random(3 * dim, 5);
                let (mut halves, mut pairs) = (x.clone(), vec![0.0; 3 * dim]);
                for (from, to) in x.chunks(dim).zip(pairs.chunks_mut(dim)) {
                    for i in 0..dim / 2 {
                        (to[2 * i], to[2 * i + 1]) = (from[i], from[i + dim / 2]);
                    }
                }
                rotate(level, &mut halves, &cos, &sin, Pairing::Halves);
                rotate(level, &mut pairs, &cos, &sin, Pairing::Neighbours);
                for (h, (a, b)) in x.chunks(dim).zip(halves.chunks(dim).zip(pairs.chunks(dim))) {
                    for i in 0..dim / 2 {
                        let angle = 17.0 * 10_000_f64.powf(-2.0 * i as f64 / dim as f64);
                        let (p, q) = (f64::from(h[i]), f64::from(h[i + dim / 2]));
                        let turned = [p * angle.cos() - q * angle.sin(), q * angle.cos() + p * angle.sin()];
                        for (got, expected) in [a[i], a[i + dim / 2]].iter().zip(turned) {
                            assert!((f64::from(*got) - expected).abs() < 1e-6, "{level} {dim}");
                        }
                        for (got, expected) in [b[2 * i], b[2 * i + 1]].iter().zip(turned) {
                            assert!((f64::from(*got) - expected).abs() < 1e-6, "{level} {dim}");
                        }
                    }
                }
            }
        }
    }
}

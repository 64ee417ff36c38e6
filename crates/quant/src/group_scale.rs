//! The scale of a group of weights of few bits.
//!
//! It is refined in turns, as by Lloyd: values to the nearest for the scale, the scale by least squares for the values.
//! Neither step makes the error larger; of two beginnings the better end counts. Every instruction set gives the same
//! scale: sums are of the same lanes in the same order, and nothing is rounded once here and twice there.

use half::f16;
use tiny_vlm_simd::{Isa, LANES, Level, Op};

use crate::{Bits, QuantError};

/// Steps towards the scale of least squares; the error changes in its third digit after that.
const REFINEMENTS: usize = 5;

/// The scale of the `index`-th group, whose weights count for as much as `importance` says.
pub(crate) fn group_scale(
    index: usize,
    weights: &[f32],
    importance: &[f32],
    bits: Bits,
) -> Result<f16, QuantError> {
    let level = Level::detect();
    let scale = match bits {
        Bits::Four => level.run(GroupScale { weights, importance, values: FourBits }),
        Bits::Two => level.run(GroupScale { weights, importance, values: TwoBits }),
    };
    if scale.is_finite() {
        Ok(scale)
    } else {
        Err(QuantError::NotFinite { what: "scale of a group", index, value: scale.to_f32() })
    }
}

/// The values that a weight can have, for a vector of weights.
trait Values: Copy {
    /// Scales to begin with, from the weight of largest magnitude and the mean magnitude.
    fn first_scales(self, most: f32, mean: f32) -> [f32; 2];
    /// The value nearest to each of some weights in units of the scale.
    fn nearest<I: Isa>(self, isa: I, x: I::F32) -> I::F32;
}

#[derive(Clone, Copy)]
struct FourBits;

impl Values for FourBits {
    /// Those that reach the largest weight on the one side, which has one value more, or on both.
    fn first_scales(self, most: f32, _: f32) -> [f32; 2] {
        [most / -8.0, most / 7.0]
    }

    #[inline(always)]
    fn nearest<I: Isa>(self, isa: I, x: I::F32) -> I::F32 {
        let clamped = isa.min(isa.max(x, isa.splat(-8.0)), isa.splat(7.0));
        isa.to_f32(isa.to_i32(clamped))
    }
}

#[derive(Clone, Copy)]
struct TwoBits;

impl Values for TwoBits {
    /// The best for a normal distribution, and that which reaches the largest weight.
    fn first_scales(self, most: f32, mean: f32) -> [f32; 2] {
        [0.624 * mean, most / 3.0]
    }

    #[inline(always)]
    fn nearest<I: Isa>(self, isa: I, x: I::F32) -> I::F32 {
        let half = isa.mul(x, isa.splat(0.5));
        let half = isa.min(isa.max(half, isa.splat(-2.0)), isa.splat(1.0));
        let near = isa.to_f32(isa.to_i32(half));
        let floor = isa.select(isa.gt(near, half), isa.sub(near, isa.splat(1.0)), near);
        isa.add(isa.add(floor, floor), isa.splat(1.0))
    }
}

struct GroupScale<'a, V> {
    weights: &'a [f32],
    importance: &'a [f32],
    values: V,
}

impl<V: Values> Op for GroupScale<'_, V> {
    type Output = f16;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f16 {
        let (most, mean) = self.magnitudes(isa);
        let [first, second] = self.values.first_scales(most, mean);
        let (first, first_error) = self.end(isa, first);
        let (second, second_error) = self.end(isa, second);
        if second_error < first_error { second } else { first }
    }
}

impl<V: Values> GroupScale<'_, V> {
    /// The weight of largest magnitude, and the mean magnitude.
    #[inline(always)]
    fn magnitudes<I: Isa>(&self, isa: I) -> (f32, f32) {
        let nothing = isa.splat(0.0);
        let (mut low, mut high, mut sum) = (nothing, nothing, nothing);
        for weights in self.weights.chunks(LANES) {
            let weights = load(isa, weights);
            low = isa.min(low, weights);
            high = isa.max(high, weights);
            sum = isa.add(sum, isa.abs(weights));
        }
        let (low, high) = (isa.reduce_min(low), isa.reduce_max(high));
        let most = if -low > high { low } else { high };
        (most, isa.reduce_sum(sum) / self.weights.len().max(1) as f32)
    }

    /// What a scale is refined to, and its error.
    #[inline(always)]
    fn end<I: Isa>(&self, isa: I, first: f32) -> (f16, f32) {
        let scale = f16::from_f32(self.refined(isa, first));
        (scale, self.error(isa, scale.to_f32()))
    }

    #[inline(always)]
    fn refined<I: Isa>(&self, isa: I, mut scale: f32) -> f32 {
        for _ in 0..REFINEMENTS {
            let units = isa.splat(inverse(scale));
            let (mut product, mut square) = (isa.splat(0.0), isa.splat(0.0));
            for (weights, importance) in self.vectors() {
                let (weights, importance) = (load(isa, weights), load(isa, importance));
                let value = self.values.nearest(isa, isa.mul(weights, units));
                let counts = isa.mul(importance, value);
                product = isa.add(product, isa.mul(counts, weights));
                square = isa.add(square, isa.mul(counts, value));
            }
            let square = isa.reduce_sum(square);
            if square > 0.0 {
                scale = isa.reduce_sum(product) / square;
            }
        }
        scale
    }

    /// The sum of the squares of what rounding loses, each for what it counts.
    #[inline(always)]
    fn error<I: Isa>(&self, isa: I, scale: f32) -> f32 {
        if !scale.is_finite() {
            return f32::INFINITY;
        }
        let (units, scale) = (isa.splat(inverse(scale)), isa.splat(scale));
        let mut error = isa.splat(0.0);
        for (weights, importance) in self.vectors() {
            let (weights, importance) = (load(isa, weights), load(isa, importance));
            let value = self.values.nearest(isa, isa.mul(weights, units));
            let lost = isa.sub(isa.mul(value, scale), weights);
            error = isa.add(error, isa.mul(importance, isa.mul(lost, lost)));
        }
        isa.reduce_sum(error)
    }

    /// Weights and what they count, as many as a vector holds.
    #[inline(always)]
    fn vectors(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.weights.chunks(LANES).zip(self.importance.chunks(LANES))
    }
}

/// Reads as much of a vector as there is.
#[inline(always)]
fn load<I: Isa>(isa: I, values: &[f32]) -> I::F32 {
    match values.try_into() {
        Ok(whole) => isa.load_array(whole),
        Err(_) => isa.load_slice(values),
    }
}

/// What weights are multiplied by to be in units of a scale.
pub(crate) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_rounded_as_single_values_and_scales_are_the_same_at_every_level() {
        let weights: Vec<f32> = (0..64).map(|i| (i as f32 * 1.7).sin() * (i as f32 * 0.13).cos()).collect();
        let importance: Vec<f32> = (0..64).map(|i| 1.0 / (1 + i % 5) as f32).collect();
        for len in [1, 15, 16, 17, 32, 63, 64] {
            let (weights, importance) = (&weights[..len], &importance[..len]);
            let scales = |level: Level| {
                [
                    level.run(GroupScale { weights, importance, values: FourBits }),
                    level.run(GroupScale { weights, importance, values: TwoBits }),
                ]
            };
            for level in Level::available() {
                assert_eq!(scales(level), scales(Level::SCALAR), "{level}, {len}");
            }
            for (scale, bits) in scales(Level::detect()).into_iter().zip([Bits::Four, Bits::Two]) {
                // The least error there is nearby, found by trying.
                let error = |scale: f32| -> f32 {
                    let lost = |w: f32| f32::from(bits.nearest(w / scale)) * scale - w;
                    weights.iter().zip(importance).map(|(w, m)| m * lost(*w).powi(2)).sum()
                };
                let nearby = (-40..=40).map(|step| error(scale.to_f32() * (1.0 + step as f32 * 1e-3)));
                let least = nearby.fold(f32::INFINITY, f32::min);
                assert!(error(scale.to_f32()) <= least * 1.1 + 1e-6, "{bits:?}, {len}");
            }
        }
    }
}

//! Which source pixels make a target pixel, and how much of each: Pillow's tables.
//!
//! Along one axis, target pixel `i` has its centre at `from + (i + 0.5) * scale` in the source. When shrinking, the filter
//! is widened by the scale, so that every source pixel counts. Weights are computed in f64, made to sum to one, and
//! rounded to 22 fractional bits; a sum of 8-bit pixels then fits an `i32` with a sign to spare. The order of the
//! f64 operations below is Pillow's, because the last bit of a weight can decide a byte.

use crate::Filter;

/// Fractional bits of a weight.
pub(crate) const PRECISION: u32 = 32 - 8 - 2;

/// The weights of one axis. Target pixel `i` is made of `weights(i)`, beginning at source pixel `first(i)`.
#[derive(Debug, Default)]
pub(crate) struct Coefficients {
    first: Vec<u32>,
    /// Weights of all target pixels, end to end.
    weights: Vec<i32>,
    /// Where each target pixel's weights end.
    ends: Vec<u32>,
    scratch: Vec<f64>,
}

impl Coefficients {
    /// Fills the tables for `target` pixels out of the interval `from..to` of `source` pixels, `None` where they would be
    /// too many to count.
    pub(crate) fn compute(
        &mut self,
        source: usize,
        from: f32,
        to: f32,
        target: usize,
        filter: Filter,
    ) -> Option<()> {
        let scale = f64::from(to - from) / target as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse = 1.0 / filter_scale;
        self.first.clear();
        self.weights.clear();
        self.ends.clear();
        for i in 0..target {
            let centre = f64::from(from) + (i as f64 + 0.5) * scale;
            // Both conversions cut towards zero, and a negative start is no pixel.
            let first = ((centre - support + 0.5) as i64).max(0);
            let end = ((centre + support + 0.5) as i64).min(source as i64);
            self.scratch.clear();
            let mut sum = 0.0;
            for x in first..end {
                let weight = filter.weight(((x as f64) - centre + 0.5) * inverse);
                self.scratch.push(weight);
                sum += weight;
            }
            let one = f64::from(1u32 << PRECISION);
            self.weights.extend(self.scratch.iter().map(|&weight| {
                let weight = if sum != 0.0 { weight / sum } else { weight };
                if weight < 0.0 { (-0.5 + weight * one) as i32 } else { (0.5 + weight * one) as i32 }
            }));
            self.first.push(u32::try_from(first).ok()?);
            self.ends.push(u32::try_from(self.weights.len()).ok()?);
        }
        Some(())
    }

    /// Number of target pixels.
    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    /// The first source pixel of target pixel `i`.
    pub(crate) fn first(&self, i: usize) -> usize {
        self.first[i] as usize
    }

    /// The weights of target pixel `i`.
    pub(crate) fn weights(&self, i: usize) -> &[i32] {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.weights[begin..self.ends[i] as usize]
    }

    /// The source pixels used at all: first, and one past the last.
    pub(crate) fn span(&self) -> (usize, usize) {
        let last = self.len() - 1;
        (self.first(0), self.first(last) + self.weights(last).len())
    }
}

//! Calibrated quantizing: each weight is rounded in sight of what the rounding of those before it does to the output.
//!
//! GPTQ (Frantar et al., 2022, arXiv:2210.17323) rounds the columns one by one and moves each one's error onto the columns
//! still to come, in the way that serves the samples best. It does that with the Cholesky factor of the inverse Hessian;
//! the same roundings come from the factor of the Hessian itself by nearest planes (Chen et al., 2025,
//! arXiv:2507.18553), without an inverse: with `H = U·Uᵀ` and the errors `e_i` that were made,
//! `w_j + Σ_{i<j} e_i · U_ij / U_jj` is what weight j is to be rounded from.

use std::ops::Range;

use half::f16;

use crate::group_scale::group_scale;
use crate::quantizer::{Bits, RowScale, check_finite, check_length};
use crate::{Calibration, GroupQuantized, QuantError, Quantized};

/// As [`quantize_rows`](crate::quantize_rows), compensating errors as the samples want it. Scales are the same.
///
/// # Errors
/// If the length is not `n · k`, a weight is not finite or the samples are not of `k` columns.
pub fn calibrate_rows(
    n: usize,
    k: usize,
    weights: &[f32],
    calibration: &Calibration,
) -> Result<Quantized, QuantError> {
    check(n, k, weights, calibration)?;
    let mut out = Quantized { bytes: Vec::with_capacity(weights.len()), scales: vec![0.0; n] };
    let mut carried = vec![0.0; k];
    for (row, scale) in weights.chunks_exact(k.max(1)).zip(&mut out.scales) {
        let by = RowScale::of(row);
        *scale = by.scale;
        let mut rounding = Rounding::new(row, calibration, &mut carried);
        for j in 0..k {
            let byte = by.nearest(rounding.target(j));
            rounding.settle(j, by.scale * f32::from(byte));
            out.bytes.push(byte);
        }
    }
    Ok(out)
}

/// As [`quantize_groups`](crate::quantize_groups), compensating errors as the samples want it. A group's scale is chosen
/// when the group is reached, for what its weights have become by then and with the weight that each has in the output.
///
/// # Errors
/// If the length is not `n · k`, a weight is not finite, the samples are not of `k` columns or a group's scale is beyond
/// an f16.
pub fn calibrate_groups(
    n: usize,
    k: usize,
    weights: &[f32],
    bits: Bits,
    group: usize,
    calibration: &Calibration,
) -> Result<GroupQuantized, QuantError> {
    check(n, k, weights, calibration)?;
    let group = group.max(1);
    let mut out =
        GroupQuantized { values: vec![0; n * k], scales: Vec::with_capacity(n * k.div_ceil(group)) };
    if k == 0 {
        return Ok(out);
    }
    let importance = importance(calibration, group);
    let (mut carried, mut ahead) = (vec![0.0; k], vec![0.0; group.min(k)]);
    for (row, values) in weights.chunks_exact(k).zip(out.values.chunks_exact_mut(k)) {
        let mut rounding = Rounding::new(row, calibration, &mut carried);
        for (first, values) in (0..k).step_by(group).zip(values.chunks_mut(group)) {
            let columns = first..first + values.len();
            let ahead = &mut ahead[..values.len()];
            rounding.targets(columns.clone(), ahead);
            let scale = group_scale(out.scales.len(), ahead, &importance[columns.clone()], bits)?;
            let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
            for (j, value) in columns.zip(values) {
                *value = bits.nearest(rounding.target(j) * inverse);
                rounding.settle(j, scale.to_f32() * f32::from(*value));
            }
            out.scales.push(scale);
        }
    }
    Ok(out)
}

fn check(n: usize, k: usize, weights: &[f32], calibration: &Calibration) -> Result<(), QuantError> {
    check_length("weights", n, k, weights.len())?;
    if calibration.columns() != k {
        return Err(QuantError::Calibration { columns: calibration.columns(), n, k });
    }
    check_finite("weight", weights)
}

/// What an error of each weight costs once those after it have made up for what they can, `U_jj²`: as a share of the
/// most in its group.
fn importance(calibration: &Calibration, group: usize) -> Vec<f32> {
    let mut cost: Vec<f64> = (0..calibration.columns()).map(|j| calibration.row(j)[0].powi(2)).collect();
    for cost in cost.chunks_mut(group) {
        let most = cost.iter().fold(0.0_f64, |most, cost| most.max(*cost));
        cost.iter_mut().for_each(|cost| *cost /= most);
    }
    cost.into_iter().map(|cost| cost as f32).collect()
}

/// The weights of an output channel while they are rounded from the first to the last.
struct Rounding<'a> {
    weights: &'a [f32],
    calibration: &'a Calibration,
    /// `Σ e_i · U_ij` over the weights that were rounded, for those that were not.
    carried: &'a mut [f64],
}

impl<'a> Rounding<'a> {
    fn new(weights: &'a [f32], calibration: &'a Calibration, carried: &'a mut [f64]) -> Self {
        carried.fill(0.0);
        Rounding { weights, calibration, carried }
    }

    /// What the next weight is to be rounded from.
    fn target(&self, j: usize) -> f32 {
        (f64::from(self.weights[j]) + self.carried[j] / self.calibration.row(j)[0]) as f32
    }

    /// The next weight is to be `rounded`.
    fn settle(&mut self, j: usize, rounded: f32) {
        let error = f64::from(self.weights[j]) - f64::from(rounded);
        for (carried, u) in self.carried[j..].iter_mut().zip(self.calibration.row(j)) {
            *carried += error * u;
        }
    }

    /// What the next weights would best be together, if they need not be rounded.
    fn targets(&self, columns: Range<usize>, out: &mut [f32]) {
        let mut carried = self.carried[columns.clone()].to_vec();
        for (i, out) in out.iter_mut().enumerate() {
            let row = &self.calibration.row(columns.start + i)[..columns.len() - i];
            let change = carried[i] / row[0];
            *out = (f64::from(self.weights[columns.start + i]) + change) as f32;
            carried[i..].iter_mut().zip(row).for_each(|(carried, u)| *carried -= change * u);
        }
    }
}

#[cfg(test)]
mod tests {
    use tiny_vlm_tensor::View;

    use super::*;
    use crate::random::random;
    use crate::{Hessian, quantize_groups, quantize_rows};

    const FORMATS: [(Bits, usize); 4] =
        [(Bits::Four, 32), (Bits::Four, 64), (Bits::Two, 32), (Bits::Two, 64)];

    /// Samples in which a feature goes along with its neighbours.
    fn correlated(m: usize, k: usize) -> Vec<f32> {
        let mut x = random(m * k, 5);
        for row in x.chunks_mut(k) {
            for j in 1..k {
                row[j] = 0.9 * row[j - 1] + 0.4 * row[j];
            }
        }
        x
    }

    fn hessian(x: &[f32], k: usize) -> Hessian {
        let mut hessian = Hessian::new(k).unwrap();
        hessian.add(View::new([x.len() / k, k], x).unwrap()).unwrap();
        hessian
    }

    /// `‖X·(W−Ŵ)ᵀ‖²`
    fn output_error(x: &[f32], k: usize, weights: &[f32], rounded: &[f32]) -> f64 {
        let rows = weights.chunks(k).zip(rounded.chunks(k));
        rows.map(|(w, r)| {
            let one = |x: &[f32]| {
                let terms = x.iter().zip(w.iter().zip(r));
                terms.map(|(x, (w, r))| f64::from(*x) * (f64::from(*w) - f64::from(*r))).sum::<f64>()
            };
            x.chunks(k).map(|x| one(x).powi(2)).sum::<f64>()
        })
        .sum()
    }

    fn floats_of_rows(q: &Quantized, k: usize) -> Vec<f32> {
        q.bytes.iter().enumerate().map(|(i, b)| q.scales[i / k] * f32::from(*b)).collect()
    }

    fn floats_of_groups(q: &GroupQuantized, k: usize, group: usize) -> Vec<f32> {
        let scale = |i: usize| q.scales[i / k * k.div_ceil(group) + i % k / group].to_f32();
        q.values.iter().enumerate().map(|(i, v)| scale(i) * f32::from(*v)).collect()
    }

    #[test]
    fn correlated_samples_halve_the_output_error() {
        let (n, k) = (24, 130);
        let (w, x) = (random(n * k, 1), correlated(400, k));
        let calibration = hessian(&x, k).calibrate(Hessian::DAMPING).unwrap();
        let gain = |plain: &[f32], calibrated: &[f32]| {
            output_error(&x, k, &w, plain) / output_error(&x, k, &w, calibrated)
        };
        let plain = floats_of_rows(&quantize_rows(n, k, &w).unwrap(), k);
        let calibrated = floats_of_rows(&calibrate_rows(n, k, &w, &calibration).unwrap(), k);
        let factor = gain(&plain, &calibrated);
        assert!(factor > 2.0, "int8: {factor}");
        for (bits, group) in FORMATS {
            let plain = quantize_groups(n, k, &w, bits, group).unwrap();
            let calibrated = calibrate_groups(n, k, &w, bits, group, &calibration).unwrap();
            let factor = gain(&floats_of_groups(&plain, k, group), &floats_of_groups(&calibrated, k, group));
            assert!(factor > 2.0, "{bits:?} in {group}: {factor}");
        }
    }

    #[test]
    fn independent_features_are_rounded_to_the_nearest() {
        let (n, k) = (5, 77);
        let w = random(n * k, 2);
        let identity: Vec<f32> = (0..k * k).map(|at| f32::from(at / k == at % k)).collect();
        let hessian = hessian(&identity, k);
        for damping in [0.0, Hessian::DAMPING] {
            let calibration = hessian.calibrate(damping).unwrap();
            assert_eq!(calibrate_rows(n, k, &w, &calibration).unwrap(), quantize_rows(n, k, &w).unwrap());
            for (bits, group) in FORMATS {
                let calibrated = calibrate_groups(n, k, &w, bits, group, &calibration).unwrap();
                assert_eq!(calibrated, quantize_groups(n, k, &w, bits, group).unwrap());
            }
        }
    }

    /// The inverse of a symmetric positive definite matrix, by Gauss and Jordan.
    fn inverse(h: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let k = h.len();
        let unit = |i: usize| (0..k).map(move |j| f64::from(i == j));
        let mut a: Vec<Vec<f64>> = (0..k).map(|i| h[i].iter().copied().chain(unit(i)).collect()).collect();
        for p in 0..k {
            let pivot = a[p][p];
            a[p].iter_mut().for_each(|x| *x /= pivot);
            let row = a[p].clone();
            for (_, other) in a.iter_mut().enumerate().filter(|(i, _)| *i != p) {
                let factor = other[p];
                other.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
            }
        }
        a.into_iter().map(|row| row[k..].to_vec()).collect()
    }

    /// The inverses of what is left of the Hessian when the first 0, 1, 2, … columns are settled.
    fn inverses(x: &[f32], k: usize, damping: f64) -> Vec<Vec<Vec<f64>>> {
        let dot = |a: usize, b: usize| -> f64 {
            x.chunks(k).map(|row| f64::from(row[a]) * f64::from(row[b])).sum()
        };
        let mut h: Vec<Vec<f64>> = (0..k).map(|a| (0..k).map(|b| dot(a, b)).collect()).collect();
        let mean = (0..k).map(|j| h[j][j]).sum::<f64>() / k as f64;
        (0..k).for_each(|j| h[j][j] += damping * mean);
        let rest = |j: usize| -> Vec<Vec<f64>> { h[j..].iter().map(|row| row[j..].to_vec()).collect() };
        (0..k).map(|j| inverse(&rest(j))).collect()
    }

    #[test]
    fn it_rounds_as_the_optimal_brain_surgeon_does() {
        for (n, k, group) in [(1, 1, 32), (3, 13, 4), (4, 40, 32), (2, 65, 64)] {
            let (w, x) = (random(n * k, 3), correlated(2 * k + 3, k));
            let calibration = hessian(&x, k).calibrate(0.01).unwrap();
            let inverses = inverses(&x, k, 0.01);
            // Settles weight j and moves its error onto those to come.
            let settle = |row: &mut [f64], j: usize, rounded: f32| {
                let inverse = &inverses[j];
                let error = (row[j] - f64::from(rounded)) / inverse[0][0];
                row[j..].iter_mut().zip(&inverse[0]).for_each(|(w, h)| *w -= error * h);
            };
            let q = calibrate_rows(n, k, &w, &calibration).unwrap();
            for (r, row) in w.chunks(k).enumerate() {
                let mut left: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
                for j in 0..k {
                    let byte = RowScale::of(row).nearest(left[j] as f32);
                    assert_eq!(q.bytes[r * k + j], byte, "{n}x{k} at {r}, {j}");
                    settle(&mut left, j, q.scales[r] * f32::from(byte));
                }
            }
            for bits in [Bits::Four, Bits::Two] {
                let q = calibrate_groups(n, k, &w, bits, group, &calibration).unwrap();
                let importance: Vec<f64> = (0..k).map(|j| 1.0 / inverses[j][0][0]).collect();
                for (r, row) in w.chunks(k).enumerate() {
                    let mut left: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
                    for first in (0..k).step_by(group) {
                        let columns = first..k.min(first + group);
                        let most = importance[columns.clone()].iter().fold(0.0, |a: f64, b| a.max(*b));
                        let share: Vec<f32> =
                            importance[columns.clone()].iter().map(|i| (i / most) as f32).collect();
                        let now: Vec<f32> = left[columns.clone()].iter().map(|w| *w as f32).collect();
                        let scale = group_scale(0, &now, &share, bits).unwrap().to_f32();
                        let got = q.scales[r * k.div_ceil(group) + first / group].to_f32();
                        // Their last bit may differ where sums of another order fall beside a half.
                        assert!((scale - got).abs() <= 0.001 * got.abs(), "{n}x{k} {bits:?}: {scale}, {got}");
                        for j in columns {
                            let value = bits.nearest(left[j] as f32 * (1.0 / got));
                            assert_eq!(q.values[r * k + j], value, "{n}x{k} {bits:?} at {r}, {j}");
                            settle(&mut left, j, got * f32::from(value));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn columns_that_are_always_zero_and_few_samples_do_no_harm() {
        let (n, k) = (4, 64);
        let w = random(n * k, 4);
        let mut x = correlated(10, k);
        x.chunks_mut(k).for_each(|row| row[20..30].fill(0.0));
        let calibration = hessian(&x, k).calibrate(Hessian::DAMPING).unwrap();
        let q = calibrate_groups(n, k, &w, Bits::Four, 32, &calibration).unwrap();
        let calibrated = floats_of_groups(&q, k, 32);
        let plain = floats_of_groups(&quantize_groups(n, k, &w, Bits::Four, 32).unwrap(), k, 32);
        assert!(output_error(&x, k, &w, &calibrated) < output_error(&x, k, &w, &plain));
        for (i, (w, c)) in w.iter().zip(&calibrated).enumerate().filter(|(i, _)| (20..30).contains(&(i % k)))
        {
            assert!((w - c).abs() < 0.3, "weight {i}, of no consequence: {w} became {c}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let calibration = hessian(&[1.0; 3], 3).calibrate(0.01).unwrap();
        let error = calibrate_rows(2, 2, &[0.0; 4], &calibration).unwrap_err().to_string();
        assert_eq!(error, "samples of 3 columns for a matrix of 2x2");
        let error = calibrate_groups(1, 3, &[0.0; 2], Bits::Two, 32, &calibration).unwrap_err().to_string();
        assert_eq!(error, "weights of 2 elements for a matrix of 1x3, which needs 3");
        let infinite = [0.0, f32::INFINITY, 0.0];
        assert!(matches!(calibrate_rows(1, 3, &infinite, &calibration), Err(QuantError::NotFinite { .. })));
        let wide = calibrate_groups(1, 3, &[1e9; 3], Bits::Four, 32, &calibration);
        assert!(matches!(wide, Err(QuantError::NotFinite { what: "scale of a group", .. })));
        assert!(calibrate_rows(0, 3, &[], &calibration).unwrap().bytes.is_empty());
        let mut nothing = Hessian::new(0).unwrap();
        nothing.add(View::new([1, 0], &[]).unwrap()).unwrap();
        let nothing = nothing.calibrate(0.01).unwrap();
        assert_eq!(calibrate_rows(2, 0, &[], &nothing).unwrap().scales, [0.0; 2]);
        assert!(calibrate_groups(2, 0, &[], Bits::Two, 32, &nothing).unwrap().scales.is_empty());
    }
}

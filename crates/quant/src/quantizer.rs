//! Quantizing weights: one scale a row, to the nearest byte; or one scale a group, to the nearest of few values.

use half::f16;

use crate::QuantError;

/// A matrix of signed bytes and a scale for each row: `w = scale · q`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Bytes in −127..=127, row by row.
    pub bytes: Vec<i8>,
    /// One for each row.
    pub scales: Vec<f32>,
}

/// Rounds each row to the nearest multiples of its largest magnitude divided by 127.
///
/// # Errors
/// If the length is not `n · k` or a weight is not finite.
pub fn quantize_rows(n: usize, k: usize, weights: &[f32]) -> Result<Quantized, QuantError> {
    check_length("weights", n, k, weights.len())?;
    check_finite("weight", weights)?;
    let mut out = Quantized { bytes: Vec::with_capacity(weights.len()), scales: vec![0.0; n] };
    for (row, scale) in weights.chunks_exact(k.max(1)).zip(&mut out.scales) {
        let by = RowScale::of(row);
        *scale = by.scale;
        out.bytes.extend(row.iter().map(|w| by.nearest(*w)));
    }
    Ok(out)
}

/// The scale of a row of bytes.
pub(crate) struct RowScale {
    pub(crate) scale: f32,
    inverse: f32,
}

impl RowScale {
    /// That which takes the largest magnitude to 127.
    pub(crate) fn of(row: &[f32]) -> RowScale {
        let most = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        // A row too small for a normal inverse is zero for every purpose.
        if most < 1e-30 {
            return RowScale { scale: 0.0, inverse: 0.0 };
        }
        RowScale { scale: most / 127.0, inverse: 127.0 / most }
    }

    /// The byte nearest to a weight.
    pub(crate) fn nearest(&self, w: f32) -> i8 {
        (w * self.inverse).round_ties_even().clamp(-127.0, 127.0) as i8
    }
}

/// A matrix of values of four or two bits and a scale for each group of a row: `w = scale · value`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupQuantized {
    /// In −8..=7, or −3, −1, 1 and 3, row by row.
    pub values: Vec<i8>,
    /// One for each group of each row.
    pub scales: Vec<f16>,
}

/// The values that a weight of few bits can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// −8..=7
    Four,
    /// −3, −1, 1, 3
    Two,
}

impl Bits {
    /// How many they are.
    pub fn count(self) -> u32 {
        match self {
            Bits::Four => 4,
            Bits::Two => 2,
        }
    }

    /// Whether they can say this value.
    pub(crate) fn has(self, value: i8) -> bool {
        match self {
            Bits::Four => (-8..=7).contains(&value),
            Bits::Two => matches!(value, -3 | -1 | 1 | 3),
        }
    }

    /// The value nearest to a weight in units of the scale.
    pub(crate) fn nearest(self, x: f32) -> i8 {
        match self {
            Bits::Four => x.round_ties_even().clamp(-8.0, 7.0) as i8,
            Bits::Two => 2 * (x * 0.5).floor().clamp(-2.0, 1.0) as i8 + 1,
        }
    }

    /// Scales to begin with: those that reach the weight of largest magnitude, on the one side or on both, and for two
    /// bits the best for a normal distribution.
    fn first_scales(self, weights: &[f32]) -> [f32; 2] {
        let most = weights.iter().fold(0.0_f32, |most, w| if w.abs() > most.abs() { *w } else { most });
        match self {
            Bits::Four => [most / -8.0, most / 7.0],
            Bits::Two => {
                let mean = weights.iter().map(|w| w.abs()).sum::<f32>() / weights.len().max(1) as f32;
                [0.624 * mean, most / 3.0]
            }
        }
    }
}

/// Steps towards the scale of least squares; the error changes in its third digit after that.
const REFINEMENTS: usize = 5;

/// Rounds each group of `group` neighbours of a row to the nearest multiples of its scale. The scale is refined in turns,
/// as by Lloyd: values to the nearest for the scale, the scale by least squares for the values. Neither step makes the
/// error larger; of two beginnings the better end counts.
///
/// # Errors
/// If the length is not `n · k`, a weight is not finite or a group's scale is beyond an f16.
pub fn quantize_groups(
    n: usize,
    k: usize,
    weights: &[f32],
    bits: Bits,
    group: usize,
) -> Result<GroupQuantized, QuantError> {
    check_length("weights", n, k, weights.len())?;
    check_finite("weight", weights)?;
    let group = group.max(1);
    let mut out =
        GroupQuantized { values: vec![0; n * k], scales: Vec::with_capacity(n * k.div_ceil(group)) };
    if k == 0 {
        return Ok(out);
    }
    let alike = vec![1.0; group.min(k)];
    for (row, values) in weights.chunks_exact(k).zip(out.values.chunks_exact_mut(k)) {
        for (weights, values) in row.chunks(group).zip(values.chunks_mut(group)) {
            let scale = group_scale(out.scales.len(), weights, &alike[..weights.len()], bits, values)?;
            round(weights, scale.to_f32(), bits, values);
            out.scales.push(scale);
        }
    }
    Ok(out)
}

/// The scale of the `index`-th group, whose weights count for as much as `importance` says; `values` is room to try in.
pub(crate) fn group_scale(
    index: usize,
    weights: &[f32],
    importance: &[f32],
    bits: Bits,
    values: &mut [i8],
) -> Result<f16, QuantError> {
    let ends = bits.first_scales(weights).map(|scale| {
        let scale = f16::from_f32(refine(weights, importance, scale, bits, values));
        round(weights, scale.to_f32(), bits, values);
        (scale, error(weights, importance, scale.to_f32(), values))
    });
    let scale = if ends[1].1 < ends[0].1 { ends[1].0 } else { ends[0].0 };
    if scale.is_finite() {
        Ok(scale)
    } else {
        Err(QuantError::NotFinite { what: "scale of a group", index, value: scale.to_f32() })
    }
}

fn refine(weights: &[f32], importance: &[f32], mut scale: f32, bits: Bits, values: &mut [i8]) -> f32 {
    for _ in 0..REFINEMENTS {
        round(weights, scale, bits, values);
        let (mut product, mut square) = (0.0_f32, 0.0_f32);
        for ((w, m), v) in weights.iter().zip(importance).zip(&*values) {
            let v = f32::from(*v);
            product += m * w * v;
            square += m * v * v;
        }
        if square > 0.0 {
            scale = product / square;
        }
    }
    scale
}

/// The sum of the squares of what rounding lost, each for what it counts.
fn error(weights: &[f32], importance: &[f32], scale: f32, values: &[i8]) -> f32 {
    if !scale.is_finite() {
        return f32::INFINITY;
    }
    let terms = weights.iter().zip(importance).zip(values);
    terms.map(|((w, m), v)| m * (f32::from(*v) * scale - w).powi(2)).sum()
}

fn round(weights: &[f32], scale: f32, bits: Bits, values: &mut [i8]) {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    for (w, value) in weights.iter().zip(values) {
        *value = bits.nearest(w * inverse);
    }
}

pub(crate) fn check_length(what: &'static str, n: usize, k: usize, actual: usize) -> Result<(), QuantError> {
    let expected = n.checked_mul(k).ok_or(QuantError::TooLarge { n, k })?;
    if actual == expected { Ok(()) } else { Err(QuantError::Length { what, n, k, expected, actual }) }
}

pub(crate) fn check_finite(what: &'static str, values: &[f32]) -> Result<(), QuantError> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(QuantError::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_within_half_a_step() {
        let weights: Vec<f32> = (0..35).map(|i| (i as f32 * 0.7).sin() * (1 + i / 7) as f32).collect();
        let q = quantize_rows(5, 7, &weights).unwrap();
        for (i, w) in weights.iter().enumerate() {
            let scale = q.scales[i / 7];
            assert!((f32::from(q.bytes[i]) * scale - w).abs() <= scale * 0.500_01);
        }
        assert!(q.bytes.iter().any(|b| b.abs() == 127));
    }

    #[test]
    fn groups_are_no_worse_than_plain_rounding() {
        let (n, k, group) = (3, 77, 32);
        let weights: Vec<f32> =
            (0..n * k).map(|i| (i as f32 * 1.7).sin() * (i as f32 * 0.13).cos()).collect();
        for (bits, most) in [(Bits::Four, 7.0), (Bits::Two, 3.0)] {
            let q = quantize_groups(n, k, &weights, bits, group).unwrap();
            assert_eq!(q.scales.len(), n * k.div_ceil(group));
            let mut scales = q.scales.iter();
            for (row, values) in weights.chunks(k).zip(q.values.chunks(k)) {
                for (weights, values) in row.chunks(group).zip(values.chunks(group)) {
                    let scale = scales.next().unwrap().to_f32();
                    let plain = weights.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / most;
                    let (mut error, mut bound) = (0.0, 0.0);
                    for (w, v) in weights.iter().zip(values) {
                        assert_eq!(*v, bits.nearest(w * (1.0 / scale)));
                        error += (f32::from(*v) * scale - w).powi(2);
                        bound += (f32::from(bits.nearest(w / plain)) * plain - w).powi(2);
                    }
                    assert!(error <= bound * 1.01, "{bits:?}: {error} for {bound}");
                }
            }
        }
    }

    #[test]
    fn groups_of_nothing_and_weights_beyond_their_scale() {
        for bits in [Bits::Four, Bits::Two] {
            let q = quantize_groups(1, 3, &[0.0; 3], bits, 32).unwrap();
            assert_eq!(q.scales, [f16::ZERO]);
            assert!(quantize_groups(2, 0, &[], bits, 32).unwrap().scales.is_empty());
            assert!(matches!(quantize_groups(1, 1, &[1e9], bits, 32), Err(QuantError::NotFinite { .. })));
            assert!(quantize_groups(1, 2, &[0.0, f32::NAN], bits, 32).is_err());
        }
    }

    #[test]
    fn rows_of_nothing_and_weights_that_are_none() {
        assert_eq!(
            quantize_rows(1, 2, &[0.0, 1e-40]).unwrap(),
            Quantized { bytes: vec![0; 2], scales: vec![0.0] }
        );
        assert_eq!(quantize_rows(2, 0, &[]).unwrap().scales, [0.0; 2]);
        assert!(quantize_rows(1, 2, &[0.0, f32::NAN]).is_err());
        let error = quantize_rows(2, 3, &[0.0; 5]).unwrap_err().to_string();
        assert_eq!(error, "weights of 5 elements for a matrix of 2x3, which needs 6");
    }
}

//! Quantizing weights: one scale a row, to the nearest byte; or one scale a group, to the nearest of few values.

use half::f16;

use crate::QuantError;
use crate::group_scale::{group_scale, inverse};

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
    let mut out = Quantized { bytes: vec![0; weights.len()], scales: vec![0.0; n] };
    let rows = weights.chunks_exact(k.max(1)).zip(out.bytes.chunks_exact_mut(k.max(1)));
    for ((row, bytes), scale) in rows.zip(&mut out.scales) {
        let by = RowScale::of(row);
        *scale = by.scale;
        bytes.iter_mut().zip(row).for_each(|(byte, w)| *byte = by.nearest(*w));
    }
    Ok(out)
}

/// Added to a float of less than 2²², leaves the nearest integer, of two the even one, in the last bits. Not every
/// instruction set can round otherwise, but all can add.
const ROUNDER: f32 = 12_582_912.0;

/// The integer nearest to a float of −128..=127, and zero for what is not a number.
#[inline]
fn nearest_byte(x: f32) -> i8 {
    (x + ROUNDER).to_bits() as i8
}

/// The scale of a row of bytes.
pub(crate) struct RowScale {
    pub(crate) scale: f32,
    inverse: f32,
}

impl RowScale {
    /// That which takes the largest magnitude to 127.
    pub(crate) fn of(row: &[f32]) -> RowScale {
        let most = largest_magnitude(row);
        // A row too small for a normal inverse is zero for every purpose.
        if most < 1e-30 {
            return RowScale { scale: 0.0, inverse: 0.0 };
        }
        RowScale { scale: most / 127.0, inverse: 127.0 / most }
    }

    /// The byte nearest to a weight.
    #[inline]
    pub(crate) fn nearest(&self, w: f32) -> i8 {
        nearest_byte((w * self.inverse).clamp(-127.0, 127.0))
    }
}

/// Magnitudes without a sign are ordered as integers, of which the largest is found in any order.
#[inline]
fn magnitude(x: f32) -> i32 {
    (x.to_bits() & !(1 << 31)) as i32
}

fn largest_magnitude(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().map(|x| magnitude(*x)).fold(0, i32::max) as u32)
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
            Bits::Four => nearest_byte(x.clamp(-8.0, 7.0)),
            Bits::Two => {
                let half = (x * 0.5).clamp(-2.0, 1.0);
                let near = nearest_byte(half);
                2 * (near - i8::from(f32::from(near) > half)) + 1
            }
        }
    }
}

/// Rounds each group of `group` neighbours of a row to the nearest multiples of its scale, of which the error is the least
/// that is found in a few steps from two beginnings.
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
            let scale = group_scale(out.scales.len(), weights, &alike[..weights.len()], bits)?;
            let inverse = inverse(scale.to_f32());
            values.iter_mut().zip(weights).for_each(|(value, w)| *value = bits.nearest(w * inverse));
            out.scales.push(scale);
        }
    }
    Ok(out)
}

pub(crate) fn check_length(what: &'static str, n: usize, k: usize, actual: usize) -> Result<(), QuantError> {
    let expected = n.checked_mul(k).ok_or(QuantError::TooLarge { n, k })?;
    if actual == expected { Ok(()) } else { Err(QuantError::Length { what, n, k, expected, actual }) }
}

pub(crate) fn check_finite(what: &'static str, values: &[f32]) -> Result<(), QuantError> {
    if largest_magnitude(values).is_finite() {
        return Ok(());
    }
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

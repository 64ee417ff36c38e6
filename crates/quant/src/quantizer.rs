//! Quantizing weights: one scale a row, to the nearest byte.

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
    let (mut bytes, mut scales) = (Vec::with_capacity(weights.len()), vec![0.0; n]);
    if k > 0 {
        for (row, scale) in weights.chunks_exact(k).zip(&mut scales) {
            let most = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
            // A row too small for a normal inverse is zero for every purpose.
            let inverse = if most < 1e-30 { 0.0 } else { 127.0 / most };
            *scale = if inverse == 0.0 { 0.0 } else { most / 127.0 };
            bytes.extend(row.iter().map(|w| (w * inverse).round_ties_even() as i8));
        }
    }
    Ok(Quantized { bytes, scales })
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

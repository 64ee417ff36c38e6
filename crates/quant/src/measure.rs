//! How far approximate values are from exact ones.

use crate::QuantError;

/// How far values are from a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The largest absolute difference.
    pub max: f64,
    /// The root of the mean square difference.
    pub rms: f64,
    /// Power of the reference over power of the difference, in decibels; infinite where there is no difference.
    pub snr: f64,
}

/// Compares values with a reference.
///
/// # Errors
/// If their lengths differ.
pub fn compare(reference: &[f32], values: &[f32]) -> Result<Difference, QuantError> {
    same_length(reference, values)?;
    let (mut max, mut error, mut power) = (0.0_f64, 0.0, 0.0);
    for (r, v) in reference.iter().zip(values) {
        let (r, d) = (f64::from(*r), f64::from(*v) - f64::from(*r));
        // A difference that is not a number is the worst there is.
        max = if d.is_nan() { f64::INFINITY } else { max.max(d.abs()) };
        error += d * d;
        power += r * r;
    }
    let count = reference.len().max(1) as f64;
    let snr = if error == 0.0 { f64::INFINITY } else { 10.0 * (power / error).log10() };
    Ok(Difference { max, rms: (error / count).sqrt(), snr })
}

/// The Kullback-Leibler divergence of the softmax of `logits` from that of `reference`, in nats.
///
/// # Errors
/// If their lengths differ.
pub fn divergence(reference: &[f32], logits: &[f32]) -> Result<f64, QuantError> {
    same_length(reference, logits)?;
    let log_sum = |x: &[f32]| {
        let most = x.iter().fold(f64::NEG_INFINITY, |most, x| most.max(f64::from(*x)));
        most + x.iter().map(|x| (f64::from(*x) - most).exp()).sum::<f64>().ln()
    };
    let (p, q) = (log_sum(reference), log_sum(logits));
    let term = |(r, l): (&f32, &f32)| {
        let (r, l) = (f64::from(*r) - p, f64::from(*l) - q);
        // What never happens adds nothing, whatever the other distribution thinks of it.
        if r == f64::NEG_INFINITY { 0.0 } else { r.exp() * (r - l) }
    };
    Ok(reference.iter().zip(logits).map(term).sum())
}

fn same_length(reference: &[f32], values: &[f32]) -> Result<(), QuantError> {
    if reference.len() == values.len() {
        return Ok(());
    }
    Err(QuantError::Length {
        what: "values",
        n: 1,
        k: reference.len(),
        expected: reference.len(),
        actual: values.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let d = compare(&[3.0, 4.0], &[3.0, 3.0]).unwrap();
        assert_eq!((d.max, d.rms), (1.0, 0.5_f64.sqrt()));
        assert!((d.snr - 13.979_400_086_720_375).abs() < 1e-12);
        assert_eq!(compare(&[1.0], &[1.0]).unwrap().snr, f64::INFINITY);
        assert_eq!(compare(&[1.0, 2.0], &[f32::NAN, 2.0]).unwrap().max, f64::INFINITY);
        assert!(compare(&[1.0], &[]).is_err());
    }

    #[test]
    fn divergences() {
        assert!(divergence(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]).unwrap().abs() < 1e-9);
        let expected = 0.5 * (0.5_f64 / 0.25).ln() + 0.5 * (0.5_f64 / 0.75).ln();
        let got = divergence(&[0.0, 0.0], &[0.25_f32.ln(), 0.75_f32.ln()]).unwrap();
        assert!((got - expected).abs() < 1e-6);
        assert!(divergence(&[0.0, f32::NEG_INFINITY], &[0.0, 0.0]).unwrap() > 0.69);
    }
}

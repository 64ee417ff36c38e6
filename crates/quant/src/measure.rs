//! How far approximate values are from exact ones.

use tiny_vlm_tensor::{Context, Tensor, View};

use crate::quantizer::check_length;
use crate::{Epilogue, Matrix, QuantError, matmul};

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

impl Difference {
    /// Power of the difference as a share of that of the reference.
    pub fn noise(&self) -> f64 {
        10.0_f64.powf(self.snr / -10.0)
    }
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

/// Compares the weights of a matrix with those that it was made of, row by row.
///
/// # Errors
/// If there are not as many.
pub fn compare_weights(weights: &[f32], matrix: &Matrix) -> Result<Difference, QuantError> {
    let (n, k) = (matrix.rows(), matrix.columns());
    check_length("weights", n, k, weights.len())?;
    let mut rounded = vec![0.0; weights.len()];
    for (i, row) in rounded.chunks_exact_mut(k.max(1)).enumerate() {
        matrix.row(i, row)?;
    }
    compare(weights, &rounded)
}

/// Compares the products of activations with a matrix and with an exact one, as [`matmul`] makes them.
///
/// # Errors
/// If the shapes do not fit one another.
pub fn compare_products(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    exact: &Matrix,
    matrix: &Matrix,
) -> Result<Difference, QuantError> {
    let product = |weights: &Matrix| {
        let mut out = Tensor::<f32, 2>::zeroed([x.shape()[0], exact.rows()]);
        matmul(ctx, x, weights, &Epilogue::default(), out.view_mut()).map(|()| out)
    };
    compare(product(exact)?.data(), product(matrix)?.data())
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
    use tiny_vlm_tensor::Workspace;

    use super::*;
    use crate::Precision;

    #[test]
    fn differences() {
        let d = compare(&[3.0, 4.0], &[3.0, 3.0]).unwrap();
        assert_eq!((d.max, d.rms), (1.0, 0.5_f64.sqrt()));
        assert!((d.snr - 13.979_400_086_720_375).abs() < 1e-12);
        assert_eq!(compare(&[1.0], &[1.0]).unwrap().snr, f64::INFINITY);
        assert_eq!(compare(&[1.0, 2.0], &[f32::NAN, 2.0]).unwrap().max, f64::INFINITY);
        assert!(compare(&[1.0], &[]).is_err());
        assert!((d.noise() - 1.0 / 25.0).abs() < 1e-12);
        assert_eq!(compare(&[1.0], &[1.0]).unwrap().noise(), 0.0);
    }

    #[test]
    fn matrices_are_compared_by_weights_and_by_products() {
        let matrix = |weights: [f32; 4]| Matrix::from_f32(2, 2, &weights, Precision::F32).unwrap();
        let weights = [3.0, 1.0, -1.0, 1.0];
        let other = matrix([3.0, 1.0, -1.0, 2.0]);
        assert_eq!(compare_weights(&weights, &other), compare(&weights, &[3.0, 1.0, -1.0, 2.0]));
        assert!(compare_weights(&weights[1..], &other).is_err());
        let workspace = Workspace::inline();
        let x = View::new([1, 2], &[1.0, 2.0]).unwrap();
        let products = compare_products(&workspace.context(), x, &matrix(weights), &other);
        assert_eq!(products, compare(&[5.0, 1.0], &[5.0, 3.0]));
        let narrow = View::new([2, 1], &[1.0, 2.0]).unwrap();
        assert!(compare_products(&workspace.context(), narrow, &matrix(weights), &other).is_err());
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

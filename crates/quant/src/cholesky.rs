//! The Cholesky factorization from the last column to the first: `H = U·Uᵀ` with U upper triangular.

/// Columns that are eliminated together before the rest of the matrix is touched.
const BLOCK: usize = 32;

/// A pivot below this share of its diagonal is what rounding left of zero.
const SMALLEST: f64 = 1e-12;

/// Replaces the upper triangle of a symmetric positive definite matrix `[k][k]` by its factor; what lies below is not
/// read and keeps its values.
///
/// Gives the column at which the matrix turns out not to be positive definite, if it does; the triangle is spoilt then.
pub(crate) fn factor(upper: &mut [f64], k: usize) -> Result<(), usize> {
    let diagonal: Vec<f64> = upper.iter().step_by(k + 1).copied().collect();
    let mut panel = vec![0.0; BLOCK * k];
    let mut end = k;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        for j in (start..end).rev() {
            let pivot = upper[j * k + j];
            // So that a pivot that is not a number is none either.
            if !(pivot > SMALLEST * diagonal[j] && pivot.is_finite()) {
                return Err(j);
            }
            let root = pivot.sqrt();
            upper[j * k + j] = root;
            (0..j).for_each(|i| upper[i * k + j] /= root);
            for c in start..j {
                let factor = upper[c * k + j];
                (0..=c).for_each(|i| upper[i * k + c] -= upper[i * k + j] * factor);
            }
        }
        for (t, column) in panel.chunks_exact_mut(k).take(end - start).enumerate() {
            (0..start).for_each(|i| column[i] = upper[i * k + start + t]);
        }
        for (i, row) in upper.chunks_exact_mut(k).enumerate().take(start) {
            for column in panel.chunks_exact(k).take(end - start) {
                let factor = column[i];
                for (value, u) in row[i..start].iter_mut().zip(&column[i..start]) {
                    *value -= factor * u;
                }
            }
        }
        end = start;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_makes_the_matrix() {
        for k in [0, 1, 2, 31, 32, 33, 77] {
            let x = |i: usize, j: usize| ((i * 31 + j * 17) as f64 * 0.37).sin();
            let h = |a: usize, b: usize| {
                (0..k).map(|i| x(i, a) * x(i, b)).sum::<f64>() + if a == b { 0.5 } else { 0.0 }
            };
            let mut u: Vec<f64> =
                (0..k * k).map(|at| if at / k <= at % k { h(at / k, at % k) } else { 7.0 }).collect();
            factor(&mut u, k).unwrap();
            for a in 0..k {
                for b in a..k {
                    let product: f64 = (b..k).map(|c| u[a * k + c] * u[b * k + c]).sum();
                    assert!((product - h(a, b)).abs() < 1e-10, "{k}: {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_none() {
        assert_eq!(factor(&mut [1.0, 2.0, 0.0, 1.0], 2), Err(0));
        assert_eq!(factor(&mut [1.0, 0.0, 0.0, 0.0], 2), Err(1));
        assert_eq!(factor(&mut [f64::NAN], 1), Err(0));
        assert_eq!(factor(&mut [f64::INFINITY], 1), Err(0));
    }
}

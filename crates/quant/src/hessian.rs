//! What sample activations say of a layer: how much it costs its output to change which weights together.
//!
//! A layer's output error for a change E of its weights is `‖X·Eᵀ‖²`, the sum over output channels of `e·H·eᵀ` with
//! `H = XᵀX`. (The Hessian of the papers is twice that; no quantizer depends on the factor.)

use tiny_vlm_tensor::View;

use crate::QuantError;
use crate::cholesky::factor;

/// Rows of samples that are added at a time, so that they stay in cache while a row of the Hessian meets each.
const BATCH: usize = 64;

/// `XᵀX` of sample activations X, summed in double precision.
#[derive(Clone, Debug)]
pub struct Hessian {
    columns: usize,
    samples: usize,
    /// `[columns][columns]`; only on and above the diagonal.
    upper: Vec<f64>,
}

impl Hessian {
    /// Share of the mean of the diagonal that is added to it, unless one knows better: that of GPTQ.
    pub const DAMPING: f64 = 0.01;

    /// The Hessian of no samples yet, for a layer of this many input features.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(columns: usize) -> Result<Hessian, QuantError> {
        let too_large = QuantError::TooLarge { n: columns, k: columns };
        let Some(len) = columns.checked_mul(columns) else { return Err(too_large) };
        let mut upper = Vec::new();
        upper.try_reserve_exact(len).map_err(|_| too_large)?;
        upper.resize(len, 0.0);
        Ok(Hessian { columns, samples: 0, upper })
    }

    /// Adds samples, a row each: a token's activations, or a window of a convolution.
    ///
    /// # Errors
    /// If a row is not of as many values as there are columns or a value is not finite; nothing is added then.
    pub fn add(&mut self, x: View<'_, f32, 2>) -> Result<(), QuantError> {
        let (shape, columns) = (x.shape(), self.columns);
        if shape[1] != columns {
            return Err(QuantError::Samples { samples: shape, columns });
        }
        for (i, row) in x.rows().enumerate() {
            if let Some(j) = row.iter().position(|x| !x.is_finite()) {
                return Err(QuantError::NotFinite { what: "sample", index: i * columns + j, value: row[j] });
            }
        }
        for first in (0..shape[0]).step_by(BATCH) {
            let batch = x.slice(0, first..shape[0].min(first + BATCH));
            for (i, sums) in self.upper.chunks_exact_mut(columns.max(1)).enumerate() {
                for row in batch.rows().filter(|row| row[i] != 0.0) {
                    let factor = f64::from(row[i]);
                    for (sum, x) in sums[i..].iter_mut().zip(&row[i..]) {
                        *sum += factor * f64::from(*x);
                    }
                }
            }
        }
        self.samples += shape[0];
        Ok(())
    }

    /// Input features.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many samples were added.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Makes what calibrated quantizers take. `damping` times the mean of the diagonal is added to the diagonal
    /// ([`DAMPING`](Self::DAMPING) as a rule): without it samples that are fewer than the columns, or columns that are
    /// always zero, leave weights undetermined.
    ///
    /// # Errors
    /// If there are no samples, or they leave a column undetermined.
    pub fn calibrate(&self, damping: f64) -> Result<Calibration, QuantError> {
        let columns = self.columns;
        if self.samples == 0 {
            return Err(QuantError::NoSamples { columns });
        }
        let mut upper = self.upper.clone();
        let mean = upper.iter().step_by(columns + 1).sum::<f64>() / columns as f64;
        upper.iter_mut().step_by(columns + 1).for_each(|d| *d += damping * mean);
        match factor(&mut upper, columns) {
            Ok(()) => Ok(Calibration { columns, upper }),
            Err(column) => Err(QuantError::Singular { samples: self.samples, column, columns, damping }),
        }
    }
}

/// The upper triangular U of `H = U·Uᵀ`.
///
/// The output error of a row e of changes is `‖e·U‖²`, whose j-th term knows only `e_0..=e_j`: so weights can be rounded
/// from the first to the last, each in sight of what those before it lost.
#[derive(Clone, Debug)]
pub struct Calibration {
    columns: usize,
    /// `[columns][columns]`; what lies below the diagonal is unspecified.
    upper: Vec<f64>,
}

impl Calibration {
    /// Input features.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row i of U from the diagonal on.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.upper[i * self.columns + i..(i + 1) * self.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_whatever_their_batches() {
        let x: Vec<f32> = (0..130 * 3).map(|i| (i % 7) as f32 - 3.0).collect();
        let view = View::new([130, 3], &x).unwrap();
        let mut hessian = Hessian::new(3).unwrap();
        hessian.add(view.slice(0, 0..1)).unwrap();
        hessian.add(view.slice(0, 1..130)).unwrap();
        assert_eq!(hessian.samples(), 130);
        for i in 0..3 {
            for j in i..3 {
                let sum: f32 = x.chunks(3).map(|row| row[i] * row[j]).sum();
                assert_eq!(hessian.upper[i * 3 + j], f64::from(sum));
            }
        }
    }

    #[test]
    fn samples_that_do_not_serve_are_named() {
        let mut hessian = Hessian::new(3).unwrap();
        let error = |result: Result<(), QuantError>| result.unwrap_err().to_string();
        let narrow = View::new([2, 2], &[0.0; 4]).unwrap();
        assert_eq!(error(hessian.add(narrow)), "samples of [2, 2] for a layer of 3 input features");
        let odd = [0.0, 1.0, 2.0, 3.0, f32::INFINITY, 5.0];
        let odd = View::new([2, 3], &odd).unwrap();
        assert_eq!(error(hessian.add(odd)), "sample 4 of a matrix is inf");
        assert_eq!(
            error(hessian.calibrate(0.01).map(|_| ())),
            "no samples for a layer of 3 input features, at least one is needed"
        );
        hessian.add(View::new([1, 3], &[1.0, 0.0, 2.0]).unwrap()).unwrap();
        assert_eq!(
            error(hessian.calibrate(0.0).map(|_| ())),
            "1 samples leave column 1 of 3 undetermined with a damping of 0"
        );
        assert!(hessian.calibrate(f64::NAN).is_err() && hessian.calibrate(-1.0).is_err());
        assert!(hessian.calibrate(0.01).is_ok());
        assert!(matches!(Hessian::new(usize::MAX), Err(QuantError::TooLarge { .. })));
    }

    #[test]
    fn nothing_has_a_hessian_too() {
        let mut hessian = Hessian::new(0).unwrap();
        hessian.add(View::new([2, 0], &[]).unwrap()).unwrap();
        assert_eq!(hessian.calibrate(0.0).unwrap().columns(), 0);
    }
}

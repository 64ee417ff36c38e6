//! What a layer has to choose from: precisions, with what each takes and what each loses.

use tiny_vlm_tensor::{Context, View};

use crate::quantizer::check_finite;
use crate::{Calibration, Matrix, Precision, QuantError, compare_products, compare_weights};

/// A precision that a layer can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The number format.
    pub precision: Precision,
    /// Bytes of the packed matrix.
    pub bytes: usize,
    /// What it costs the model; the errors of all layers are summed.
    pub error: f64,
}

/// What is known of how much a layer's errors matter.
#[derive(Clone, Copy)]
pub enum Sensitivity<'a> {
    /// Activations that the layer met. The error is the noise in its output as a share of the signal's power, by the
    /// products that will be taken, so that what integers lose of the activations counts, too.
    Samples {
        /// A row each.
        x: View<'a, f32, 2>,
        /// To compensate the rounding; of other samples than `x`, or the error is told too small.
        calibration: Option<&'a Calibration>,
    },
    /// What the model loses for noise in the weights as a share of their power, as somebody measured it.
    Measured(f64),
}

/// A layer and what it has to choose from.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// At least one.
    pub candidates: Vec<Candidate>,
}

impl Layer {
    /// Quantizes the `[n, k]` weights of a layer in each of the precisions and measures the errors. A precision that
    /// cannot hold them (f16 a weight of 1e6) is no candidate.
    ///
    /// # Errors
    /// If the weights are not of this shape or not finite, the samples or the calibration do not have `k` columns, or
    /// there are no samples.
    pub fn measure(
        ctx: &Context<'_>,
        name: &str,
        [n, k]: [usize; 2],
        weights: &[f32],
        sensitivity: Sensitivity<'_>,
        precisions: &[Precision],
    ) -> Result<Layer, QuantError> {
        check_finite("weight", weights)?;
        let exact = Matrix::from_f32(n, k, weights, Precision::F32)?;
        if let Sensitivity::Samples { x, .. } = sensitivity {
            let samples = x.shape();
            match samples {
                [0, _] => return Err(QuantError::NoSamples { columns: k }),
                [_, columns] if columns != k => return Err(QuantError::Samples { samples, columns: k }),
                _ => {}
            }
        }
        let mut candidates = Vec::with_capacity(precisions.len());
        for &precision in precisions {
            let matrix = match sensitivity {
                Sensitivity::Samples { calibration: Some(calibration), .. } => {
                    Matrix::calibrated(n, k, weights, precision, calibration)
                }
                _ => Matrix::from_f32(n, k, weights, precision),
            };
            let matrix = match matrix {
                Err(QuantError::NotFinite { .. }) => continue,
                matrix => matrix?,
            };
            let error = match sensitivity {
                Sensitivity::Samples { x, .. } => compare_products(ctx, x, &exact, &matrix)?.noise(),
                Sensitivity::Measured(factor) => factor * compare_weights(weights, &matrix)?.noise(),
            };
            if error.is_finite() {
                candidates.push(Candidate { precision, bytes: matrix.bytes(), error });
            }
        }
        Ok(Layer { name: name.to_owned(), candidates })
    }
}

#[cfg(test)]
mod tests {
    use tiny_vlm_tensor::Workspace;

    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * step).sin()).collect()
    }

    #[test]
    fn more_bits_lose_less() {
        let (n, k) = (16, 128);
        let (w, x) = (wave(n * k, 0.7), wave(32 * k, 1.3));
        let workspace = Workspace::inline();
        let samples = Sensitivity::Samples { x: View::new([32, k], &x).unwrap(), calibration: None };
        for sensitivity in [samples, Sensitivity::Measured(3.0)] {
            let layer = Layer::measure(
                &workspace.context(),
                "wave",
                [n, k],
                &w,
                sensitivity,
                &[Precision::from_name("int2").unwrap(), Precision::Int8, Precision::F32],
            );
            let layer = layer.unwrap();
            let [two, eight, whole] = layer.candidates[..] else { panic!("{layer:?}") };
            assert!(two.error > 10.0 * eight.error && eight.error > 10.0 * whole.error, "{layer:?}");
            assert!(two.bytes < eight.bytes && eight.bytes < whole.bytes, "{layer:?}");
        }
    }

    #[test]
    fn a_measured_sensitivity_weighs_the_noise_of_the_weights() {
        let w = wave(64, 0.7);
        let workspace = Workspace::inline();
        let error = |sensitivity| {
            let sensitivity = Sensitivity::Measured(sensitivity);
            let precisions = [Precision::Int8];
            let layer =
                Layer::measure(&workspace.context(), "a", [2, 32], &w, sensitivity, &precisions).unwrap();
            layer.candidates[0].error
        };
        assert!(error(1.0) > 0.0);
        assert_eq!(error(2.0), 2.0 * error(1.0));
    }

    #[test]
    fn what_cannot_hold_the_weights_is_no_candidate() {
        let workspace = Workspace::inline();
        let (ctx, all) = (workspace.context(), &Precision::ALL);
        let layer = Layer::measure(&ctx, "a", [1, 2], &[1e6, 1e-3], Sensitivity::Measured(1.0), all).unwrap();
        let kept: Vec<Precision> = layer.candidates.iter().map(|candidate| candidate.precision).collect();
        assert!(!kept.contains(&Precision::F16) && kept.contains(&Precision::F32), "{kept:?}");
        let odd = Layer::measure(&ctx, "a", [1, 2], &[1.0, f32::NAN], Sensitivity::Measured(1.0), all);
        assert!(matches!(odd, Err(QuantError::NotFinite { what: "weight", index: 1, .. })));
        let of = |x| Layer::measure(&ctx, "a", [1, 2], &[1.0; 2], x, all).unwrap_err().to_string();
        let samples = |x| Sensitivity::Samples { x, calibration: None };
        assert_eq!(
            of(samples(View::new([1, 3], &[0.0; 3]).unwrap())),
            "samples of [1, 3] for a layer of 2 input features"
        );
        assert_eq!(
            of(samples(View::new([0, 2], &[]).unwrap())),
            "no samples for a layer of 2 input features, at least one is needed"
        );
    }
}

//! Looking at scores instead of answers: how self-tests find drift that does not change an answer yet.

use tiny_vlm_models::ModelError;

use crate::Error;

/// How far scores are from those they should be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Drift {
    /// The largest difference over the largest magnitude.
    pub difference: f64,
    /// Divergence of the distributions that they stand for (Kullback and Leibler, 1951), in nats.
    pub divergence: f64,
}

impl Drift {
    /// Compares `scores` with what they should be. Scores that are not numbers are infinitely far off.
    ///
    /// ```
    /// use tiny_vlm_runtime::Drift;
    ///
    /// let drift = Drift::between(&[1.0, 2.0, -4.0], &[1.0, 2.2, -4.0])?;
    /// assert!((drift.difference - 0.05).abs() < 1e-6 && drift.divergence > 0.0);
    /// # Ok::<(), tiny_vlm_runtime::Error>(())
    /// ```
    pub fn between(expected: &[f32], scores: &[f32]) -> Result<Self, Error> {
        if !expected.iter().chain(scores).all(|score| score.is_finite()) {
            return Ok(Self { difference: f64::INFINITY, divergence: f64::INFINITY });
        }
        let failed = |error| Error::Model(ModelError::stage("comparison", error));
        let largest = expected.iter().fold(0.0f64, |most, score| most.max(f64::from(score.abs())));
        let difference = tiny_vlm_quant::compare(expected, scores).map_err(failed)?.max;
        let divergence = tiny_vlm_quant::divergence(expected, scores).map_err(failed)?;
        Ok(Self { difference: if largest > 0.0 { difference / largest } else { difference }, divergence })
    }
}

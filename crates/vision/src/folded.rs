//! Convolutions with the batch norm behind them folded into their weights (Ioffe & Szegedy, 2015, arXiv:1502.03167).
//!
//! At inference a batch norm is `γ · (x − μ) / √(σ² + ε) + β` with all of these known, one of each a channel: a factor
//! for the convolution's row of weights, and a bias.

use tiny_vlm_layers::{Conv2d, ConvShape, LayerError, Matrix};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_weights::Scope;

/// Reads the `weight` of a convolution without bias below `conv`, and the `weight`, `bias`, `running_mean` and
/// `running_var` of the norm that follows it below `norm`.
///
/// What is missing is recorded with the scope, and the convolution is then of no use.
pub(crate) fn conv_norm(
    conv: &Scope<'_>,
    norm: &Scope<'_>,
    [inputs, outputs]: [usize; 2],
    shape: ConvShape,
    epsilon: f32,
) -> Result<Conv2d, LayerError> {
    let [height, width] = shape.kernel;
    let weight = conv.tensor("weight", [outputs, inputs, height, width]);
    let [gamma, beta, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| norm.vector(name, outputs));
    let precision = conv.precision("weight");
    // Zeros stand in for what is missing, and nothing for what is far too large: no rows then.
    let whole = weight.shape()[0] == outputs
        && [&gamma, &beta, &mean, &variance].iter().all(|vector| vector.len() == outputs);
    if !whole {
        return Conv2d::new(Matrix::from_f32(0, 0, &[], precision)?, None, shape);
    }
    let factors: Vec<f32> = gamma.iter().zip(&*variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let rows = taps_outermost(weight.data(), &factors, inputs, height * width)?;
    let mut bias = AlignedVec::try_zeroed(outputs)?;
    for (((bias, beta), mean), factor) in bias.iter_mut().zip(&*beta).zip(&*mean).zip(&factors) {
        *bias = beta - mean * factor;
    }
    let weight = Matrix::from_f32(outputs, inputs * height * width, &rows, precision)?;
    Conv2d::new(weight, Some(bias), shape)
}

/// Rows of `channels` × `taps` as rows of `taps` × `channels`, each times its factor.
fn taps_outermost(
    weights: &[f32],
    factors: &[f32],
    channels: usize,
    taps: usize,
) -> Result<AlignedVec<f32>, LayerError> {
    let mut out = AlignedVec::try_zeroed(weights.len())?;
    let row = (channels * taps).max(1);
    for ((out, weights), factor) in out.chunks_exact_mut(row).zip(weights.chunks_exact(row)).zip(factors) {
        for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
            for (out, weight) in out.iter_mut().zip(weights[tap..].iter().step_by(taps)) {
                *out = weight * factor;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_turned_and_scaled() {
        let weights: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let turned = taps_outermost(&weights, &[1.0, -2.0], 2, 3).unwrap();
        assert_eq!(turned[..], [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, -12.0, -18.0, -14.0, -20.0, -16.0, -22.0]);
    }
}

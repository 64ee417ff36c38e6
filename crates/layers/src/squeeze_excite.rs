//! Squeeze and excitation (Hu et al., 2018, arXiv:1709.01507): each channel of an image times a number that the means of
//! all channels decide, `σ(W₂ · relu(W₁ · mean + b₁) + b₂)`.

use tiny_vlm_kernels::{Activation, Epilogue, activate};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, ViewMut, split};

use crate::{LayerError, Linear, Mlp, ScratchTensor, mean_of_rows};

/// Numbers that a task multiplies, about.
const TASK: usize = 1 << 15;

/// Gates for the channels of an image.
#[derive(Debug)]
pub struct SqueezeExcite {
    gates: Mlp,
}

impl SqueezeExcite {
    /// `reduce` takes the means of the channels, `expand` makes a number for each.
    pub fn new(reduce: Linear, expand: Linear) -> Result<Self, LayerError> {
        LayerError::expect_shape("gates", [reduce.inputs()], [expand.outputs()])?;
        Ok(Self { gates: Mlp::new(reduce, expand, Activation::Relu)? })
    }

    /// Multiplies the channels of `x`, whose rows are the pixels of one image, and applies `activation` to the result.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: ViewMut<'_, f32, 2>,
        activation: Activation,
    ) -> Result<(), LayerError> {
        let [_, channels] = x.shape();
        let mut mean = ScratchTensor::new(ctx, [1, channels])?;
        mean_of_rows(x.view(), mean.data_mut())?;
        let mut gates = ScratchTensor::new(ctx, [1, channels])?;
        let sigmoid = Epilogue { activation: Activation::Sigmoid, ..Epilogue::default() };
        self.gates.forward_with(ctx, mean.view(), sigmoid, gates.view_mut())?;
        let tile = [(TASK / channels.max(1)).max(1), channels.max(1)];
        let gates = gates.data();
        split::for_each_tile(ctx.executor, x, tile, |_, mut tile| {
            for row in 0..tile.shape()[0] {
                let row = tile.row_mut(row);
                row.iter_mut().zip(gates).for_each(|(value, gate)| *value *= gate);
                activate(Level::detect(), row, activation);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_memory::AlignedVec;
    use tiny_vlm_quant::{Matrix, Precision};
    use tiny_vlm_tensor::{Tensor, Workspace};

    fn linear(outputs: usize, inputs: usize, weights: &[f32], bias: &[f32]) -> Linear {
        let weight = Matrix::from_f32(outputs, inputs, weights, Precision::F32).unwrap();
        Linear::new(weight, Some(AlignedVec::from_slice(bias))).unwrap()
    }

    #[test]
    fn means_decide_the_gates() {
        // Means 3 and −1: relu(3 − 1 + 1) = 3, and the gates are σ(3) and σ(−3 + 3).
        let reduce = linear(1, 2, &[1.0, 1.0], &[1.0]);
        let expand = linear(2, 1, &[1.0, -1.0], &[0.0, 3.0]);
        let layer = SqueezeExcite::new(reduce, expand).unwrap();
        let mut x = Tensor::from_slice([2, 2], &[2.0, 1.0, 4.0, -3.0]).unwrap();
        let workspace = Workspace::new(2);
        layer.forward(&workspace.context(), x.view_mut(), Activation::Relu).unwrap();
        let gate = 1.0 / (1.0 + (-3.0_f32).exp());
        for (value, expected) in x.data().iter().zip([2.0 * gate, 0.5, 4.0 * gate, 0.0]) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
        assert!(
            SqueezeExcite::new(linear(1, 2, &[1.0; 2], &[0.0]), linear(3, 1, &[1.0; 3], &[0.0; 3])).is_err()
        );
    }
}

//! Layer normalisation (Ba et al., 2016, arXiv:1607.06450): `(x − mean) / √(variance + ε) · weight + bias`.

use tiny_vlm_kernels::{Norm, NormKind};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{LayerError, ScratchTensor, norm_rows::norm_rows};

/// `(x − mean) / √(variance + ε) · weight + bias`, row by row.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: AlignedVec<f32>,
    bias: AlignedVec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// Reads `weight` and `bias` of `width` elements below `scope`.
    pub fn load(scope: &Scope<'_>, width: usize, epsilon: f32) -> Self {
        Self { weight: scope.vector("weight", width), bias: scope.vector("bias", width), epsilon }
    }

    /// A norm of these factors and summands.
    pub fn new(weight: AlignedVec<f32>, bias: AlignedVec<f32>, epsilon: f32) -> Result<Self, LayerError> {
        LayerError::expect_shape("bias", [weight.len()], [bias.len()])?;
        Ok(Self { weight, bias, epsilon })
    }

    /// Writes the norm of each row of `x` to `out`.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let weights = Norm {
            kind: NormKind::Layer,
            weight: &self.weight,
            bias: Some(&self.bias),
            epsilon: self.epsilon,
        };
        norm_rows(ctx, "layer norm", x, &weights, out)
    }

    /// The norm of each row of `x`, in the scratch.
    pub fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 2>,
    ) -> Result<ScratchTensor<'a, 2>, LayerError> {
        let mut out = ScratchTensor::new(ctx, x.shape())?;
        self.forward(ctx, x, out.view_mut())?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::{Tensor, Workspace};

    #[test]
    fn rows_are_normalised() {
        let norm = LayerNorm::new(AlignedVec::from_slice(&[2.0; 3]), AlignedVec::from_slice(&[1.0; 3]), 0.0);
        let x = Tensor::from_slice([2, 3], &[1.0, 2.0, 3.0, -5.0, -5.0, -2.0]).unwrap();
        let workspace = Workspace::inline();
        let out = norm.unwrap().apply(&workspace.context(), x.view()).unwrap();
        let expected =
            [[-1.5_f32.sqrt(), 0.0, 1.5_f32.sqrt()], [-0.5_f32.sqrt(), -0.5_f32.sqrt(), 2.0_f32.sqrt()]];
        for (value, expected) in out.data().iter().zip(expected.as_flattened()) {
            assert!((value - (2.0 * expected + 1.0)).abs() < 1e-5);
        }
    }
}

//! Root mean square normalisation (Zhang and Sennrich, 2019, arXiv:1910.07467): `x / √(mean x² + ε) · weight`.

use tiny_vlm_kernels::{Norm, NormKind};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{LayerError, norm_rows::norm_rows};

/// `x / √(mean x² + ε) · weight`, row by row.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: AlignedVec<f32>,
    epsilon: f32,
}

impl RmsNorm {
    /// Reads `weight` of `width` elements below `scope`.
    pub fn load(scope: &Scope<'_>, width: usize, epsilon: f32) -> Self {
        Self::new(scope.vector("weight", width), epsilon)
    }

    /// A norm of these factors.
    pub fn new(weight: AlignedVec<f32>, epsilon: f32) -> Self {
        Self { weight, epsilon }
    }

    /// Writes the norm of each row of `x` to `out`.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let weights = Norm { kind: NormKind::Rms, weight: &self.weight, bias: None, epsilon: self.epsilon };
        norm_rows(ctx, "rms norm", x, &weights, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::{Tensor, Workspace};

    #[test]
    fn rows_are_scaled_by_their_own_size() {
        let norm = RmsNorm::new(AlignedVec::from_slice(&[1.0, 2.0]), 1e-5);
        let x = Tensor::from_slice([2, 2], &[3.0, 4.0, 0.0, 0.0]).unwrap();
        let mut out = Tensor::<f32, 2>::zeroed([2, 2]);
        let workspace = Workspace::inline();
        norm.forward(&workspace.context(), x.view(), out.view_mut()).unwrap();
        let size = 12.5_f32.sqrt();
        for (got, expected) in out.data().iter().zip([3.0 / size, 8.0 / size, 0.0, 0.0]) {
            assert!((got - expected).abs() < 1e-5);
        }
        let narrow = Tensor::<f32, 2>::zeroed([2, 3]);
        assert!(norm.forward(&workspace.context(), narrow.view(), out.view_mut()).is_err());
    }
}

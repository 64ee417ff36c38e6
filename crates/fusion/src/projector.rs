//! Features brought to a decoder's width by two linear maps (LLaVA-1.5, Liu et al., 2023, arXiv:2310.03744).

use tiny_vlm_layers::{Activation, Epilogue, LayerError, Linear, Mlp};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

/// `W₂ · gelu(W₁ · x + b₁) + b₂` for each feature.
#[derive(Debug)]
pub struct MlpProjector {
    mlp: Mlp,
}

impl MlpProjector {
    /// Reads the maps from `features` to `width` values, and from there to as many, below `first` and `second`.
    pub fn load(
        [first, second]: [Scope<'_>; 2],
        features: usize,
        width: usize,
        bias: bool,
    ) -> Result<Self, LayerError> {
        let first = Linear::load(&first, features, width, bias);
        let second = Linear::load(&second, width, width, bias);
        Ok(Self { mlp: Mlp::new(first, second, Activation::Gelu)? })
    }

    /// Writes what becomes of each row of `x` to `out`.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        self.mlp.forward_with(ctx, x, Epilogue::default(), out)
    }
}

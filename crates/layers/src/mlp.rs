//! The feed-forward half of an encoder block: `act(x · W₁ᵀ + b₁) · W₂ᵀ + b₂`.

use tiny_vlm_kernels::{Activation, Epilogue};
use tiny_vlm_quant::feed_forward;
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::{LayerError, Linear};

/// Two linear maps with an activation between them.
#[derive(Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Mlp {
    /// `second` after the activation of `first`.
    pub fn new(first: Linear, second: Linear, activation: Activation) -> Result<Self, LayerError> {
        LayerError::expect_shape("second map", [first.outputs()], [second.inputs()])?;
        Ok(Self { first, second, activation })
    }

    /// Writes what becomes of each row of `x` to `out`; `epilogue` as in [`Linear::forward_with`].
    pub fn forward_with(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        epilogue: Epilogue<'_>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let activation = Epilogue { activation: self.activation, ..Epilogue::default() };
        feed_forward(ctx, x, &[self.first.map(activation)], self.second.map(epilogue), out)?;
        Ok(ctx.check()?)
    }
}

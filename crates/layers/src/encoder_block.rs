//! A pre-norm encoder block: `x += attention(norm(x))`, then `x += mlp(norm(x))`.

use tiny_vlm_kernels::{Epilogue, Residual};
use tiny_vlm_tensor::{Context, ViewMut};

use crate::{LayerError, LayerNorm, Mlp, ScratchTensor, SelfAttention};

/// Attention and a feed-forward layer, each behind a norm and beside a residual.
#[derive(Debug)]
pub struct EncoderBlock {
    /// Before attention.
    pub attention_norm: LayerNorm,
    /// Of all tokens to all tokens.
    pub attention: SelfAttention,
    /// Before the feed-forward layer.
    pub mlp_norm: LayerNorm,
    /// Token by token.
    pub mlp: Mlp,
}

impl EncoderBlock {
    /// Runs the block over the rows of `x`, in place.
    pub fn forward(&self, ctx: &Context<'_>, mut x: ViewMut<'_, f32, 2>) -> Result<(), LayerError> {
        let add = Epilogue { residual: Residual::Output, ..Epilogue::default() };
        let mut normed = ScratchTensor::new(ctx, x.shape())?;
        self.attention_norm.forward(ctx, x.view(), normed.view_mut())?;
        self.attention.forward_with(ctx, normed.view(), add, x.reborrow())?;
        self.mlp_norm.forward(ctx, x.view(), normed.view_mut())?;
        self.mlp.forward_with(ctx, normed.view(), add, x)
    }
}

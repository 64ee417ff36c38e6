//! The layers: `x = norm(x + attention(x))`, in the decoder the same with what it looks at, then with a feed-forward
//! layer.

use tiny_vlm_layers::{
    Activation, CausalAttention, CrossAttention, Epilogue, LayerError, LayerNorm, Linear, Mlp, Projections,
    Residual, ScratchTensor, SelfAttention, Sequence,
};
use tiny_vlm_tensor::{Context, ViewMut};
use tiny_vlm_weights::Scope;

use super::BartConfig;

/// The epsilon of every norm, which configurations do not say.
pub(super) const EPSILON: f32 = 1e-5;

fn norm(scope: &Scope<'_>, name: &str, hidden: usize) -> LayerNorm {
    LayerNorm::load(&scope.scope(name), hidden, EPSILON)
}

fn projections(scope: &Scope<'_>, name: &str, hidden: usize) -> Projections {
    let scope = scope.scope(name);
    let map = |name: &str| Linear::load(&scope.scope(name), hidden, hidden, true);
    Projections { query: map("q_proj"), key: map("k_proj"), value: map("v_proj"), output: map("out_proj") }
}

fn mlp(scope: &Scope<'_>, hidden: usize, ffn: usize) -> Result<Mlp, LayerError> {
    let (first, second) = (scope.scope("fc1"), scope.scope("fc2"));
    Mlp::new(
        Linear::load(&first, hidden, ffn, true),
        Linear::load(&second, ffn, hidden, true),
        Activation::Gelu,
    )
}

/// A layer of the encoder.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    attention: SelfAttention,
    attention_norm: LayerNorm,
    mlp: Mlp,
    mlp_norm: LayerNorm,
}

impl EncoderLayer {
    pub(super) fn load(scope: &Scope<'_>, config: &BartConfig) -> Result<Self, LayerError> {
        let hidden = config.hidden;
        Ok(Self {
            attention: SelfAttention::apart(projections(scope, "self_attn", hidden), config.heads[0])?,
            attention_norm: norm(scope, "self_attn_layer_norm", hidden),
            mlp: mlp(scope, hidden, config.ffn[0])?,
            mlp_norm: norm(scope, "final_layer_norm", hidden),
        })
    }

    /// Takes the rows of `x` through the layer. `sum` is of the same shape.
    pub(super) fn forward(
        &self,
        ctx: &Context<'_>,
        mut x: ViewMut<'_, f32, 2>,
        sum: &mut ScratchTensor<'_, 2>,
    ) -> Result<(), LayerError> {
        let add = Epilogue { residual: Residual::Add(x.view()), ..Epilogue::default() };
        self.attention.forward_with(ctx, x.view(), add, sum.view_mut())?;
        self.attention_norm.forward(ctx, sum.view(), x.reborrow())?;
        let add = Epilogue { residual: Residual::Add(x.view()), ..Epilogue::default() };
        self.mlp.forward_with(ctx, x.view(), add, sum.view_mut())?;
        self.mlp_norm.forward(ctx, sum.view(), x)
    }
}

/// A layer of the decoder.
#[derive(Debug)]
pub(super) struct DecoderLayer {
    attention: CausalAttention,
    attention_norm: LayerNorm,
    cross: CrossAttention,
    cross_norm: LayerNorm,
    mlp: Mlp,
    mlp_norm: LayerNorm,
}

impl DecoderLayer {
    pub(super) fn load(scope: &Scope<'_>, number: usize, config: &BartConfig) -> Result<Self, LayerError> {
        let (hidden, heads) = (config.hidden, config.decoder_heads());
        Ok(Self {
            attention: CausalAttention::new(projections(scope, "self_attn", hidden), heads, number)?,
            attention_norm: norm(scope, "self_attn_layer_norm", hidden),
            cross: CrossAttention::new(projections(scope, "encoder_attn", hidden), heads, number)?,
            cross_norm: norm(scope, "encoder_attn_layer_norm", hidden),
            mlp: mlp(scope, hidden, config.ffn[1])?,
            mlp_norm: norm(scope, "final_layer_norm", hidden),
        })
    }

    /// The attention to what the encoder made.
    pub(super) fn cross_attention(&self) -> &CrossAttention {
        &self.cross
    }

    /// Takes `x`, a row a token of the batch, through the layer. `sum` is of the same shape.
    pub(super) fn forward(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        mut x: ViewMut<'_, f32, 2>,
        sum: &mut ScratchTensor<'_, 2>,
    ) -> Result<(), LayerError> {
        sum.view_mut().copy_from(x.view())?;
        self.attention.add(ctx, x.view(), batch, None, sum.view_mut())?;
        self.attention_norm.forward(ctx, sum.view(), x.reborrow())?;
        sum.view_mut().copy_from(x.view())?;
        self.cross.add(ctx, x.view(), batch, sum.view_mut())?;
        self.cross_norm.forward(ctx, sum.view(), x.reborrow())?;
        let add = Epilogue { residual: Residual::Add(x.view()), ..Epilogue::default() };
        self.mlp.forward_with(ctx, x.view(), add, sum.view_mut())?;
        self.mlp_norm.forward(ctx, sum.view(), x)
    }
}

//! One layer: `x + attention(norm(x))`, then the same with what it looks at, then with a feed-forward layer.

use tiny_vlm_kernels::Activation;
use tiny_vlm_layers::{
    CausalAttention, CrossAttention, GatedMlp, Linear, Projections, RmsNorm, Rotary, Sequence,
};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{DecoderConfig, DecoderError, Multipliers, Names};

#[derive(Debug)]
pub(crate) struct DecoderLayer {
    self_norm: RmsNorm,
    self_attention: CausalAttention,
    cross: Option<(RmsNorm, CrossAttention)>,
    ffn_norm: RmsNorm,
    ffn: GatedMlp,
}

impl DecoderLayer {
    pub(crate) fn load(
        scope: &Scope<'_>,
        number: usize,
        config: &DecoderConfig,
        names: &Names,
    ) -> Result<Self, DecoderError> {
        let DecoderConfig { hidden, ffn, .. } = *config;
        let norm = |name| RmsNorm::load(&scope.scope(name), hidden, config.rms_eps);
        let heads = config.split();
        let attention = |[query, key, value, output]: [&str; 4], bias: bool| {
            let (width, kv_width) = (heads.queries * heads.dim, heads.keys * heads.dim);
            Projections {
                query: Linear::load(&scope.scope(query), hidden, width, bias),
                key: Linear::load(&scope.scope(key), hidden, kv_width, bias),
                value: Linear::load(&scope.scope(value), hidden, kv_width, bias),
                output: Linear::load(&scope.scope(output), width, hidden, false),
            }
        };
        let cross = match config.cross_attention {
            true => {
                let projections = attention(names.cross_attention, false);
                Some((norm(names.cross_norm), CrossAttention::new(projections, heads, number)?))
            }
            false => None,
        };
        let [gate, up, down] = names.ffn;
        let Multipliers { attention: scores, residual, .. } = config.multipliers;
        let projections = attention(names.self_attention, config.qkv_bias);
        Ok(Self {
            self_norm: norm(names.self_norm),
            self_attention: CausalAttention::new(projections, heads, number)?.scaled(scores, residual)?,
            cross,
            ffn_norm: norm(names.ffn_norm),
            ffn: GatedMlp::new(
                Linear::load(&scope.scope(gate), hidden, ffn, false),
                Linear::load(&scope.scope(up), hidden, ffn, false),
                Linear::load(&scope.scope(down), ffn, hidden, false),
                Activation::Silu,
            )?
            .scaled(residual)?,
        })
    }

    /// The attention to a memory, where there is one.
    pub(crate) fn cross_attention(&self) -> Option<&CrossAttention> {
        self.cross.as_ref().map(|(_, attention)| attention)
    }

    /// Takes `x`, a row a token of the batch, through the layer. `normed` is of the same size, for norms.
    pub(crate) fn forward(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        rotary: Rotary<'_>,
        mut x: ViewMut<'_, f32, 2>,
        normed: &mut [f32],
    ) -> Result<(), DecoderError> {
        let shape = x.shape();
        self.self_norm.forward(ctx, x.view(), ViewMut::new(shape, normed)?)?;
        self.self_attention.add(ctx, View::new(shape, normed)?, batch, Some(rotary), x.reborrow())?;
        if let Some((norm, attention)) = &self.cross {
            norm.forward(ctx, x.view(), ViewMut::new(shape, normed)?)?;
            attention.add(ctx, View::new(shape, normed)?, batch, x.reborrow())?;
        }
        self.ffn_norm.forward(ctx, x.view(), ViewMut::new(shape, normed)?)?;
        self.ffn.add(ctx, View::new(shape, normed)?, x)?;
        Ok(())
    }
}

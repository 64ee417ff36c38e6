//! The self-attention of a decoder: each token looks at those before it and at itself, which the sequence's cache
//! keeps; several heads of queries may share keys and values (Ainslie et al., 2023, arXiv:2305.13245). Positions are
//! turned into queries and keys, or were added to what enters.

use tiny_vlm_kernels::{Epilogue, Residual};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::{
    LayerError, Linear, Rotary,
    attend::{Heads, Source, attend},
    linear::{SharedInput, factors},
    sequence::Sequence,
};

/// Cached causal self-attention with grouped queries.
#[derive(Debug)]
pub struct CausalAttention {
    projections: Projections,
    heads: Heads,
    /// Which of the cache's layers is this one's.
    layer: usize,
    /// Factors of the queries and of the output, column by column, where they are not 1.
    query_scale: Option<AlignedVec<f32>>,
    output_scale: Option<AlignedVec<f32>>,
}

/// The linear maps of an attention.
#[derive(Debug)]
pub struct Projections {
    /// To queries.
    pub query: Linear,
    /// To keys.
    pub key: Linear,
    /// To values.
    pub value: Linear,
    /// Back from the heads.
    pub output: Linear,
}

impl Projections {
    /// Whether the maps fit the heads.
    pub(crate) fn check(&self, heads: Heads) -> Result<(), LayerError> {
        if heads.keys == 0 || !heads.queries.is_multiple_of(heads.keys) {
            return Err(LayerError::Heads { queries: heads.queries, keys: heads.keys });
        }
        let (queries, keys) = (heads.queries * heads.dim, heads.keys * heads.dim);
        LayerError::expect_shape("query projection", [queries], [self.query.outputs()])?;
        LayerError::expect_shape("key projection", [keys], [self.key.outputs()])?;
        LayerError::expect_shape(
            "value projection",
            [keys, self.key.inputs()],
            [self.value.outputs(), self.value.inputs()],
        )?;
        LayerError::expect_shape("output projection", [queries], [self.output.inputs()])
    }
}

impl CausalAttention {
    /// An attention of these maps, which keeps its keys and values in the cache's layer `layer`.
    pub fn new(projections: Projections, heads: Heads, layer: usize) -> Result<Self, LayerError> {
        projections.check(heads)?;
        Ok(Self { projections, heads, layer, query_scale: None, output_scale: None })
    }

    /// The same, whose output counts `output` times, and whose scores are the products of queries and keys times
    /// `scores`, where given, instead of over the root of their length.
    pub fn scaled(self, scores: Option<f32>, output: f32) -> Result<Self, LayerError> {
        let Projections { query, output: to, .. } = &self.projections;
        // The kernel divides by the root.
        let of_queries = scores.map_or(1.0, |scores| scores * (self.heads.dim as f32).sqrt());
        let query_scale = factors(query.outputs(), of_queries)?;
        let output_scale = factors(to.outputs(), output)?;
        Ok(Self { query_scale, output_scale, ..self })
    }

    /// Adds the attention of each row of `x` to `out`, and writes the rows' keys and values to the caches, which
    /// have [grown](crate::KvCache::grow) for them. Without `rotary`, queries and keys are not turned by their positions.
    pub fn add(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        batch: &mut [Sequence<'_>],
        rotary: Option<Rotary<'_>>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let Projections { query, key, value, output } = &self.projections;
        let rows = x.shape()[0];
        let (width, kv_width) = (query.outputs(), key.outputs());
        let level = Level::detect();
        let mut queries = ctx.scratch.take::<f32>(rows * width);
        {
            let mut keys = ctx.scratch.take::<f32>(rows * kv_width);
            let mut values = ctx.scratch.take::<f32>(rows * kv_width);
            let x = SharedInput::new(ctx, x, [query, key, value]);
            let plain = Epilogue::default();
            let scaled = Epilogue { scale: self.query_scale.as_deref(), ..plain };
            x.forward(
                ctx,
                [
                    (query, scaled, ViewMut::new([rows, width], &mut queries)?),
                    (key, plain, ViewMut::new([rows, kv_width], &mut keys)?),
                    (value, plain, ViewMut::new([rows, kv_width], &mut values)?),
                ],
            )?;
            if let Some(rotary) = rotary {
                rotary.turn(ctx, &mut queries, width);
                rotary.turn(ctx, &mut keys, kv_width);
            }
            let mut first = 0;
            for sequence in batch.iter_mut() {
                let tokens = sequence.input.tokens();
                let entering = first * kv_width..(first + tokens) * kv_width;
                sequence.cache.write(ctx, level, self.layer, &keys[entering.clone()], &values[entering]);
                first += tokens;
            }
        }
        let mut attended = ctx.scratch.take::<f32>(rows * width);
        let batch = &*batch;
        let source = |number: usize| Source::Cache(batch[number].cache, self.layer);
        attend(ctx, level, self.heads, batch, source, &queries, &mut attended);
        let scale = self.output_scale.as_deref();
        let residual = Epilogue { residual: Residual::Output, scale, ..Epilogue::default() };
        output.forward_with(ctx, View::new([rows, width], &attended)?, residual, out)
    }
}

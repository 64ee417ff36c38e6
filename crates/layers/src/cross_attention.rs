//! Cross-attention: each token looks at all of a memory, such as what a vision tower saw. The keys and values of
//! the memory are made once, and serve every step and every sequence that looks at it.

use std::sync::Arc;

use tiny_vlm_kernels::{CachePrecision, Epilogue, KvBlock, KvShape, Residual};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::{
    LayerError,
    attend::{Heads, Source, attend},
    causal_attention::Projections,
    sequence::Sequence,
};

/// Attention to a memory.
#[derive(Debug)]
pub struct CrossAttention {
    projections: Projections,
    heads: Heads,
    /// Which of the memory's layers is this one's.
    layer: usize,
}

/// What the cross-attention of every layer keeps of one memory. A clone shares it.
#[derive(Debug, Clone)]
pub struct CrossMemory {
    layers: Arc<[LayerMemory]>,
}

/// The keys and values that one layer has of a memory, packed as its products read them.
#[derive(Debug)]
pub struct LayerMemory {
    /// Head by head.
    data: AlignedVec<f32>,
    shape: KvShape,
}

impl CrossMemory {
    /// A memory of one [`LayerMemory`] a layer, in their order.
    pub fn new(layers: Vec<LayerMemory>) -> Self {
        Self { layers: layers.into() }
    }

    /// How many layers can look at it.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// How many tokens it has.
    pub fn tokens(&self) -> usize {
        self.layers.first().map_or(0, LayerMemory::tokens)
    }
}

impl LayerMemory {
    pub(crate) fn tokens(&self) -> usize {
        self.shape.tokens
    }

    pub(crate) fn block(&self, head: usize) -> KvBlock<'_> {
        let words = words(self.shape);
        self.shape.read(&self.data[head * words..][..words])
    }
}

/// Words of one head; zero where that overflows, which no memory that was computed does.
fn words(shape: KvShape) -> usize {
    shape.words().unwrap_or_default()
}

impl CrossAttention {
    /// An attention of these maps, for layer `layer` of a memory.
    pub fn new(projections: Projections, heads: Heads, layer: usize) -> Result<Self, LayerError> {
        projections.check(heads)?;
        Ok(Self { projections, heads, layer })
    }

    /// Makes the keys and values of `memory`, a row a token, each rounded once to `precision`.
    pub fn remember(
        &self,
        ctx: &Context<'_>,
        memory: View<'_, f32, 2>,
        precision: CachePrecision,
    ) -> Result<LayerMemory, LayerError> {
        let Projections { key, value, .. } = &self.projections;
        let (tokens, width, dim) = (memory.shape()[0], key.outputs(), self.heads.dim);
        let mut keys = ctx.scratch.take::<f32>(tokens * width);
        let mut values = ctx.scratch.take::<f32>(tokens * width);
        key.forward(ctx, memory, ViewMut::new([tokens, width], &mut keys)?)?;
        value.forward(ctx, memory, ViewMut::new([tokens, width], &mut values)?)?;
        let (shape, level) = (KvShape { tokens, dim, precision }, Level::detect());
        let mut data = AlignedVec::try_zeroed(self.heads.keys * words(shape))?;
        if !data.is_empty() {
            for (head, block) in data.chunks_exact_mut(words(shape)).enumerate() {
                for token in 0..tokens {
                    let of_head = token * width + head * dim..token * width + (head + 1) * dim;
                    shape.write(level, block, token, &keys[of_head.clone()], &values[of_head]);
                }
            }
        }
        Ok(LayerMemory { data, shape })
    }

    /// Adds the attention of each row of `x` to `out`; rows of sequences without a memory stay as they are.
    pub fn add(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        batch: &[Sequence<'_>],
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        if batch.iter().all(|sequence| sequence.memory.is_none()) {
            return Ok(());
        }
        let Projections { query, output, .. } = &self.projections;
        let (rows, width) = (x.shape()[0], query.outputs());
        let mut queries = ctx.scratch.take::<f32>(rows * width);
        let mut attended = ctx.scratch.take::<f32>(rows * width);
        query.forward(ctx, x, ViewMut::new([rows, width], &mut queries)?)?;
        let source =
            |number: usize| match batch[number].memory.and_then(|memory| memory.layers.get(self.layer)) {
                Some(memory) => Source::Memory(memory),
                None => Source::Nothing,
            };
        attend(ctx, Level::detect(), self.heads, batch, source, &queries, &mut attended);
        let residual = Epilogue { residual: Residual::Output, ..Epilogue::default() };
        output.forward_with(ctx, View::new([rows, width], &attended)?, residual, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use crate::{CacheShape, Input, KvCache, Linear};
    use tiny_vlm_quant::{Matrix, Precision};
    use tiny_vlm_tensor::Workspace;

    /// Keys and values that are off by a 256th make scores and sums that are off by about as much.
    #[test]
    fn a_memory_is_as_exact_as_its_precision() {
        let (heads, width, tokens) = (Heads { queries: 4, keys: 2, dim: 6 }, 24, 19);
        let map = |outputs: usize, seed| {
            let weights = random(outputs * width, seed);
            Linear::without_bias(Matrix::from_f32(outputs, width, &weights, Precision::F32).unwrap())
        };
        let projections =
            Projections { query: map(24, 1), key: map(12, 2), value: map(12, 3), output: map(24, 4) };
        let attention = CrossAttention::new(projections, heads, 0).unwrap();
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        let (rows, x) = (random(tokens * width, 5), random(width, 6));
        let attend = |precision| {
            let rows = View::new([tokens, width], &rows).unwrap();
            let memory = CrossMemory::new(vec![attention.remember(&ctx, rows, precision).unwrap()]);
            assert_eq!(memory.tokens(), tokens);
            let shape = CacheShape { layers: 1, kv_heads: 2, head_dim: 6 };
            let mut cache = KvCache::new(shape, CachePrecision::F32);
            let batch = [Sequence::new(Input::Tokens(&[0]), &mut cache).with_memory(&memory)];
            let mut out = vec![0.0; width];
            let to = ViewMut::new([1, width], &mut out).unwrap();
            attention.add(&ctx, View::new([1, width], &x).unwrap(), &batch, to).unwrap();
            out
        };
        let exact = attend(CachePrecision::F32);
        let largest = exact.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for precision in [CachePrecision::Bf16, CachePrecision::Int8] {
            let off = exact.iter().zip(attend(precision)).map(|(one, other)| (one - other).abs());
            let most = off.fold(0.0, f32::max);
            assert!(most > 0.0 && most < 0.02 * largest, "{precision:?}: {most} of {largest}");
        }
    }
}

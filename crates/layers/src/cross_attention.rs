//! Cross-attention: each token looks at all of a memory, such as what a vision tower saw. The keys and values of
//! the memory are made once, and serve every step and every sequence that looks at it.

use std::sync::Arc;

use tiny_vlm_kernels::{Epilogue, KvBlock, Layout, Packed, Residual, pack, pack_transposed};
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
    /// Head by head, keys and then values.
    data: AlignedVec<f32>,
    tokens: usize,
    dim: usize,
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
        self.layers.first().map_or(0, |layer| layer.tokens)
    }
}

impl LayerMemory {
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    pub(crate) fn block(&self, head: usize) -> KvBlock<'_> {
        let [keys, values] = lengths(self.tokens, self.dim);
        let (keys, values) = self.data[head * (keys + values)..][..keys + values].split_at(keys);
        let keys = Packed::new(keys, self.tokens, self.dim);
        let values = Packed::new(values, self.dim, self.tokens);
        let (Some(keys), Some(values)) = (keys, values) else {
            unreachable!("a memory is cut as it was packed");
        };
        KvBlock::F32 { keys, values }
    }
}

/// Elements of the packed keys and values of one head; zero where that overflows, which no memory that was computed
/// does.
fn lengths(tokens: usize, dim: usize) -> [usize; 2] {
    [Layout::F32.len(tokens, dim), Layout::F32.len(dim, tokens)].map(Option::unwrap_or_default)
}

impl CrossAttention {
    /// An attention of these maps, for layer `layer` of a memory.
    pub fn new(projections: Projections, heads: Heads, layer: usize) -> Result<Self, LayerError> {
        projections.check(heads)?;
        Ok(Self { projections, heads, layer })
    }

    /// Makes the keys and values of `memory`, a row a token.
    pub fn remember(&self, ctx: &Context<'_>, memory: View<'_, f32, 2>) -> Result<LayerMemory, LayerError> {
        let Projections { key, value, .. } = &self.projections;
        let (tokens, width, dim) = (memory.shape()[0], key.outputs(), self.heads.dim);
        let mut keys = ctx.scratch.take::<f32>(tokens * width);
        let mut values = ctx.scratch.take::<f32>(tokens * width);
        key.forward(ctx, memory, ViewMut::new([tokens, width], &mut keys)?)?;
        value.forward(ctx, memory, ViewMut::new([tokens, width], &mut values)?)?;
        let [keys_len, values_len] = lengths(tokens, dim);
        let mut data = AlignedVec::try_zeroed(self.heads.keys * (keys_len + values_len))?;
        if tokens > 0 {
            for (head, to) in data.chunks_exact_mut(keys_len + values_len).enumerate() {
                let (to_keys, to_values) = to.split_at_mut(keys_len);
                pack(&keys[head * dim..], tokens, dim, width, to_keys);
                pack_transposed(&values[head * dim..], dim, tokens, width, to_values);
            }
        }
        Ok(LayerMemory { data, tokens, dim })
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

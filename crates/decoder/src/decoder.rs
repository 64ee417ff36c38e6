use tiny_vlm_kernels::Epilogue;
use tiny_vlm_layers::{CachePrecision, CrossMemory, Input, KvCache, RmsNorm, Rotary, Sequence};
use tiny_vlm_quant::{Matrix, matmul};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{DecoderConfig, DecoderError, DecoderStage, Names, batch, layer::DecoderLayer};

/// A decoder transformer with its weights.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embeddings: Matrix,
    memory_norm: Option<RmsNorm>,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// Absent where the embeddings are the head.
    head: Option<Matrix>,
    cache_precision: CachePrecision,
}

impl Decoder {
    /// Reads a decoder below `scope`. The head, where it is not tied, is below `root`: checkpoints keep it beside
    /// the rest. What is missing or of another shape, the parameters' own report says.
    pub fn load(
        scope: &Scope<'_>,
        root: &Scope<'_>,
        config: &DecoderConfig,
        names: &Names,
    ) -> Result<Self, DecoderError> {
        config.check()?;
        let DecoderConfig { vocab, hidden, rms_eps, .. } = *config;
        let layers = scope.scope(names.layers);
        let layer = |number: usize| DecoderLayer::load(&layers.scope(number), number, config, names);
        let memory_norm = match config.cross_attention {
            true => scope.scope(names.memory_norm).optional_vector("weight", hidden),
            false => None,
        };
        Ok(Self {
            config: config.clone(),
            embeddings: scope.scope(names.embeddings).matrix("weight", vocab, hidden),
            memory_norm: memory_norm.map(|weight| RmsNorm::new(weight, rms_eps)),
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: RmsNorm::load(&scope.scope(names.norm), hidden, rms_eps),
            head: (!config.tied).then(|| root.scope(names.head).matrix("weight", vocab, hidden)),
            cache_precision: CachePrecision::default(),
        })
    }

    /// The same, whose [new caches](DecoderStage::new_cache) and [memories](DecoderStage::remember) are of this precision. A
    /// step takes those of any.
    #[must_use]
    pub fn with_cache_precision(self, cache_precision: CachePrecision) -> Self {
        Self { cache_precision, ..self }
    }

    /// Its sizes.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// As [`step`](DecoderStage::step), showing `observe` the hidden states of all tokens: the embeddings, and what
    /// each layer makes of them. For comparison with a reference.
    pub fn step_observed(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        mut logits: ViewMut<'_, f32, 2>,
        observe: &mut dyn FnMut(View<'_, f32, 2>),
    ) -> Result<(), DecoderError> {
        let DecoderConfig { vocab, hidden, layers, head_dim, cross_attention, .. } = self.config;
        batch::expect_shape("logits", [batch.len(), vocab], logits.shape())?;
        batch::check(batch, hidden, self.config.cache_shape(), cross_attention.then_some(layers))?;
        let rows: usize = batch.iter().map(|sequence| sequence.input.tokens()).sum();
        for sequence in batch.iter_mut() {
            sequence.cache.grow(sequence.input.tokens())?;
        }
        let mut angles = ctx.scratch.try_take::<f32>(rows * head_dim)?;
        let rotary = Rotary::fill(&mut angles, head_dim, self.config.rope_theta, batch)?;
        let mut x = ctx.scratch.try_take::<f32>(rows * hidden)?;
        let mut normed = ctx.scratch.try_take::<f32>(rows * hidden)?;
        let mut x = ViewMut::new([rows, hidden], &mut x)?;

        let mut first = 0;
        for sequence in batch.iter() {
            let tokens = sequence.input.tokens();
            self.enter(sequence.input, x.reborrow().slice(0, first..first + tokens))?;
            first += tokens;
        }
        let factor = self.config.multipliers.embedding;
        if factor != 1.0 {
            x.data_mut().into_iter().flatten().for_each(|value| *value *= factor);
        }
        observe(x.view());
        for layer in &self.layers {
            ctx.check()?;
            layer.forward(ctx, batch, rotary, x.reborrow(), &mut normed)?;
            observe(x.view());
        }

        // Of each sequence only the last token is asked what comes next.
        let mut last = ctx.scratch.try_take::<f32>(batch.len() * hidden)?;
        let mut end = 0;
        for (sequence, row) in batch.iter().zip(last.chunks_exact_mut(hidden)) {
            end += sequence.input.tokens();
            row.copy_from_slice(x.row(end - 1));
        }
        let shape = [batch.len(), hidden];
        let normed = &mut normed[..batch.len() * hidden];
        self.norm.forward(ctx, View::new(shape, &last)?, ViewMut::new(shape, normed)?)?;
        let head = self.head.as_ref().unwrap_or(&self.embeddings);
        matmul(ctx, View::new(shape, normed)?, head, &Epilogue::default(), logits.reborrow())?;
        for sequence in batch {
            sequence.cache.advance(sequence.input.tokens());
        }
        Ok(())
    }

    fn enter(&self, input: Input<'_>, mut out: ViewMut<'_, f32, 2>) -> Result<(), DecoderError> {
        match input {
            Input::Tokens(ids) => self.embed(ids, out),
            Input::Embeddings(rows) => Ok(out.copy_from(rows)?),
        }
    }
}

impl DecoderStage for Decoder {
    fn vocab(&self) -> usize {
        self.config.vocab
    }

    fn hidden(&self) -> usize {
        self.config.hidden
    }

    fn embed(&self, ids: &[u32], out: ViewMut<'_, f32, 2>) -> Result<(), DecoderError> {
        batch::embed(&self.embeddings, ids, out)
    }

    fn remember(&self, ctx: &Context<'_>, memory: View<'_, f32, 2>) -> Result<CrossMemory, DecoderError> {
        let [tokens, width] = memory.shape();
        batch::expect_shape("memory", [tokens, self.config.hidden], [tokens, width])?;
        if !self.config.cross_attention {
            return Err(DecoderError::Config("it has no cross-attention to look at a memory with".into()));
        }
        let mut normed = ctx.scratch.try_take::<f32>(tokens * width)?;
        let memory = match &self.memory_norm {
            Some(norm) => {
                norm.forward(ctx, memory, ViewMut::new([tokens, width], &mut normed)?)?;
                View::new([tokens, width], &normed)?
            }
            None => memory,
        };
        let layers = self.layers.iter().filter_map(DecoderLayer::cross_attention);
        let layers = layers
            .map(|layer| layer.remember(ctx, memory, self.cache_precision))
            .collect::<Result<_, _>>()?;
        Ok(CrossMemory::new(layers))
    }

    fn new_cache(&self) -> KvCache {
        KvCache::new(self.config.cache_shape(), self.cache_precision)
    }

    fn step(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        logits: ViewMut<'_, f32, 2>,
    ) -> Result<(), DecoderError> {
        self.step_observed(ctx, batch, logits, &mut |_| ())
    }
}

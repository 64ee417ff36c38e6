use tiny_vlm_kernels::Epilogue;
use tiny_vlm_layers::{
    CachePrecision, CrossMemory, Input, KvCache, LayerError, LayerNorm, ScratchTensor, Sequence,
};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_quant::{Matrix, matmul};
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_weights::Scope;

use super::{
    BartConfig,
    layer::{DecoderLayer, EPSILON, EncoderLayer},
};
use crate::{DecoderError, DecoderStage, batch};

/// Positions are counted from here: the rows before were a padding's.
const FIRST_POSITION: usize = 2;

/// A BART with its weights: its [encoder](Self::encode), and its decoder as a [`DecoderStage`].
#[derive(Debug)]
pub struct Bart {
    config: BartConfig,
    /// Of encoder, decoder and head.
    embeddings: Matrix,
    /// Added to the logits, where the checkpoint has it.
    bias: Option<AlignedVec<f32>>,
    encoder: Side<EncoderLayer>,
    decoder: Side<DecoderLayer>,
    cache_precision: CachePrecision,
}

/// What encoder and decoder have each.
#[derive(Debug)]
struct Side<L> {
    positions: Tensor<f32, 2>,
    norm: LayerNorm,
    layers: Vec<L>,
}

/// Where checkpoints keep the table of embeddings; whichever comes first, the others are the same.
const EMBEDDINGS: [&str; 3] = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];

impl Bart {
    /// Reads a BART below `scope`. What is added to the logits, if anything, is `final_logits_bias` below `root`.
    /// What is missing or of another shape, the parameters' own report says.
    pub fn load(scope: &Scope<'_>, root: &Scope<'_>, config: &BartConfig) -> Result<Self, DecoderError> {
        config.check()?;
        let BartConfig { vocab, hidden, .. } = *config;
        let stored = EMBEDDINGS.into_iter().find(|name| scope.scope(name).contains("weight"));
        let embeddings = scope.scope(stored.unwrap_or(EMBEDDINGS[0])).matrix("weight", vocab, hidden);
        let [encoder, decoder] = ["encoder", "decoder"].map(|name| scope.scope(name));
        let encoder_layer = |scope: &Scope<'_>, _| EncoderLayer::load(scope, config);
        let decoder_layer = |scope: &Scope<'_>, number| DecoderLayer::load(scope, number, config);
        Ok(Self {
            config: config.clone(),
            embeddings,
            bias: root.optional_vector("final_logits_bias", vocab),
            encoder: Side::load(&encoder, config, config.layers[0], encoder_layer)?,
            decoder: Side::load(&decoder, config, config.layers[1], decoder_layer)?,
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
    pub fn config(&self) -> &BartConfig {
        &self.config
    }

    /// Makes of embeddings, a row a token, what the decoder [remembers](DecoderStage::remember), in their place.
    pub fn encode(&self, ctx: &Context<'_>, x: ViewMut<'_, f32, 2>) -> Result<(), DecoderError> {
        self.encode_observed(ctx, x, &mut |_| ())
    }

    /// As [`encode`](Self::encode), showing `observe` the hidden states: before the first layer, and what each layer
    /// makes of them. For comparison with a reference.
    pub fn encode_observed(
        &self,
        ctx: &Context<'_>,
        mut x: ViewMut<'_, f32, 2>,
        observe: &mut dyn FnMut(View<'_, f32, 2>),
    ) -> Result<(), DecoderError> {
        let [tokens, width] = x.shape();
        batch::expect_shape("embeddings", [tokens, self.config.hidden], [tokens, width])?;
        if tokens > self.config.positions {
            let positions = self.config.positions;
            return Err(DecoderError::Config(format!(
                "{tokens} tokens enter an encoder of {positions} positions"
            )));
        }
        let mut sum = ScratchTensor::new(ctx, [tokens, width])?;
        self.encoder.place(ctx, 0..tokens, x.reborrow(), &mut sum)?;
        observe(x.view());
        for layer in &self.encoder.layers {
            ctx.check()?;
            layer.forward(ctx, x.reborrow(), &mut sum)?;
            observe(x.view());
        }
        Ok(())
    }

    /// As [`step`](DecoderStage::step), showing `observe` the hidden states of all tokens: before the first layer, and
    /// what each layer makes of them. For comparison with a reference.
    pub fn step_observed(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        mut logits: ViewMut<'_, f32, 2>,
        observe: &mut dyn FnMut(View<'_, f32, 2>),
    ) -> Result<(), DecoderError> {
        let BartConfig { vocab, hidden, positions, .. } = self.config;
        batch::expect_shape("logits", [batch.len(), vocab], logits.shape())?;
        let memory = Some(self.decoder.layers.len());
        batch::check(batch, hidden, self.config.cache_shape(), memory)?;
        for (number, sequence) in batch.iter().enumerate() {
            let refuse = |reason: String| Err(DecoderError::Sequence { sequence: number, reason });
            if sequence.memory.is_none() {
                return refuse("it has no memory to look at".into());
            }
            let end = sequence.cache.len().saturating_add(sequence.input.tokens());
            if end > positions {
                return refuse(format!("it grows to {end} tokens, and there are {positions} positions"));
            }
        }
        for sequence in batch.iter_mut() {
            sequence.cache.grow(sequence.input.tokens())?;
        }
        let rows: usize = batch.iter().map(|sequence| sequence.input.tokens()).sum();
        let mut x = ScratchTensor::new(ctx, [rows, hidden])?;
        let mut sum = ScratchTensor::new(ctx, [rows, hidden])?;
        let mut first = 0;
        for sequence in batch.iter() {
            let tokens = sequence.input.tokens();
            let mut part = x.view_mut().slice(0, first..first + tokens);
            match sequence.input {
                Input::Tokens(ids) => self.embed(ids, part)?,
                Input::Embeddings(rows) => part.copy_from(rows)?,
            }
            first += tokens;
        }
        let places = batch.iter().flat_map(|sequence| {
            let first = sequence.cache.len();
            first..first + sequence.input.tokens()
        });
        self.decoder.place(ctx, places, x.view_mut(), &mut sum)?;
        observe(x.view());
        for layer in &self.decoder.layers {
            ctx.check()?;
            layer.forward(ctx, batch, x.view_mut(), &mut sum)?;
            observe(x.view());
        }

        // Of each sequence only the last token is asked what comes next.
        let mut last = ScratchTensor::new(ctx, [batch.len(), hidden])?;
        let mut end = 0;
        for (sequence, row) in batch.iter().zip(last.data_mut().chunks_exact_mut(hidden)) {
            end += sequence.input.tokens();
            row.copy_from_slice(x.view().row(end - 1));
        }
        let epilogue = Epilogue { bias: self.bias.as_deref(), ..Epilogue::default() };
        matmul(ctx, last.view(), &self.embeddings, &epilogue, logits.reborrow())?;
        for sequence in batch {
            sequence.cache.advance(sequence.input.tokens());
        }
        Ok(())
    }
}

impl<L> Side<L> {
    fn load(
        scope: &Scope<'_>,
        config: &BartConfig,
        layers: usize,
        layer: impl Fn(&Scope<'_>, usize) -> Result<L, LayerError>,
    ) -> Result<Self, LayerError> {
        let positions = [config.positions + FIRST_POSITION, config.hidden];
        let numbered = scope.scope("layers");
        Ok(Self {
            positions: scope.scope("embed_positions").tensor("weight", positions),
            norm: LayerNorm::load(&scope.scope("layernorm_embedding"), config.hidden, EPSILON),
            layers: (0..layers)
                .map(|number| layer(&numbered.scope(number), number))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Makes of embeddings what enters the first layer: `norm(x + position)`. `sum` is of the same shape.
    fn place(
        &self,
        ctx: &Context<'_>,
        places: impl Iterator<Item = usize>,
        x: ViewMut<'_, f32, 2>,
        sum: &mut ScratchTensor<'_, 2>,
    ) -> Result<(), LayerError> {
        sum.view_mut().copy_from(x.view())?;
        let mut sums = sum.view_mut();
        for (row, place) in places.enumerate() {
            let position = self.positions.view().row(place + FIRST_POSITION);
            for (to, value) in sums.row_mut(row).iter_mut().zip(position) {
                *to += value;
            }
        }
        self.norm.forward(ctx, sum.view(), x)
    }
}

impl DecoderStage for Bart {
    fn vocab(&self) -> usize {
        self.config.vocab
    }

    fn hidden(&self) -> usize {
        self.config.hidden
    }

    fn embed(&self, ids: &[u32], mut out: ViewMut<'_, f32, 2>) -> Result<(), DecoderError> {
        batch::embed(&self.embeddings, ids, out.reborrow())?;
        if self.config.scaled_embeddings {
            let scale = (self.config.hidden as f32).sqrt();
            for row in 0..ids.len() {
                out.row_mut(row).iter_mut().for_each(|value| *value *= scale);
            }
        }
        Ok(())
    }

    fn remember(&self, ctx: &Context<'_>, memory: View<'_, f32, 2>) -> Result<CrossMemory, DecoderError> {
        let [tokens, width] = memory.shape();
        batch::expect_shape("memory", [tokens, self.config.hidden], [tokens, width])?;
        let precision = self.cache_precision;
        let layers = self.decoder.layers.iter();
        let layers = layers.map(|layer| layer.cross_attention().remember(ctx, memory, precision));
        Ok(CrossMemory::new(layers.collect::<Result<_, _>>()?))
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

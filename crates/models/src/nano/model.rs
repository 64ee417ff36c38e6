//! Nano as a family: from files to a model, from a question to scores of tokens.

use std::sync::Arc;

use tiny_vlm_decoder::{Decoder, DecoderConfig, DecoderStage};
use tiny_vlm_image::Image;
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, Tensor};
use tiny_vlm_text::Tokenizer;
use tiny_vlm_vision::{Line as ReadLine, Thing as SeenThing};
use tiny_vlm_weights::{Dtype, Params, Weights};

use super::config::{CONTEXT, MODEL_TYPE, NAMES, NanoConfig};
use super::look::{Eyes, Seen};
use crate::{
    Family, Features, Line, ModelError, ModelInfo, ModelOptions, PreparedPrompt, PromptParts, RequestShape,
    Sequence, Source, Special, Step, Task, Thing, remembering, weigh::weigh,
};

/// Most tokens of an answer where the request does not say.
const MAX_TOKENS: usize = 120;
/// Parts that are computed with at 16 bits at least: a byte's rounding of the activations moves the finders' sums across
/// their thresholds, and costs the reader more than a letter in a hundred.
const EXACT: [&str; 3] = ["things.", "lines.", "reader."];

/// Their form. Every one of them was stored in f16, so f32 is the same numbers: WebAssembly has no instruction that widens
/// f16, and would spend most of the time of an image on it.
const EXACT_FORM: Format = if cfg!(target_arch = "wasm32") { Format::F32 } else { Format::F16 };
/// Parts that four bits are too few for: nothing repeats there what one product gets wrong.
const BYTES: [&str; 3] = ["tower.", "fusion.", "decoder.embed"];

/// A loaded nano.
pub(crate) struct Nano {
    config: NanoConfig,
    info: ModelInfo,
    tokenizer: Tokenizer,
    eyes: Eyes,
    decoder: Decoder,
}

/// What is remembered of a picture: a row for the page and one for each thing.
pub(super) struct Memory(pub(super) Tensor<f32, 2>);

impl Nano {
    /// As [`open`](Self::open), as the registry takes it.
    pub(crate) fn load(
        config: &str,
        source: &Source,
        options: &ModelOptions,
    ) -> Result<Arc<dyn Family>, ModelError> {
        Ok(Arc::new(Self::open(config, source, options)?))
    }

    /// Loads nano from the files of `source`, the first of which is `config`.
    pub(super) fn open(config: &str, source: &Source, options: &ModelOptions) -> Result<Self, ModelError> {
        let config = NanoConfig::parse(config)?;
        let tokenizer = source.open_tokenizer()?;
        let weights = source.weights()?;
        let params = options.params(&weights, || format(&weights));
        let params = BYTES.into_iter().fold(params, |params, part| params.at_least(part, Format::Int8));
        let params = EXACT.into_iter().fold(params, |params, part| params.at_least(part, EXACT_FORM));
        let sizes = config.decoder();
        let root = params.root();
        let eyes = Eyes::load(&root, &config, sizes.hidden).map_err(ModelError::from)?;
        let decoder =
            Decoder::load(&root.scope("decoder"), &root, &sizes, &NAMES).map_err(ModelError::from)?;
        let decoder = decoder.with_cache_precision(options.kv_cache);
        let info = info(&params, &sizes);
        params.finish().map_err(|error| ModelError::Weights(Box::new(error)))?;
        Ok(Nano { config, info, tokenizer, eyes, decoder })
    }
}

/// The form of the weights where nobody asks for one.
fn format(weights: &Weights) -> Format {
    let dtype = |name| weights.info(name).map(|info| info.dtype);
    // What was stored in full was stored for exactness.
    if weights.names().all(|name| dtype(name) == Some(Dtype::F32)) { Format::F32 } else { Format::Int8 }
}

fn info(params: &Params<'_>, sizes: &DecoderConfig) -> ModelInfo {
    let mut info = weigh(params).model(ModelInfo::new(MODEL_TYPE, sizes.vocab, CONTEXT));
    info.max_tokens = MAX_TOKENS;
    info.reads = true;
    info
}

impl Family for Nano {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn encode(&self, ctx: &Context<'_>, image: &Image, _: &RequestShape) -> Result<Features, ModelError> {
        let Seen { things, lines, memory } = self.eyes.look(ctx, image).map_err(ModelError::from)?;
        let size = [image.width() as f64, image.height() as f64];
        let things = things.iter().map(|thing| thing_of(thing, size)).collect();
        let lines = lines.into_iter().map(line_of).collect();
        let (tokens, bytes) = (memory.shape()[0], size_of_val(memory.data()));
        Ok(Features::new(tokens, bytes, Memory(memory)).with_finds(lines, things))
    }

    fn prompt(&self, parts: &PromptParts<'_>, _: &[Arc<Features>]) -> Result<PreparedPrompt, ModelError> {
        let question = match parts.task {
            Task::Question(question) => question,
            Task::Caption(lang) => self
                .config
                .caption(lang)
                .ok_or_else(|| ModelError::config("config.json", format!("no caption in {lang}")))?,
            Task::Detect => return Err(ModelError::NoDetector),
            Task::Read => return Err(ModelError::NoReader),
        };
        let mut ids = vec![self.config.special_tokens.question];
        self.tokenizer.encode_into(question, &mut ids);
        ids.push(self.config.special_tokens.answer);
        Ok(PreparedPrompt::of_ids(ids))
    }

    fn begin(
        &self,
        ctx: &Context<'_>,
        _: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Result<Box<dyn Sequence>, ModelError> {
        let memory = features.first().and_then(|features| features.get::<Memory>());
        let memory = memory.ok_or_else(|| ModelError::stage("decoder", "no features of a picture"))?;
        let memory = self.decoder.remember(ctx, memory.0.view()).map_err(ModelError::from)?;
        Ok(remembering::begin(&self.decoder, memory))
    }

    fn step(&self, ctx: &Context<'_>, batch: &mut [Step<'_>], scores: &mut [f32]) -> Result<(), ModelError> {
        remembering::step(&self.decoder, ctx, batch, scores)
    }

    fn special(&self, token: u32) -> Special {
        match token {
            token if token == self.config.special_tokens.end => Special::End,
            token if token == self.config.special_tokens.read => Special::Read,
            _ => Special::None,
        }
    }

    fn read(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<Line>, ModelError> {
        let lines = self.eyes.read(ctx, image).map_err(ModelError::from)?;
        Ok(lines.into_iter().map(line_of).collect())
    }
}

fn line_of(line: ReadLine) -> Line {
    let quad = line.quad.map(|corner| corner.map(|place| place as f32));
    Line { text: line.text, quad, confidence: line.confidence as f32 }
}

fn thing_of(thing: &SeenThing, [width, height]: [f64; 2]) -> Thing {
    let [left, top, right, bottom] = thing.bounds;
    let area = [left * width, top * height, right * width, bottom * height].map(|side| side as f32);
    Thing { area, confidence: thing.score }
}

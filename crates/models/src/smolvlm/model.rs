//! The family: from files to a model, from images and words to scores of tokens.

use std::any::Any;
use std::sync::Arc;

use tiny_vlm_decoder::{Decoder, DecoderStage, Input, KvCache, Sequence as Entering};
use tiny_vlm_fusion::{PixelShuffle, Placement};
use tiny_vlm_image::Image;
use tiny_vlm_layers::ScratchTensor;
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_text::Tokenizer;
use tiny_vlm_vision::{SiglipTower, VisionError};

use super::config::{Config, GenerationConfig, NAMES, SMOLVLM};
use super::processor::{END_OF_UTTERANCE, Grid, Processor};
use crate::{
    Family, Features, ImageCost, ModelError, ModelInfo, ModelOptions, Observe, PreparedPrompt, Profile,
    PromptParts, RequestShape, Sequence, Source, Special, Step, weigh::weigh,
};

/// Most tokens of an answer where the request does not say.
const MAX_TOKENS: usize = 500;
/// Parts that four bits are too few for: the tower, what leads from it, and what words are looked up in.
const BYTES: [&str; 4] =
    ["model.vision_model.", "model.connector.", "model.text_model.embed_tokens.", "lm_head."];

/// A loaded SmolVLM or Idefics3.
pub(crate) struct Smolvlm {
    info: ModelInfo,
    processor: Processor,
    tower: SiglipTower,
    connector: PixelShuffle,
    decoder: Decoder,
    image_token: u32,
    /// Tokens that end an answer.
    ends: Vec<u32>,
}

/// What was seen in an image: a row for each of its tokens.
struct Seen {
    grid: Grid,
    rows: Tensor<f32, 2>,
}

/// An answer that is being written.
struct Answer {
    cache: KvCache,
    placement: Arc<Placement>,
    images: Arc<[Arc<Features>]>,
}

impl Smolvlm {
    /// Loads the model from the files of `source`, the first of which is `config`.
    pub(crate) fn load(
        config: &str,
        source: &Source,
        options: &ModelOptions,
    ) -> Result<Arc<dyn Family>, ModelError> {
        let config = Config::parse(config)?;
        let sizes = config.decoder();
        config.vision_config.check()?;
        sizes.check()?;
        let weights = source.weights()?;
        let params = options.params(&weights, || format(options));
        let params = BYTES.into_iter().fold(params, |params, part| params.at_least(part, Format::Int8));
        let (model, root) = (params.scope("model"), params.root());
        let tower = SiglipTower::load(&model.scope("vision_model"), &config.vision_config)?;
        let width = config.vision_config.hidden_size;
        let connector =
            PixelShuffle::load(&model.scope("connector"), config.scale_factor, width, sizes.hidden);
        let decoder = Decoder::load(&model.scope("text_model"), &root, &sizes, &NAMES)?;
        let decoder = decoder.with_cache_precision(options.kv_cache);
        if sizes.tied {
            // Some files hold the head although it is the embeddings.
            params.ignore(|name| name == "lm_head.weight");
        }
        let tile_tokens = connector.tokens(config.vision_config.side());
        let processor = Processor::load(source, &config, tile_tokens)?;
        let context = config.text_config.max_position_embeddings;
        let mut info = weigh(&params, ModelInfo::new(SMOLVLM, sizes.vocab, context));
        info.max_tokens = MAX_TOKENS;
        info.max_images = (context / tile_tokens.max(1)).max(1);
        info.converses = true;
        params.finish().map_err(|error| ModelError::Weights(Box::new(error)))?;
        let ends = ends(source, &config, processor.tokenizer())?;
        Ok(Arc::new(Self {
            info,
            processor,
            tower,
            connector,
            decoder,
            image_token: config.image_token_id,
            ends,
        }))
    }

    /// Looks at an image, tile by tile.
    fn see(
        &self,
        ctx: &Context<'_>,
        image: &Image,
        shape: &RequestShape,
        observe: &mut Observe<'_>,
    ) -> Result<Seen, ModelError> {
        let plan = self.processor.plan([image.width(), image.height()], shape);
        let tile_tokens = self.connector.tokens(self.tower.config().side());
        let tiles = self.processor.cut(image, plan)?;
        let rows = [plan.tiles() * tile_tokens, self.decoder.config().hidden];
        let mut rows = Tensor::try_zeroed(rows).map_err(|error| ModelError::Memory(error.to_string()))?;
        for tile in 0..plan.tiles() {
            ctx.check()?;
            ctx.progress.report("look", tile, plan.tiles());
            let out = rows.view_mut().slice(0, tile * tile_tokens..(tile + 1) * tile_tokens);
            let pixels = self.processor.tiler().pixels(ctx, &tiles, tile)?;
            observe("pixels", pixels.data());
            self.see_tile(ctx, pixels.view(), out, observe)?;
        }
        Ok(Seen { grid: Grid { rows: plan.rows, columns: plan.columns }, rows })
    }

    fn see_tile(
        &self,
        ctx: &Context<'_>,
        pixels: View<'_, f32, 3>,
        mut out: ViewMut<'_, f32, 2>,
        observe: &mut Observe<'_>,
    ) -> Result<(), ModelError> {
        let mut block = 0;
        let mut watch = |x: View<'_, f32, 2>| {
            observe(&format!("vision.{block}"), x.data().unwrap_or_default());
            block += 1;
        };
        let seen = self.tower.forward_observed(ctx, pixels, &mut watch)?;
        observe("vision.norm", seen.data());
        self.connector.forward(ctx, seen.view(), out.reborrow()).map_err(VisionError::from)?;
        observe("connector", out.data().unwrap_or_default());
        Ok(())
    }

    /// What enters for the tokens `ids` behind the `first` that have: looked up, or features in their place.
    fn embeddings<'a>(
        &self,
        ctx: &Context<'a>,
        answer: &Answer,
        ids: &[u32],
    ) -> Result<Option<ScratchTensor<'a, 2>>, ModelError> {
        let first = answer.cache.len();
        let mut places = (0..ids.len())
            .filter_map(|place| Some((place, answer.placement.feature_at(first + place)?)))
            .peekable();
        if places.peek().is_none() {
            return Ok(None);
        }
        let shape = [ids.len(), self.decoder.config().hidden];
        let mut rows = ScratchTensor::new(ctx, shape).map_err(VisionError::from)?;
        self.decoder.embed(ids, rows.view_mut())?;
        for (place, number) in places {
            let row = feature(&answer.images, number);
            let row =
                row.ok_or_else(|| ModelError::stage("fusion", "no feature for a place of the prompt"))?;
            rows.view_mut().row_mut(place).copy_from_slice(row);
        }
        Ok(Some(rows))
    }
}

/// A feature by its number among those of all images.
fn feature(images: &[Arc<Features>], mut number: usize) -> Option<&[f32]> {
    for image in images {
        if number < image.tokens {
            return Some(image.get::<Seen>()?.rows.view().row(number));
        }
        number -= image.tokens;
    }
    None
}

/// The form of the weights where nobody asks for one.
fn format(options: &ModelOptions) -> Format {
    if options.profile == Profile::Accuracy { Format::F32 } else { Format::Int8 }
}

/// Tokens that end an answer: those that `generation_config.json` names, and otherwise whatever may be one.
fn ends(source: &Source, config: &Config, tokenizer: &Tokenizer) -> Result<Vec<u32>, ModelError> {
    let generation: GenerationConfig = source.optional_json("generation_config.json")?.unwrap_or_default();
    Ok(match generation.eos_token_id {
        Some(ids) => ids.as_slice().to_vec(),
        None => config.ends().chain(tokenizer.token_id(END_OF_UTTERANCE)).collect(),
    })
}

impl Family for Smolvlm {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenizer(&self) -> &Tokenizer {
        self.processor.tokenizer()
    }

    fn image_cost(&self, size: [usize; 2], shape: &RequestShape) -> Option<ImageCost> {
        let tiles = self.processor.plan(size, shape).tiles();
        Some(ImageCost { tiles, tokens: tiles * self.connector.tokens(self.tower.config().side()) })
    }

    fn encode(&self, ctx: &Context<'_>, image: &Image, shape: &RequestShape) -> Result<Features, ModelError> {
        let seen = self.see(ctx, image, shape, &mut |_, _| ())?;
        Ok(Features::new(seen.rows.shape()[0], size_of_val(seen.rows.data()), seen))
    }

    fn prompt(
        &self,
        parts: &PromptParts<'_>,
        features: &[Arc<Features>],
    ) -> Result<PreparedPrompt, ModelError> {
        let grids = features.iter().map(|image| image.get::<Seen>().map(|seen| seen.grid));
        let grids = grids.collect::<Option<Vec<_>>>().ok_or_else(foreign)?;
        let ids = self.processor.ids(parts, &grids)?;
        let places = Placement::new(&ids, self.image_token).len();
        let tokens: usize = features.iter().map(|image| image.tokens).sum();
        if places != tokens {
            let detail = format!("{places} tokens of images in the prompt, not {tokens}");
            return Err(ModelError::config("chat template", detail));
        }
        Ok(PreparedPrompt { image_ids: places, ..PreparedPrompt::of_ids(ids) })
    }

    fn begin(
        &self,
        _: &Context<'_>,
        prompt: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Result<Box<dyn Sequence>, ModelError> {
        let placement = Arc::new(Placement::new(&prompt.ids, self.image_token));
        Ok(Box::new(Answer { cache: self.decoder.new_cache(), placement, images: features.into() }))
    }

    fn resume(
        &self,
        earlier: Box<dyn Sequence>,
        common: usize,
        prompt: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Option<Box<dyn Sequence>> {
        let earlier: Box<dyn Any> = earlier;
        let mut answer = earlier.downcast::<Answer>().ok()?;
        let placement = Arc::new(Placement::new(&prompt.ids, self.image_token));
        let images: Arc<[Arc<Features>]> = features.into();
        // The same places hold the same features; a placeholder that the decoder said itself holds none.
        let places = placement.before(common);
        let place = |images, number| feature(images, number).map(<[f32]>::as_ptr);
        let alike = |number| {
            let known = place(&answer.images, number);
            known.is_some() && known == place(&images, number)
        };
        if answer.placement.before(common) != places || !(0..places.len()).all(alike) {
            return None;
        }
        answer.cache.truncate(common);
        (answer.placement, answer.images) = (placement, images);
        Some(answer)
    }

    fn step(&self, ctx: &Context<'_>, batch: &mut [Step<'_>], scores: &mut [f32]) -> Result<(), ModelError> {
        let shape = [batch.len(), self.info.vocab];
        let scores = ViewMut::new(shape, scores).map_err(|error| ModelError::stage("decoder", error))?;
        // One sequence is the rule, and its steps must not allocate.
        if let [step] = batch {
            let answer = answer_of(step.sequence)?;
            let rows = self.embeddings(ctx, answer, step.ids)?;
            let input = entering(step.ids, rows.as_ref());
            return self
                .decoder
                .step(ctx, &mut [Entering::new(input, &mut answer.cache)], scores)
                .map_err(ModelError::from);
        }
        let mut rows = Vec::with_capacity(batch.len());
        for step in batch.iter_mut() {
            rows.push(self.embeddings(ctx, answer_of(step.sequence)?, step.ids)?);
        }
        let sequences = batch.iter_mut().zip(&rows).map(|(step, rows)| {
            let input = entering(step.ids, rows.as_ref());
            Ok(Entering::new(input, &mut answer_of(step.sequence)?.cache))
        });
        let mut sequences = sequences.collect::<Result<Vec<_>, ModelError>>()?;
        self.decoder.step(ctx, &mut sequences, scores).map_err(ModelError::from)
    }

    fn special(&self, token: u32) -> Special {
        if self.ends.contains(&token) { Special::End } else { Special::None }
    }

    fn trace(
        &self,
        ctx: &Context<'_>,
        images: &[Image],
        parts: &PromptParts<'_>,
        shape: &RequestShape,
        observe: &mut Observe<'_>,
    ) -> Result<Vec<u32>, ModelError> {
        let mut features = Vec::new();
        for image in images {
            let seen = self.see(ctx, image, shape, observe)?;
            features.push(Arc::new(Features::new(seen.rows.shape()[0], 0, seen)));
        }
        let prompt = self.prompt(parts, &features)?;
        let mut sequence = self.begin(ctx, &prompt, &features)?;
        let answer = answer_of(&mut *sequence)?;
        let rows = self.embeddings(ctx, answer, &prompt.ids)?;
        let input = entering(&prompt.ids, rows.as_ref());
        let mut scores = Tensor::zeroed([1, self.info.vocab]);
        let mut layer = 0;
        let mut watch = |x: View<'_, f32, 2>| {
            observe(&format!("decoder.{layer}"), x.data().unwrap_or_default());
            layer += 1;
        };
        let mut batch = [Entering::new(input, &mut answer.cache)];
        self.decoder.step_observed(ctx, &mut batch, scores.view_mut(), &mut watch)?;
        observe("logits", scores.data());
        Ok(prompt.ids)
    }
}

fn entering<'a>(ids: &'a [u32], rows: Option<&'a ScratchTensor<'_, 2>>) -> Input<'a> {
    rows.map_or(Input::Tokens(ids), |rows| Input::Embeddings(rows.view()))
}

fn answer_of(sequence: &mut dyn Sequence) -> Result<&mut Answer, ModelError> {
    let sequence: &mut dyn Any = sequence;
    sequence.downcast_mut().ok_or_else(foreign)
}

fn foreign() -> ModelError {
    ModelError::stage("decoder", "a sequence or features of another family")
}

impl Sequence for Answer {
    fn len(&self) -> usize {
        self.cache.len()
    }

    fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
    }

    fn fork(&self) -> Box<dyn Sequence> {
        let (placement, images) = (Arc::clone(&self.placement), Arc::clone(&self.images));
        Box::new(Answer { cache: self.cache.clone(), placement, images })
    }
}

//! The family: from files to a model, from images and words to scores of tokens.

use std::sync::Arc;

use tiny_vlm_decoder::{Decoder, DecoderStage};
use tiny_vlm_fusion::{PixelShuffle, Placement};
use tiny_vlm_image::Image;
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_text::Tokenizer;
use tiny_vlm_vision::{SiglipTower, VisionError};

use super::config::{Config, GenerationConfig, NAMES, SMOLVLM};
use super::processor::{END_OF_UTTERANCE, Grid, Processor};
use crate::placed::{self, Placing, Rows};
use crate::{
    Family, Features, ImageCost, ModelError, ModelInfo, ModelOptions, Observe, PreparedPrompt, PromptParts,
    RequestShape, Sequence, Source, Special, Step, weigh::weigh,
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
    placing: Placing,
    /// Tokens that end an answer.
    ends: Vec<u32>,
}

/// What was seen in an image: a row for each of its tokens.
struct Seen {
    grid: Grid,
    rows: Rows,
}

/// The features of an image.
fn rows(features: &Features) -> Option<&Rows> {
    features.get::<Seen>().map(|seen| &seen.rows)
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
        let params = options.params(&weights, || options.published_format());
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
        let mut info = weigh(&params).model(ModelInfo::new(SMOLVLM, sizes.vocab, context));
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
            placing: Placing { placeholder: config.image_token_id, rows },
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
        let rows = [plan.tiles() * tile_tokens, self.decoder.hidden()];
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
        let places = Placement::new(&ids, self.placing.placeholder).len();
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
        placed::begin(&self.decoder, self.placing, prompt, features)
    }

    fn resume(
        &self,
        earlier: Box<dyn Sequence>,
        common: usize,
        prompt: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Option<Box<dyn Sequence>> {
        placed::resume(self.placing, earlier, common, prompt, features)
    }

    fn step(&self, ctx: &Context<'_>, batch: &mut [Step<'_>], scores: &mut [f32]) -> Result<(), ModelError> {
        placed::step(&self.decoder, ctx, batch, scores)
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
        placed::trace(&self.decoder, ctx, &mut *sequence, &prompt.ids, observe)?;
        Ok(prompt.ids)
    }
}

fn foreign() -> ModelError {
    ModelError::stage("decoder", "features of another family")
}

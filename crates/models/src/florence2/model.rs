//! Florence-2 as a family: from files to a model, from a question to scores of tokens, from an answer to its places.

use std::sync::Arc;

use tiny_vlm_decoder::{Bart, CrossMemory, DecoderStage, Input, Sequence as Entering};
use tiny_vlm_fusion::{Florence2Projector, Florence2ProjectorConfig, Florence2ProjectorLayout};
use tiny_vlm_image::Image;
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, Tensor, TensorError, View};
use tiny_vlm_text::{DecodeStream, Tokenizer};
use tiny_vlm_vision::{Davit, DavitLayout, DavitStep, SquareProcessor};

use super::config::{self, Florence2Config, MODEL_TYPE, Specials};
use super::parse::{self, Form};
use super::tasks::{self, TASKS};
use crate::{
    Family, Features, ModelError, ModelInfo, ModelOptions, Observe, PreparedPrompt, PromptParts, Region,
    RequestShape, Sequence, Source, Special, Step, Task, remembering, weigh::weigh,
};

/// Parts that four bits are too few for, by the beginnings of their names in either layout: the tower, what leads from
/// it, and what words are looked up in.
const BYTES: [&str; 7] = [
    "model.vision_tower.",
    "vision_tower.",
    "model.multi_modal_projector.",
    "image_projection",
    "model.language_model.shared.",
    "language_model.model.shared.",
    "lm_head.",
];

/// A loaded Florence-2.
pub(crate) struct Florence2 {
    info: ModelInfo,
    tokenizer: Tokenizer,
    specials: Specials,
    /// What stands for the picture in the tokens of a prompt.
    image_token: u32,
    banned: Vec<String>,
    pub(super) processor: SquareProcessor,
    tower: Davit,
    projector: Florence2Projector,
    pub(super) bart: Bart,
    /// Tokens of a picture.
    picture_tokens: usize,
}

/// A picture as the encoder takes it, and the width and height that it has.
pub(super) struct Picture {
    tokens: Tensor<f32, 2>,
    size: [usize; 2],
}

impl Florence2 {
    /// As [`open`](Self::open), as the registry takes it.
    pub(crate) fn load(
        config: &str,
        source: &Source,
        options: &ModelOptions,
    ) -> Result<Arc<dyn Family>, ModelError> {
        Ok(Arc::new(Self::open(config, source, options)?))
    }

    /// Loads a Florence-2 from the files of `source`, the first of which is `config`.
    pub(super) fn open(config: &str, source: &Source, options: &ModelOptions) -> Result<Self, ModelError> {
        let generation = config::generation(config, source)?;
        let config = Florence2Config::parse(config)?;
        let processor = config::processor(source)?;
        let tokenizer = source.open_tokenizer()?;
        let weights = source.weights()?;
        let params = options.params(&weights, || options.published_format());
        let params = BYTES.into_iter().fold(params, |params, part| params.at_least(part, Format::Int8));
        let root = params.root();
        // The original layout keeps everything beside the text; the port, everything but the head below `model`.
        let original = root.contains("vision_tower.convs.0.proj.weight");
        let (base, text, tower_layout, projector_layout) = match original {
            true => {
                let text = root.scope("language_model.model");
                (root.clone(), text, DavitLayout::Original, Florence2ProjectorLayout::Original)
            }
            false => {
                let base = root.scope("model");
                let text = base.scope("language_model");
                (base, text, DavitLayout::Port, Florence2ProjectorLayout::Port)
            }
        };
        let sizes = config.davit();
        let tower = Davit::load(&base.scope("vision_tower"), &sizes, tower_layout)?;
        let bart_sizes = config.bart();
        let bart = Bart::load(&text, &root.scope("language_model"), &bart_sizes)?;
        let bart = bart.with_cache_precision(options.kv_cache);
        let projector_sizes = Florence2ProjectorConfig {
            features: sizes.widths.last().copied().unwrap_or_default(),
            width: bart_sizes.hidden,
            positions: config.positions(),
            times: config.times(),
        };
        let projector_scope = if original { base } else { base.scope("multi_modal_projector") };
        let projector = Florence2Projector::load(&projector_scope, projector_sizes, projector_layout);
        // Tied to the embeddings, as is whatever else a checkpoint has them under.
        params.ignore(|name| name.ends_with("embed_tokens.weight") || name.ends_with("lm_head.weight"));

        let [height, width, _] = tower.output([processor.side(); 2])?;
        let picture_tokens = height * width + 1;
        if height.max(width) > config.positions() || picture_tokens >= bart_sizes.positions {
            return Err(ModelError::config("config.json", format!("no room for a map of {height}x{width}")));
        }
        let mut info =
            weigh(&params).model(ModelInfo::new(MODEL_TYPE, bart_sizes.vocab, bart_sizes.positions));
        info.encoder_context = Some(bart_sizes.positions);
        info.generation = generation;
        info.max_tokens = bart_sizes.positions;
        info.reads = true;
        info.reads_by_answering = true;
        info.locates = true;
        info.english_only = true;
        params.finish().map_err(|error| ModelError::Weights(Box::new(error)))?;
        Ok(Self {
            info,
            tokenizer,
            specials: config.specials(),
            image_token: config.image_token_id.unwrap_or(bart_sizes.vocab as u32),
            banned: config::banned_phrases(source)?,
            processor,
            tower,
            projector,
            bart,
            picture_tokens,
        })
    }

    /// Looks at a picture, showing each stage.
    pub(super) fn see(
        &self,
        ctx: &Context<'_>,
        image: &Image,
        observe: &mut Observe<'_>,
    ) -> Result<Picture, ModelError> {
        let pixels = self.processor.pixels(ctx, image)?;
        observe("pixels", pixels.data());
        let map = self.tower.forward_observed(ctx, pixels.view(), &mut |step, map| {
            let name = match step {
                DavitStep::Patches(stage) => format!("tower.{stage}.conv"),
                DavitStep::Spatial(stage, block) => format!("tower.{stage}.{block}.spatial"),
                DavitStep::Channel(stage, block) => format!("tower.{stage}.{block}.channel"),
            };
            observe(&name, map.data().unwrap_or_default());
        })?;
        drop(pixels);
        let mut tokens = Tensor::try_zeroed([self.picture_tokens, self.projector.width()]).map_err(memory)?;
        let projected = self.projector.forward(ctx, map.view(), tokens.view_mut());
        projected.map_err(|error| ModelError::from_layer("projector", error))?;
        observe("projector", tokens.data());
        Ok(Picture { tokens, size: [image.width(), image.height()] })
    }

    /// What the decoder looks at: the encoder's output for a picture and a question.
    pub(super) fn remember(
        &self,
        ctx: &Context<'_>,
        picture: &Picture,
        encoder_ids: &[u32],
        observe: &mut Observe<'_>,
    ) -> Result<CrossMemory, ModelError> {
        let text = encoder_ids.get(self.picture_tokens..).unwrap_or_default();
        let rows = self.picture_tokens + text.len();
        let mut x = Tensor::try_zeroed([rows, self.bart.hidden()]).map_err(memory)?;
        let (mut pictured, written) = x.view_mut().split_at(0, self.picture_tokens);
        pictured.copy_from(picture.tokens.view()).map_err(|error| ModelError::stage("encoder", error))?;
        self.bart.embed(text, written)?;
        let mut layer = 0;
        self.bart.encode_observed(ctx, x.view_mut(), &mut |x: View<'_, f32, 2>| {
            observe(&format!("encoder.{layer}"), x.data().unwrap_or_default());
            layer += 1;
        })?;
        Ok(self.bart.remember(ctx, x.view())?)
    }

    /// The tokens of a sentence. Places in it are tokens; whatever else looks like one is text.
    fn encode_sentence(&self, sentence: &str, ids: &mut Vec<u32>) {
        const PLACE: &str = "<loc_";
        let (mut text, mut at) = (0, 0);
        while let Some(start) = sentence[at..].find(PLACE).map(|length| at + length) {
            let end = sentence[start..].find('>').map_or(sentence.len(), |length| start + length + 1);
            match self.tokenizer.token_id(&sentence[start..end]) {
                Some(place) => {
                    self.tokenizer.encode_into(&sentence[text..start], ids);
                    ids.push(place);
                    (text, at) = (end, end);
                }
                None => at = start + PLACE.len(),
            }
        }
        self.tokenizer.encode_into(&sentence[text..], ids);
    }
}

fn memory(error: TensorError) -> ModelError {
    ModelError::from_layer("vision", error.into())
}

impl Family for Florence2 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Places are shown: they are what most answers say.
    fn decode_stream(&self) -> DecodeStream {
        self.tokenizer.decode_stream().with_specials()
    }

    fn encode(&self, ctx: &Context<'_>, image: &Image, _: &RequestShape) -> Result<Features, ModelError> {
        let picture = self.see(ctx, image, &mut |_, _| ())?;
        let bytes = size_of_val(picture.tokens.data());
        Ok(Features::new(self.picture_tokens, bytes, picture))
    }

    fn prompt(&self, parts: &PromptParts<'_>, _: &[Arc<Features>]) -> Result<PreparedPrompt, ModelError> {
        let question = match parts.task {
            Task::Question(question) => question,
            Task::Caption(_) => tasks::CAPTION,
            Task::Detect => tasks::DETECT,
            Task::Read => tasks::READ,
        };
        let (task, sentence) = tasks::prepare(question).map_err(|token| ModelError::TaskAlone { token })?;
        let mut ids = vec![self.image_token; self.picture_tokens];
        ids.push(self.specials.begin);
        self.encode_sentence(&sentence, &mut ids);
        ids.push(self.specials.end);
        let mut prompt = PreparedPrompt::of_ids(vec![self.specials.start]);
        prompt.image_ids = self.picture_tokens;
        prompt.encoder_ids = ids;
        // Tasks count from 1: a question without one has none.
        let number = task.and_then(|task| TASKS.iter().position(|known| known == task));
        prompt.tag = number.map_or(0, |number| number as u32 + 1);
        Ok(prompt)
    }

    fn begin(
        &self,
        ctx: &Context<'_>,
        prompt: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Result<Box<dyn Sequence>, ModelError> {
        let picture = features.first().and_then(|features| features.get::<Picture>());
        let picture = picture.ok_or_else(|| ModelError::stage("encoder", "no features of a picture"))?;
        let memory = self.remember(ctx, picture, &prompt.encoder_ids, &mut |_, _| ())?;
        Ok(remembering::begin(&self.bart, memory))
    }

    fn step(&self, ctx: &Context<'_>, batch: &mut [Step<'_>], scores: &mut [f32]) -> Result<(), ModelError> {
        remembering::step(&self.bart, ctx, batch, scores)
    }

    fn special(&self, token: u32) -> Special {
        match token {
            token if token == self.specials.end => Special::End,
            token if token == self.specials.begin || token == self.specials.padding => Special::Silent,
            _ => Special::None,
        }
    }

    fn regions(&self, prompt: &PreparedPrompt, features: &[Arc<Features>], answer: &str) -> Vec<Region> {
        let task = (prompt.tag as usize).checked_sub(1).and_then(|number| TASKS.get(number));
        let picture = features.first().and_then(|features| features.get::<Picture>());
        match (task, picture) {
            (Some(task), Some(picture)) if task.form != Form::Text => {
                parse::regions(task.form, answer, picture.size, &self.banned)
            }
            _ => Vec::new(),
        }
    }

    fn trace(
        &self,
        ctx: &Context<'_>,
        images: &[Image],
        parts: &PromptParts<'_>,
        _: &RequestShape,
        observe: &mut Observe<'_>,
    ) -> Result<Vec<u32>, ModelError> {
        let [image] = images else { return Err(ModelError::stage("trace", "one image is looked at")) };
        let picture = self.see(ctx, image, observe)?;
        let prompt = self.prompt(parts, &[])?;
        let memory = self.remember(ctx, &picture, &prompt.encoder_ids, observe)?;
        let mut cache = self.bart.new_cache();
        let mut batch = [Entering::new(Input::Tokens(&prompt.ids), &mut cache).with_memory(&memory)];
        let mut scores = Tensor::zeroed([1, self.info.vocab]);
        let mut layer = 0;
        self.bart.step_observed(ctx, &mut batch, scores.view_mut(), &mut |x: View<'_, f32, 2>| {
            observe(&format!("decoder.{layer}"), x.data().unwrap_or_default());
            layer += 1;
        })?;
        observe("logits", scores.data());
        Ok(prompt.encoder_ids)
    }
}

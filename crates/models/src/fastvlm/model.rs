//! FastVLM as a family: from files to a model, from a picture and a question to scores of tokens.

use std::sync::Arc;

use tiny_vlm_decoder::{Decoder, DecoderStage, Names};
use tiny_vlm_fusion::MlpProjector;
use tiny_vlm_image::Image;
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, Tensor, View};
use tiny_vlm_text::Tokenizer;
use tiny_vlm_vision::{FastVit, SquareProcessor, VisionError};
use tiny_vlm_weights::Params;

use super::config::{Config, Ids, Layout};
use super::processor::processor;
use super::prompt::Conversation;
use crate::chat::chat_template;
use crate::placed::{self, Placing, Rows};
use crate::weigh::weigh;
use crate::{
    Family, Features, ImageCost, ModelError, ModelInfo, ModelOptions, Observe, PreparedPrompt, PromptParts,
    RequestShape, Sequence, Source, Special, Step,
};

/// Most images of a conversation.
const MAX_IMAGES: usize = 16;

/// Parts that eight bits are too few for, by the beginnings of their names: what sees the pixels themselves.
const EXACT: [&str; 2] =
    ["model.vision_tower.timm_model.stem.0", "model.vision_tower.vision_tower.model.patch_embed.0"];
/// Parts that four bits are too few for.
const BYTES: [&str; 6] = [
    "model.vision_tower.",
    "model.multi_modal_projector.",
    "model.mm_projector.",
    "model.language_model.embed_tokens.",
    "model.embed_tokens.",
    "lm_head.",
];

/// A loaded FastVLM.
pub(crate) struct FastVlm {
    info: ModelInfo,
    tokenizer: Tokenizer,
    conversation: Conversation,
    processor: SquareProcessor,
    tower: FastVit,
    projector: MlpProjector,
    decoder: Decoder,
    placing: Placing,
    ends: Vec<u32>,
}

#[derive(serde::Deserialize)]
struct Generation {
    eos_token_id: Option<Ids>,
}

impl FastVlm {
    /// Loads FastVLM from the files of `source`, the first of which is `config`.
    pub(crate) fn load(
        config: &str,
        source: &Source,
        options: &ModelOptions,
    ) -> Result<Arc<dyn Family>, ModelError> {
        let config = Config::parse(config)?;
        let processor = processor(source, &config)?;
        let tokenizer = source.open_tokenizer()?;
        let conversation = match config.layout {
            Layout::Port => Conversation::Template(Box::new(chat_template(source, TEMPLATE)?)),
            Layout::Apple => Conversation::Apple,
        };
        let generation: Option<Generation> = source.optional_json("generation_config.json")?;
        let ends = generation.and_then(|generation| generation.eos_token_id);
        let ends = ends.map_or_else(|| config.ends.clone(), |ids| ids.to_vec());
        let weights = source.weights()?;
        let params = options.params(&weights, || options.published_format());
        let params = BYTES.into_iter().fold(params, |params, part| params.at_least(part, Format::Int8));
        let params = EXACT.into_iter().fold(params, |params, part| params.at_least(part, Format::F16));
        // Counters of training, the head of the tower's own, and a head that is the table of embeddings again.
        let head = format!("{}.head.", config.layout.tower());
        params.ignore(|name| name.ends_with(".num_batches_tracked") || name.starts_with(&head));
        if config.decoder.tied {
            params.ignore(|name| name == "lm_head.weight");
        }
        let networks = Networks::load(&params, &config);
        let mut info = weigh(&params).model(ModelInfo::new("fastvlm", config.decoder.vocab, config.context));
        params.finish().map_err(|error| ModelError::Weights(Box::new(error)))?;
        let Networks { tower, projector, decoder } = networks?;
        info.max_images = MAX_IMAGES;
        info.converses = true;
        let decoder = decoder.with_cache_precision(options.kv_cache);
        let placing = Placing { placeholder: config.image_token, rows: Features::get::<Rows> };
        let model =
            Self { info, tokenizer, conversation, processor, tower, projector, decoder, placing, ends };
        Ok(Arc::new(model))
    }

    /// The features of a picture, at the decoder's width.
    fn look(&self, ctx: &Context<'_>, image: &Image, observe: &mut Observe<'_>) -> Result<Rows, VisionError> {
        let pixels = self.processor.pixels(ctx, image)?;
        observe("pixels", pixels.data());
        let mut stage = 0;
        let mut watch = |x: View<'_, f32, 3>| {
            observe(&format!("vision.{stage}"), x.data().unwrap_or_default());
            stage += 1;
        };
        let features = self.tower.features_observed(ctx, pixels.view(), &mut watch)?;
        let [height, width, channels] = features.shape();
        let features = features.reshape([height * width, channels])?;
        let mut rows = Tensor::try_zeroed([height * width, self.decoder.hidden()])?;
        self.projector.forward(ctx, features.view(), rows.view_mut())?;
        observe("projector", rows.data());
        Ok(rows)
    }
}

/// What the weights make.
struct Networks {
    tower: FastVit,
    projector: MlpProjector,
    decoder: Decoder,
}

impl Networks {
    fn load(params: &Params<'_>, config: &Config) -> Result<Self, ModelError> {
        let (root, layout) = (params.root(), config.layout);
        let projector = layout.projector().map(|name| root.scope(name));
        let (features, width) = (config.tower.features(), config.decoder.hidden);
        // All three are asked for whatever is wrong with any of them, so that the report is complete.
        let tower = FastVit::load(&root.scope(layout.tower()), &config.tower);
        let decoder = Decoder::load(&root.scope(layout.decoder()), &root, &config.decoder, &Names::LLAMA)?;
        let projector = MlpProjector::load(projector, features, width, config.projector_bias);
        Ok(Self { tower: tower?, projector: projector.map_err(VisionError::from)?, decoder })
    }
}

/// The port's template, for checkpoints that left it out.
const TEMPLATE: &str = "{% for message in messages %}\
    {% if loop.first %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}\
    {{ '<|im_start|>' + message['role'] + '\\n' }}\
    {% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}\
    {% for part in message['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}{% endfor %}\
    {{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

impl Family for FastVlm {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn image_cost(&self, _: [usize; 2], _: &RequestShape) -> Option<ImageCost> {
        let side = self.processor.side().div_ceil(self.tower.config().stride());
        Some(ImageCost { tiles: 1, tokens: side * side })
    }

    fn encode(&self, ctx: &Context<'_>, image: &Image, _: &RequestShape) -> Result<Features, ModelError> {
        let rows = self.look(ctx, image, &mut |_, _| ())?;
        let ([tokens, _], bytes) = (rows.shape(), size_of_val(rows.data()));
        Ok(Features::new(tokens, bytes, rows))
    }

    fn prompt(
        &self,
        parts: &PromptParts<'_>,
        features: &[Arc<Features>],
    ) -> Result<PreparedPrompt, ModelError> {
        let rows = features.iter().map(|image| image.tokens);
        let ids = self.conversation.ids(&self.tokenizer, parts, self.placing.placeholder, rows)?;
        let mut prompt = PreparedPrompt::of_ids(ids);
        prompt.image_ids = features.iter().map(|image| image.tokens).sum();
        Ok(prompt)
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
        _: &RequestShape,
        observe: &mut Observe<'_>,
    ) -> Result<Vec<u32>, ModelError> {
        let mut features = Vec::new();
        for image in images {
            let rows = self.look(ctx, image, observe)?;
            features.push(Arc::new(Features::new(rows.shape()[0], size_of_val(rows.data()), rows)));
        }
        let prompt = self.prompt(parts, &features)?;
        let mut sequence = self.begin(ctx, &prompt, &features)?;
        placed::trace(&self.decoder, ctx, &mut *sequence, &prompt.ids, observe)?;
        Ok(prompt.ids)
    }
}

//! What Florence-2's files say: sizes, tokens, the picture's processing, how tokens are chosen.

use serde::Deserialize;
use serde_json::Value;
use tiny_vlm_decoder::BartConfig;
use tiny_vlm_image::Filter;
use tiny_vlm_vision::{DavitConfig, Fit, Middle, Normalize, SquareProcessor};

use crate::{EarlyStopping, Generation, ModelError, Source};

/// The `model_type` of Florence-2's configurations, in either layout.
pub(crate) const MODEL_TYPE: &str = "florence2";

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

/// `config.json`; what it does not say is as in the published base model.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Florence2Config {
    vision_config: Vision,
    text_config: Text,
    /// What stands in a prompt for the picture; the original layout has no token for it.
    pub(super) image_token_id: Option<u32>,
}

/// The tower, by the names of either layout.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Vision {
    depths: Vec<usize>,
    patch_size: Vec<usize>,
    patch_stride: Vec<usize>,
    patch_padding: Vec<usize>,
    patch_prenorm: Vec<bool>,
    #[serde(alias = "dim_embed")]
    embed_dim: Vec<usize>,
    num_heads: Vec<usize>,
    num_groups: Vec<usize>,
    window_size: usize,
    mlp_ratio: f64,
    qkv_bias: bool,
    activation_function: String,
    in_channels: usize,
    projection_dim: usize,
    max_temporal_embeddings: usize,
    max_position_embeddings: usize,
    visual_temporal_embedding: Option<OriginalTimes>,
    image_pos_embed: Option<OriginalPositions>,
}

#[derive(Clone, Debug, Deserialize)]
struct OriginalTimes {
    max_temporal_embeddings: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct OriginalPositions {
    max_pos_embeddings: usize,
}

impl Default for Vision {
    fn default() -> Self {
        Self {
            depths: vec![1, 1, 9, 1],
            patch_size: vec![7, 3, 3, 3],
            patch_stride: vec![4, 2, 2, 2],
            patch_padding: vec![3, 1, 1, 1],
            patch_prenorm: vec![false, true, true, true],
            embed_dim: vec![128, 256, 512, 1024],
            num_heads: vec![4, 8, 16, 32],
            num_groups: vec![4, 8, 16, 32],
            window_size: 12,
            mlp_ratio: 4.0,
            qkv_bias: true,
            activation_function: "gelu".to_owned(),
            in_channels: 3,
            projection_dim: 768,
            max_temporal_embeddings: 100,
            max_position_embeddings: 50,
            visual_temporal_embedding: None,
            image_pos_embed: None,
        }
    }
}

/// The encoder and decoder of text.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Text {
    vocab_size: usize,
    d_model: usize,
    encoder_layers: usize,
    decoder_layers: usize,
    encoder_attention_heads: usize,
    decoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_ffn_dim: usize,
    max_position_embeddings: usize,
    scale_embedding: bool,
    activation_function: String,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    decoder_start_token_id: Option<u32>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            vocab_size: 51_289,
            d_model: 768,
            encoder_layers: 6,
            decoder_layers: 6,
            encoder_attention_heads: 12,
            decoder_attention_heads: 12,
            encoder_ffn_dim: 3072,
            decoder_ffn_dim: 3072,
            max_position_embeddings: 1024,
            scale_embedding: false,
            activation_function: "gelu".to_owned(),
            bos_token_id: None,
            eos_token_id: None,
            pad_token_id: None,
            decoder_start_token_id: None,
        }
    }
}

/// Tokens that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Specials {
    /// Begins a text.
    pub(super) begin: u32,
    /// Ends it.
    pub(super) end: u32,
    /// Fills up a batch.
    pub(super) padding: u32,
    /// What the decoder begins with.
    pub(super) start: u32,
}

impl Florence2Config {
    /// Reads a `config.json` and checks what the stages do not check themselves.
    pub(super) fn parse(json: &str) -> Result<Self, ModelError> {
        let wrong = |detail: String| Err(ModelError::config(CONFIG, detail));
        let config: Self = serde_json::from_str(json).or_else(|error| wrong(error.to_string()))?;
        let (vision, text) = (&config.vision_config, &config.text_config);
        for activation in [&vision.activation_function, &text.activation_function] {
            if activation != "gelu" {
                return wrong(format!("activation {activation:?}, only \"gelu\" is known"));
            }
        }
        if vision.in_channels != 3 {
            return wrong(format!("pictures of {} colours, not 3", vision.in_channels));
        }
        if vision.projection_dim != text.d_model {
            let (tokens, text) = (vision.projection_dim, text.d_model);
            return wrong(format!("a picture's tokens of {tokens} values beside a text's of {text}"));
        }
        for (name, size) in [("moments", config.times()), ("positions", config.positions())] {
            if !(1..=1 << 13).contains(&size) {
                return wrong(format!("{size} {name} of a picture, outside 1..=8192"));
            }
        }
        let Specials { begin, end, padding, start } = config.specials();
        if let Some(id) = [begin, end, padding, start].into_iter().find(|&id| id as usize >= text.vocab_size)
        {
            return wrong(format!("token {id} is not in a vocabulary of {}", text.vocab_size));
        }
        Ok(config)
    }

    /// The tower's sizes.
    pub(super) fn davit(&self) -> DavitConfig {
        let vision = self.vision_config.clone();
        DavitConfig {
            widths: vision.embed_dim,
            depths: vision.depths,
            heads: vision.num_heads,
            groups: vision.num_groups,
            patch_sizes: vision.patch_size,
            patch_strides: vision.patch_stride,
            patch_paddings: vision.patch_padding,
            patch_prenorms: vision.patch_prenorm,
            window: vision.window_size,
            mlp_ratio: vision.mlp_ratio,
            qkv_bias: vision.qkv_bias,
        }
    }

    /// The text's sizes.
    pub(super) fn bart(&self) -> BartConfig {
        let text = &self.text_config;
        BartConfig {
            vocab: text.vocab_size,
            hidden: text.d_model,
            layers: [text.encoder_layers, text.decoder_layers],
            heads: [text.encoder_attention_heads, text.decoder_attention_heads],
            ffn: [text.encoder_ffn_dim, text.decoder_ffn_dim],
            positions: text.max_position_embeddings,
            scaled_embeddings: text.scale_embedding,
        }
    }

    /// Moments of a film that there are embeddings for.
    pub(super) fn times(&self) -> usize {
        let vision = &self.vision_config;
        let original = vision.visual_temporal_embedding.as_ref();
        original.map_or(vision.max_temporal_embeddings, |original| original.max_temporal_embeddings)
    }

    /// Rows and columns of a map that there are embeddings for.
    pub(super) fn positions(&self) -> usize {
        let vision = &self.vision_config;
        let original = vision.image_pos_embed.as_ref();
        original.map_or(vision.max_position_embeddings, |original| original.max_pos_embeddings)
    }

    pub(super) fn specials(&self) -> Specials {
        let text = &self.text_config;
        Specials {
            begin: text.bos_token_id.unwrap_or(0),
            end: text.eos_token_id.unwrap_or(2),
            padding: text.pad_token_id.unwrap_or(1),
            start: text.decoder_start_token_id.unwrap_or(2),
        }
    }
}

/// How tokens are chosen: as published, unless `config.json` says otherwise, or `generation_config.json`, which counts
/// most.
pub(super) fn generation(config: &str, source: &Source) -> Result<Generation, ModelError> {
    const FILE: &str = "generation_config.json";
    let published = Generation {
        num_beams: 3,
        early_stopping: EarlyStopping::Always,
        no_repeat_ngram_size: 3,
        forced_first: Some(0),
        forced_last: Some(2),
        ..Generation::default()
    };
    let parse = |file, bytes: &[u8]| -> Result<Value, ModelError> {
        serde_json::from_slice(bytes).map_err(|error| ModelError::config(file, error.to_string()))
    };
    let config = parse(CONFIG, config.as_bytes())?;
    let made = published.with(CONFIG, &config["text_config"])?.with(CONFIG, &config)?;
    match source.optional(FILE)? {
        Some(bytes) => made.with(FILE, &parse(FILE, &bytes)?),
        None => Ok(made),
    }
}

/// `preprocessor_config.json`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Preprocessor {
    size: Size,
    resample: u32,
    do_resize: bool,
    do_center_crop: bool,
    do_rescale: bool,
    rescale_factor: f64,
    do_normalize: bool,
    image_mean: [f64; 3],
    image_std: [f64; 3],
}

#[derive(Debug, Deserialize)]
struct Size {
    height: usize,
    width: usize,
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self {
            size: Size { height: 768, width: 768 },
            resample: 3,
            do_resize: true,
            do_center_crop: false,
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
        }
    }
}

/// How pictures become pixels: as published, unless `preprocessor_config.json` says otherwise.
pub(super) fn processor(source: &Source) -> Result<SquareProcessor, ModelError> {
    let wrong = |detail: String| ModelError::config(PREPROCESSOR, detail);
    let said: Preprocessor = match source.optional(PREPROCESSOR)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?,
        None => Preprocessor::default(),
    };
    let Size { height, width } = said.size;
    if height != width || !said.do_resize || said.do_center_crop {
        return Err(wrong(format!(
            "pictures are stretched to a square, and this says {width}x{height}, resized {}, cropped {}",
            said.do_resize, said.do_center_crop
        )));
    }
    let filter = match said.resample {
        0 => Filter::Nearest,
        1 => Filter::Lanczos,
        2 => Filter::Bilinear,
        3 => Filter::Bicubic,
        4 => Filter::Box,
        other => return Err(wrong(format!("resample is {other}, outside 0..=4"))),
    };
    let (mean, deviation) = match said.do_normalize {
        true => (said.image_mean, said.image_std),
        false => ([0.0; 3], [1.0; 3]),
    };
    let scale = if said.do_rescale { said.rescale_factor } else { 1.0 };
    let normalize = Normalize { scale, mean, deviation };
    SquareProcessor::new(height, Fit::Stretch(height), filter, Middle::Lower, &normalize)
        .map_err(|error| wrong(error.to_string()))
}

/// Phrases that name nothing, of `processor_config.json`.
pub(super) fn banned_phrases(source: &Source) -> Result<Vec<String>, ModelError> {
    const FILE: &str = "processor_config.json";
    let Some(bytes) = source.optional(FILE)? else { return Ok(PUBLISHED_BANNED.map(str::to_owned).to_vec()) };
    let json: Value =
        serde_json::from_slice(&bytes).map_err(|error| ModelError::config(FILE, error.to_string()))?;
    match &json["post_processor_config"]["phrase_grounding"]["banned_grounding_tokens"] {
        Value::Null => Ok(PUBLISHED_BANNED.map(str::to_owned).to_vec()),
        listed => serde_json::from_value(listed.clone())
            .map_err(|error| ModelError::config(FILE, format!("banned_grounding_tokens: {error}"))),
    }
}

/// The phrases that the published models' processors ban.
#[rustfmt::skip]
const PUBLISHED_BANNED: [&str; 72] = [
    "it", "I", "me", "mine", "you", "your", "yours", "he", "him", "his", "she", "her", "hers", "they", "them",
    "their", "theirs", "one", "oneself", "we", "us", "our", "ours", "its", "myself", "yourself", "himself",
    "herself", "itself", "ourselves", "yourselves", "themselves", "this", "that", "these", "those", "who",
    "whom", "whose", "which", "what", "all", "another", "any", "anybody", "anyone", "anything", "each",
    "everybody", "everyone", "everything", "few", "many", "nobody", "none", "several", "some", "somebody",
    "someone", "something", "each other", "one another", "the image", "image", "images", "the", "a", "an",
    "a group", "other objects", "lots", "a set",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_published() {
        let config = Florence2Config::parse(r#"{"vision_config": {}, "text_config": {}}"#).unwrap();
        assert!(config.davit().check().is_ok() && config.bart().check().is_ok());
        assert_eq!((config.times(), config.positions(), config.image_token_id), (100, 50, None));
        assert_eq!(config.specials(), Specials { begin: 0, end: 2, padding: 1, start: 2 });
        let source = Source::bytes("", b"".as_slice(), b"".as_slice());
        assert_eq!(processor(&source).unwrap().side(), 768);
        let text = r#"{"text_config": {"num_beams": 5}, "length_penalty": 2.0}"#;
        let generation = generation(text, &source).unwrap();
        assert_eq!((generation.num_beams, generation.length_penalty), (5, 2.0));
        assert_eq!((generation.no_repeat_ngram_size, generation.forced_last), (3, Some(2)));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let error = |vision: &str, text: &str| {
            let config = format!(r#"{{"vision_config": {vision}, "text_config": {text}}}"#);
            Florence2Config::parse(&config).unwrap_err().to_string()
        };
        assert!(error(r#"{"activation_function": "relu"}"#, "{}").contains("relu"));
        assert!(error(r#"{"projection_dim": 7}"#, "{}").contains("7 values beside"));
        assert!(error(r#"{"max_position_embeddings": 0}"#, "{}").contains("0 positions"));
        assert!(error("{}", r#"{"vocab_size": 2}"#).contains("token 2"));
        assert!(error("3", "{}").contains("vision_config") || error("3", "{}").contains("invalid type"));
    }
}

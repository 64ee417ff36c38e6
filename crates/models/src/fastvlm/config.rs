//! What `config.json` says, in either layout.

use serde::Deserialize;
use tiny_vlm_decoder::{DecoderConfig, Multipliers};
use tiny_vlm_vision::{FastVitConfig, FastVitSizes};

use crate::ModelError;

/// The `model_type` of the port to `transformers`.
pub(crate) const PORT: &str = "fast_vlm";
/// The `model_type` of Apple's checkpoints.
pub(crate) const APPLE: &str = "llava_qwen2";

/// The token that features take the place of where a configuration names none: the first behind Qwen2's own.
const IMAGE_TOKEN: u32 = 151_646;

/// How a checkpoint is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Port,
    Apple,
}

impl Layout {
    /// Where the tower is.
    pub(super) fn tower(self) -> &'static str {
        match self {
            Self::Port => "model.vision_tower.timm_model",
            Self::Apple => "model.vision_tower.vision_tower.model",
        }
    }

    /// Where the maps of the projector are.
    pub(super) fn projector(self) -> [&'static str; 2] {
        match self {
            Self::Port => ["model.multi_modal_projector.linear_1", "model.multi_modal_projector.linear_2"],
            Self::Apple => ["model.mm_projector.0", "model.mm_projector.2"],
        }
    }

    /// Where the decoder is.
    pub(super) fn decoder(self) -> &'static str {
        match self {
            Self::Port => "model.language_model",
            Self::Apple => "model",
        }
    }
}

/// Sizes of the networks and rules of the prompt.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) layout: Layout,
    pub(super) tower: FastVitConfig,
    pub(super) projector_bias: bool,
    pub(super) decoder: DecoderConfig,
    /// Tokens that the decoder has room for.
    pub(super) context: usize,
    pub(super) image_token: u32,
    /// Tokens that end an answer, where `generation_config.json` names none.
    pub(super) ends: Vec<u32>,
    /// Sides of the square that a picture becomes, where `preprocessor_config.json` does not say.
    pub(super) side: Option<usize>,
    /// Whether a picture is padded to a square.
    pub(super) pads: bool,
}

#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

#[derive(Deserialize)]
struct Port {
    vision_config: Wrapped,
    text_config: Text,
    #[serde(alias = "image_token_id")]
    image_token_index: Option<u32>,
    projector_hidden_act: Option<String>,
    multimodal_projector_bias: Option<bool>,
    vision_feature_layer: Option<serde_json::Value>,
    vision_feature_select_strategy: Option<String>,
    #[serde(default)]
    tie_word_embeddings: bool,
}

/// A tower of `timm`.
#[derive(Deserialize)]
struct Wrapped {
    architecture: String,
    model_args: Option<FastVitSizes>,
}

#[derive(Deserialize)]
struct Apple {
    #[serde(flatten)]
    text: Text,
    mm_vision_tower: String,
    mm_projector_type: Option<String>,
    image_aspect_ratio: Option<String>,
    #[serde(default)]
    mm_use_im_start_end: bool,
    /// Sizes of the tower that are not the published ones.
    vision_config: Option<FastVitSizes>,
}

/// Qwen2. What is left out is as `transformers` has it.
#[derive(Deserialize)]
struct Text {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    eos_token_id: Option<Ids>,
}

/// Rotary positions, as older and newer files say them.
#[derive(Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
}

/// One token or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Ids {
    One(u32),
    Several(Vec<u32>),
}

impl Ids {
    pub(super) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![*id],
            Self::Several(ids) => ids.clone(),
        }
    }
}

impl Config {
    /// Reads a `config.json` and checks what the networks do not check themselves.
    pub(super) fn parse(json: &str) -> Result<Self, ModelError> {
        let kind: Kind = read(json)?;
        let config = match kind.model_type.as_str() {
            APPLE => Self::apple(read(json)?)?,
            _ => Self::port(read(json)?)?,
        };
        config.tower.check().map_err(|error| wrong(error.to_string()))?;
        Ok(config)
    }

    fn port(port: Port) -> Result<Self, ModelError> {
        only("projector_hidden_act", port.projector_hidden_act.as_deref(), "gelu")?;
        only("vision_feature_select_strategy", port.vision_feature_select_strategy.as_deref(), "full")?;
        if port.vision_feature_layer.is_some_and(|layer| layer != -1) {
            return Err(wrong("vision_feature_layer: only the last, -1, is supported"));
        }
        let sizes = port.vision_config.model_args.unwrap_or_default();
        Ok(Self {
            layout: Layout::Port,
            tower: tower(&port.vision_config.architecture, &sizes)?,
            projector_bias: port.multimodal_projector_bias.unwrap_or(true),
            context: port.text_config.context(),
            image_token: port.image_token_index.unwrap_or(IMAGE_TOKEN),
            ends: port.text_config.ends(),
            side: None,
            pads: false,
            decoder: port.text_config.decoder(port.tie_word_embeddings)?,
        })
    }

    fn apple(apple: Apple) -> Result<Self, ModelError> {
        only("mm_projector_type", apple.mm_projector_type.as_deref(), "mlp2x_gelu")?;
        if apple.mm_use_im_start_end {
            return Err(wrong("mm_use_im_start_end is not supported"));
        }
        // The tower's name ends in the sides of the pictures that it takes.
        let named = apple.mm_vision_tower.rsplit_once('_');
        let named = named.and_then(|(name, side)| Some((name, side.parse::<usize>().ok()?)));
        let Some(("mobileclip_l", side)) = named else {
            let name = short(&apple.mm_vision_tower);
            return Err(wrong(format!("mm_vision_tower {name:?} is not supported, only mobileclip_l_SIDE")));
        };
        let pads = match apple.image_aspect_ratio.as_deref() {
            Some("pad") => true,
            None | Some("square") => false,
            Some(other) => {
                let other = short(other);
                return Err(wrong(format!(
                    "image_aspect_ratio {other:?} is not supported, only pad and square"
                )));
            }
        };
        Ok(Self {
            layout: Layout::Apple,
            tower: tower("fastvit_mci3", &apple.vision_config.unwrap_or_default())?,
            projector_bias: true,
            context: apple.text.context(),
            // Not a token of these checkpoints: none of them is ever looked up in its place.
            image_token: u32::try_from(apple.text.vocab_size)
                .map_err(|_| wrong("vocab_size is too large"))?,
            ends: apple.text.ends(),
            side: Some(side),
            pads,
            decoder: apple.text.decoder(false)?,
        })
    }
}

impl Text {
    fn decoder(&self, tied: bool) -> Result<DecoderConfig, ModelError> {
        only("hidden_act", self.hidden_act.as_deref(), "silu")?;
        if self.use_sliding_window {
            return Err(wrong("use_sliding_window is not supported"));
        }
        for rope in self.rope_scaling.iter().chain(&self.rope_parameters) {
            only("rope_type", rope.rope_type.as_deref(), "default")?;
        }
        let theta = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        Ok(DecoderConfig {
            vocab: self.vocab_size,
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(32),
            head_dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1)),
            ffn: self.intermediate_size,
            rope_theta: self.rope_theta.or(theta).unwrap_or(10_000.0),
            rms_eps: self.rms_norm_eps.unwrap_or(1e-6),
            tied: tied || self.tie_word_embeddings,
            qkv_bias: true,
            cross_attention: false,
            multipliers: Multipliers::default(),
        })
    }

    fn context(&self) -> usize {
        self.max_position_embeddings.unwrap_or(32_768)
    }

    fn ends(&self) -> Vec<u32> {
        self.eos_token_id.as_ref().map(Ids::to_vec).unwrap_or_default()
    }
}

fn tower(architecture: &str, sizes: &FastVitSizes) -> Result<FastVitConfig, ModelError> {
    FastVitConfig::named(architecture, sizes).map_err(|error| wrong(error.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, ModelError> {
    serde_json::from_str(json).map_err(|error| wrong(error.to_string()))
}

/// An error if a field has another value than the one that is supported.
fn only(field: &str, found: Option<&str>, supported: &str) -> Result<(), ModelError> {
    match found {
        Some(other) if other != supported => {
            let other = short(other);
            Err(wrong(format!("{field} {other:?} is not supported, only {supported:?}")))
        }
        _ => Ok(()),
    }
}

fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

fn wrong(detail: impl Into<String>) -> ModelError {
    ModelError::config("config.json", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apple's 0.5B says, as far as it is read.
    const APPLE_05B: &str = r#"{
        "architectures": ["LlavaQwen2ForCausalLM"], "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu",
        "hidden_size": 896, "image_aspect_ratio": "pad", "intermediate_size": 4864, "max_position_embeddings": 32768,
        "max_window_layers": 24, "mm_hidden_size": 3072, "mm_patch_merge_type": "flat", "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_start_end": false, "mm_vision_tower": "mobileclip_l_1024", "model_type": "llava_qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false,
        "vocab_size": 151936
    }"#;

    /// The same of the port.
    const PORT_05B: &str = r#"{
        "model_type": "fast_vlm", "image_seq_length": 256, "image_token_index": 151646, "projector_hidden_act": "gelu",
        "multimodal_projector_bias": true, "vision_feature_layer": -1, "vision_feature_select_strategy": "full",
        "vision_config": {"model_type": "timm_wrapper", "architecture": "fastvit_mci3", "model_args": {"inference_mode": true}},
        "text_config": {
            "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
            "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 152000, "rms_norm_eps": 1e-06,
            "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "tie_word_embeddings": true
        }
    }"#;

    fn with(json: &str, pointer: &str, value: serde_json::Value) -> Result<Config, String> {
        let mut json: serde_json::Value = serde_json::from_str(json).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[key] = value;
        Config::parse(&json.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_layouts_describe_the_same_networks() {
        let apple = Config::parse(APPLE_05B).unwrap();
        let port = Config::parse(PORT_05B).unwrap();
        assert_eq!(apple.tower, port.tower);
        assert_eq!(apple.decoder, DecoderConfig { vocab: 151_936, ..port.decoder.clone() });
        assert!(apple.decoder.check().is_ok() && apple.decoder.tied && apple.decoder.qkv_bias);
        assert_eq!((apple.decoder.head_dim, apple.decoder.rope_theta), (64, 1e6));
        assert_eq!((apple.side, apple.pads, port.side, port.pads), (Some(1024), true, None, false));
        assert_eq!((apple.image_token, port.image_token), (151_936, 151_646));
        assert_eq!((apple.ends, port.ends, port.context), (vec![151_645], vec![], 32_768));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let apple =
            |key: &str, value: serde_json::Value| with(APPLE_05B, &format!("/{key}"), value).unwrap_err();
        assert!(apple("mm_vision_tower", "openai/clip-vit".into()).contains("openai/clip-vit"));
        assert!(apple("mm_vision_tower", "mobileclip_l_wide".into()).contains("mobileclip_l_wide"));
        assert!(apple("mm_projector_type", "linear".into()).contains("linear"));
        assert!(apple("image_aspect_ratio", "anyres".into()).contains("anyres"));
        assert!(apple("mm_use_im_start_end", true.into()).contains("mm_use_im_start_end"));
        assert!(apple("use_sliding_window", true.into()).contains("use_sliding_window"));
        assert!(apple("rope_scaling", serde_json::json!({"type": "yarn"})).contains("yarn"));
        assert!(apple("vision_config", serde_json::json!({"image_size": 3})).contains("image_size"));
        let port =
            |key: &str, value: serde_json::Value| with(PORT_05B, &format!("/{key}"), value).unwrap_err();
        assert!(port("vision_config/architecture", "resnet50".into()).contains("resnet50"));
        assert!(port("vision_feature_layer", 3.into()).contains("vision_feature_layer"));
        assert!(port("projector_hidden_act", "relu".into()).contains("relu"));
        assert!(port("text_config/hidden_size", (-1).into()).contains("config.json"));
    }
}

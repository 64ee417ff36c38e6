//! What `config.json` and `generation_config.json` say.

use serde::Deserialize;
use tiny_vlm_decoder::{DecoderConfig, Multipliers, Names};
use tiny_vlm_vision::SiglipConfig;

use crate::ModelError;

/// The `model_type` of SmolVLM's first checkpoints, and of Idefics3's own.
pub(crate) const IDEFICS3: &str = "idefics3";
/// The `model_type` since SmolVLM2.
pub(crate) const SMOLVLM: &str = "smolvlm";

/// Sizes of the networks. What a file leaves out is as `transformers` has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub(super) vision_config: SiglipConfig,
    pub(super) text_config: TextConfig,
    /// The token that image features take the place of.
    #[serde(default = "default_image_token")]
    pub(super) image_token_id: u32,
    /// Patches along the side of a square that becomes one token.
    #[serde(default = "default_factor")]
    pub(super) scale_factor: usize,
    #[serde(default)]
    pub(super) tie_word_embeddings: bool,
    #[serde(default)]
    eos_token_id: Option<Ids>,
}

/// The decoder.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct TextConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: String,
    pub(super) max_position_embeddings: usize,
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    attention_bias: bool,
    mlp_bias: bool,
    eos_token_id: Option<Ids>,
    embedding_multiplier: f32,
    attention_multiplier: f32,
    residual_multiplier: f32,
}

/// Rotary positions, as older and newer files say them.
#[derive(Clone, Debug, Deserialize)]
struct Rope {
    #[serde(alias = "type", default)]
    rope_type: Option<String>,
    #[serde(default)]
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
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Several(ids) => ids,
        }
    }
}

/// How answers end.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct GenerationConfig {
    #[serde(default)]
    pub(super) eos_token_id: Option<Ids>,
}

fn default_image_token() -> u32 {
    128_257
}

fn default_factor() -> usize {
    2
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            model_type: "llama".into(),
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".into(),
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            attention_bias: false,
            mlp_bias: false,
            eos_token_id: None,
            embedding_multiplier: 1.0,
            attention_multiplier: 1.0,
            residual_multiplier: 1.0,
        }
    }
}

impl Config {
    /// Reads a `config.json` and checks what the networks do not check themselves.
    pub(super) fn parse(json: &str) -> Result<Self, ModelError> {
        let config: Config = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let (side, factor) = (config.vision_config.side(), config.scale_factor);
        if factor == 0 || !side.is_multiple_of(factor) {
            return Err(wrong(format!("scale_factor {factor} does not divide {side} patches")));
        }
        if config.image_token_id as usize >= config.text_config.vocab_size {
            let (id, vocab) = (config.image_token_id, config.text_config.vocab_size);
            return Err(wrong(format!("image_token_id {id} is not in a vocabulary of {vocab}")));
        }
        config.text_config.check()?;
        Ok(config)
    }

    /// The decoder's sizes.
    pub(super) fn decoder(&self) -> DecoderConfig {
        let text = &self.text_config;
        let rope = text.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        DecoderConfig {
            vocab: text.vocab_size,
            hidden: text.hidden_size,
            layers: text.num_hidden_layers,
            heads: text.num_attention_heads,
            kv_heads: text.num_key_value_heads.unwrap_or(text.num_attention_heads),
            head_dim: text.head_dim.unwrap_or(text.hidden_size / text.num_attention_heads.max(1)),
            ffn: text.intermediate_size,
            rope_theta: text.rope_theta.or(rope).unwrap_or(10_000.0),
            rms_eps: text.rms_norm_eps,
            tied: self.tie_word_embeddings,
            qkv_bias: false,
            cross_attention: false,
            multipliers: text.multipliers(),
        }
    }

    /// Tokens that end an answer, where `generation_config.json` does not say.
    pub(super) fn ends(&self) -> impl Iterator<Item = u32> {
        let ids = self.eos_token_id.iter().chain(&self.text_config.eos_token_id);
        ids.flat_map(|ids| ids.as_slice().iter().copied())
    }
}

impl TextConfig {
    fn check(&self) -> Result<(), ModelError> {
        if !["llama", "granite"].contains(&self.model_type.as_str()) {
            return Err(wrong(format!(
                "text_config: model_type {:?} is not llama or granite",
                short(&self.model_type)
            )));
        }
        if self.hidden_act != "silu" {
            return Err(wrong(format!("text_config: hidden_act {:?} is not silu", short(&self.hidden_act))));
        }
        if self.attention_bias || self.mlp_bias {
            return Err(wrong("text_config: biases are not supported".into()));
        }
        for rope in self.rope_scaling.iter().chain(&self.rope_parameters) {
            if let Some(kind) = rope.rope_type.as_deref().filter(|&kind| kind != "default") {
                return Err(wrong(format!("text_config: rope of type {:?} is not supported", short(kind))));
            }
        }
        Ok(())
    }

    /// Granite's factors. It has one for the logits, too, which this family leaves alone: it has a head of its own.
    fn multipliers(&self) -> Multipliers {
        if self.model_type != "granite" {
            return Multipliers::default();
        }
        Multipliers {
            embedding: self.embedding_multiplier,
            attention: Some(self.attention_multiplier),
            residual: self.residual_multiplier,
        }
    }
}

/// What the checkpoints call the decoder's parameters.
pub(super) const NAMES: Names = Names::LLAMA;

fn wrong(detail: String) -> ModelError {
    ModelError::config("config.json", detail)
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of SmolVLM-256M-Instruct's file that say something.
    const SMOLVLM_256M: &str = r#"{
        "model_type": "idefics3", "image_token_id": 49190, "scale_factor": 4, "tie_word_embeddings": false,
        "text_config": {
            "model_type": "llama", "attention_bias": false, "eos_token_id": 2, "head_dim": 64, "hidden_act": "silu",
            "hidden_size": 576, "intermediate_size": 1536, "max_position_embeddings": 8192, "num_attention_heads": 9,
            "num_hidden_layers": 30, "num_key_value_heads": 3, "rms_norm_eps": 1e-05, "rope_scaling": null,
            "rope_theta": 100000, "vocab_size": 49280
        },
        "vision_config": {
            "hidden_act": "gelu_pytorch_tanh", "hidden_size": 768, "image_size": 512, "intermediate_size": 3072,
            "layer_norm_eps": 1e-06, "num_attention_heads": 12, "num_hidden_layers": 12, "patch_size": 16
        }
    }"#;

    fn with(pointer: &str, value: serde_json::Value) -> Result<Config, ModelError> {
        let mut json: serde_json::Value = serde_json::from_str(SMOLVLM_256M).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[key] = value;
        Config::parse(&json.to_string())
    }

    #[test]
    fn the_published_file_is_read() {
        let config = Config::parse(SMOLVLM_256M).unwrap();
        let decoder = config.decoder();
        assert_eq!((decoder.heads, decoder.kv_heads, decoder.head_dim), (9, 3, 64));
        assert_eq!((decoder.rope_theta, decoder.tied), (100_000.0, false));
        assert_eq!(decoder.multipliers, Multipliers::default());
        assert_eq!(config.ends().collect::<Vec<_>>(), [2]);
        assert!(decoder.check().is_ok() && config.vision_config.check().is_ok());
    }

    #[test]
    fn granites_factors_are_read() {
        let mut json: serde_json::Value = serde_json::from_str(SMOLVLM_256M).unwrap();
        let text = json["text_config"].as_object_mut().unwrap();
        text.insert("model_type".into(), "granite".into());
        text.insert("attention_multiplier".into(), 0.015625.into());
        text.insert("embedding_multiplier".into(), 12.into());
        let multipliers = Config::parse(&json.to_string()).unwrap().decoder().multipliers;
        assert_eq!((multipliers.attention, multipliers.embedding), (Some(0.015625), 12.0));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let error = |pointer: &str, value| with(pointer, value).unwrap_err().to_string();
        assert!(error("/scale_factor", 3.into()).contains("scale_factor 3"));
        assert!(error("/image_token_id", 49_280.into()).contains("image_token_id"));
        assert!(error("/text_config/model_type", "mamba".into()).contains("mamba"));
        assert!(error("/text_config/hidden_act", "gelu".into()).contains("gelu"));
        assert!(error("/text_config/mlp_bias", true.into()).contains("biases"));
        let yarn = serde_json::json!({"rope_type": "yarn", "factor": 4});
        assert!(error("/text_config/rope_scaling", yarn).contains("yarn"));
        assert!(with("/text_config/rope_parameters", serde_json::json!({"rope_type": "default"})).is_ok());
    }
}

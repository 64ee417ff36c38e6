//! What nano's `config.json` says.

use std::collections::BTreeMap;

use serde::Deserialize;
use tiny_vlm_decoder::{DecoderConfig, Multipliers, Names};
use tiny_vlm_vision::{LinesConfig, ReaderConfig, ThingsConfig, TowerConfig};

use crate::{Lang, ModelError};

/// The `model_type` of nano's configurations.
pub(crate) const MODEL_TYPE: &str = "tiny-vlm-nano";

/// Tokens that the decoder has room for. Rotary positions set no end; it was trained on less than this.
pub(crate) const CONTEXT: usize = 1024;

/// What nano's checkpoints call the decoder's parameters.
pub(crate) const NAMES: Names = Names {
    embeddings: "embed",
    head: "head",
    norm: "norm",
    memory_norm: "memory_norm",
    layers: "layers",
    self_norm: "self_norm",
    self_attention: ["q_proj", "k_proj", "v_proj", "o_proj"],
    cross_norm: "cross_norm",
    cross_attention: ["cross_q", "cross_k", "cross_v", "cross_o"],
    ffn_norm: "ffn_norm",
    ffn: ["gate", "up", "down"],
};

/// Sizes of nano's networks, rules of the steps between them, and tokens.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NanoConfig {
    version: u32,
    pub(crate) tower: TowerConfig,
    pub(crate) things: ThingsConfig,
    pub(crate) lines: LinesConfig,
    pub(crate) reader: ReaderConfig,
    pub(crate) fusion: Fusion,
    decoder: Decoder,
    pub(crate) special_tokens: SpecialTokens,
    captions: BTreeMap<String, String>,
}

/// Sizes of the codebooks in which things are looked up.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Fusion {
    /// Classes of things.
    pub(crate) labels: usize,
    /// Classes of colours.
    pub(crate) colours: usize,
}

/// Tokens that are no text.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct SpecialTokens {
    /// Begins a question.
    pub(crate) question: u32,
    /// Ends it and begins the answer.
    pub(crate) answer: u32,
    /// Ends the answer.
    pub(crate) end: u32,
    /// Stands for the print in the picture.
    pub(crate) read: u32,
}

/// The decoder's sizes, by the names that Hugging Face's configurations use.
#[derive(Clone, Debug, Deserialize)]
struct Decoder {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    rope_theta: f32,
    rms_norm_eps: f32,
    tie_word_embeddings: bool,
}

impl NanoConfig {
    /// Reads a `config.json` and checks what the networks do not check themselves.
    pub(crate) fn parse(json: &str) -> Result<Self, ModelError> {
        let wrong = |detail: String| ModelError::config("config.json", detail);
        let config: NanoConfig = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        if config.version != 1 {
            return Err(wrong(format!("version {} of nano is not known, only 1", config.version)));
        }
        // Beyond this no codebook is meant, and what a look-up borrows is bounded.
        if [config.fusion.labels, config.fusion.colours]
            .iter()
            .any(|&classes| !(1..=1 << 16).contains(&classes))
        {
            return Err(wrong("a codebook of fusion has no classes, or more than 65536".to_owned()));
        }
        let SpecialTokens { question, answer, end, read } = config.special_tokens;
        let vocab = config.decoder.vocab_size;
        if let Some(id) = [question, answer, end, read].into_iter().find(|&id| id as usize >= vocab) {
            return Err(wrong(format!("special token {id} is not in a vocabulary of {vocab}")));
        }
        Ok(config)
    }

    /// The decoder's sizes.
    pub(crate) fn decoder(&self) -> DecoderConfig {
        let d = &self.decoder;
        DecoderConfig {
            vocab: d.vocab_size,
            hidden: d.hidden_size,
            layers: d.num_hidden_layers,
            heads: d.num_attention_heads,
            kv_heads: d.num_key_value_heads,
            head_dim: d.head_dim,
            ffn: d.intermediate_size,
            rope_theta: d.rope_theta,
            rms_eps: d.rms_norm_eps,
            tied: d.tie_word_embeddings,
            qkv_bias: false,
            cross_attention: true,
            multipliers: Multipliers::default(),
        }
    }

    /// The question that is answered with a caption in this language.
    pub(crate) fn caption(&self, lang: Lang) -> Option<&str> {
        self.captions.get(lang.code()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> serde_json::Value {
        let json = include_str!("../../../../fixtures/nano/random.json");
        let mut about: serde_json::Value = serde_json::from_str(json).unwrap();
        about["config"].take()
    }

    #[test]
    fn the_exporter_and_this_agree() {
        let config = NanoConfig::parse(&fixture().to_string()).unwrap();
        assert!(config.tower.check().is_ok() && config.things.check().is_ok());
        assert!(config.lines.check().is_ok() && config.reader.check().is_ok());
        assert!(config.decoder().check().is_ok());
        assert!(Lang::ALL.into_iter().all(|lang| config.caption(lang).is_some()));
    }

    #[test]
    fn other_versions_and_tokens_outside_the_vocabulary_are_errors() {
        let with = |key: &str, value: serde_json::Value| {
            let mut config = fixture();
            config[key] = value;
            NanoConfig::parse(&config.to_string()).map(drop).unwrap_err().to_string()
        };
        assert!(with("version", 2.into()).contains("version 2"));
        let tokens = serde_json::json!({"question": 1, "answer": 2, "end": 3, "read": 1 << 20});
        assert!(with("special_tokens", tokens).contains("special token"));
        assert!(with("tower", serde_json::json!({})).contains("missing field"));
    }
}

//! What the `config.json` of a ResNet says.

use std::collections::BTreeMap;

use serde::Deserialize;
use tiny_vlm_vision::ResNetConfig;

use crate::ModelError;
use crate::timm::TimmConfig;

fn wrong(detail: impl Into<String>) -> ModelError {
    ModelError::config("config.json", detail)
}

/// A configuration of `transformers`. What it does not say is as its class has it.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct TransformersConfig {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    layer_type: String,
    hidden_act: String,
    downsample_in_first_stage: bool,
    downsample_in_bottleneck: bool,
    problem_type: Option<String>,
    num_labels: Option<usize>,
    id2label: Option<BTreeMap<String, String>>,
}

impl Default for TransformersConfig {
    fn default() -> Self {
        Self {
            num_channels: 3,
            embedding_size: 64,
            hidden_sizes: vec![256, 512, 1024, 2048],
            depths: vec![3, 4, 6, 3],
            layer_type: "bottleneck".to_owned(),
            hidden_act: "relu".to_owned(),
            downsample_in_first_stage: false,
            downsample_in_bottleneck: false,
            problem_type: None,
            num_labels: None,
            id2label: None,
        }
    }
}

impl TransformersConfig {
    pub(super) fn parse(json: &str) -> Result<Self, ModelError> {
        let config: Self = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let named = |what: &str, name: &str| {
            let name: String = name.chars().take(80).collect();
            Err(wrong(format!("{what} {name:?} is not supported")))
        };
        if config.num_channels != 3 {
            return Err(wrong(format!("pictures of {} channels are not supported", config.num_channels)));
        }
        if config.hidden_act != "relu" {
            return named("hidden_act", &config.hidden_act);
        }
        if !["basic", "bottleneck"].contains(&config.layer_type.as_str()) {
            return named("layer_type", &config.layer_type);
        }
        match config.problem_type.as_deref() {
            None | Some("single_label_classification") => Ok(config),
            Some(other) => named("problem_type", other),
        }
    }

    pub(super) fn sizes(&self) -> ResNetConfig {
        ResNetConfig {
            stem: self.embedding_size,
            widths: self.hidden_sizes.clone(),
            depths: self.depths.clone(),
            bottleneck: self.layer_type == "bottleneck",
            first_stage_halves: self.downsample_in_first_stage,
            reduction_halves: self.downsample_in_bottleneck,
        }
    }

    /// The classes in order. Without names there are two, unless it says how many.
    pub(super) fn labels(&self) -> Result<Vec<String>, ModelError> {
        let Some(names) = &self.id2label else {
            let count = self.num_labels.unwrap_or(2);
            return match count {
                1..=0x10_0000 => Ok((0..count).map(|number| format!("LABEL_{number}")).collect()),
                _ => Err(wrong(format!("{count} labels"))),
            };
        };
        let label = |number: usize| {
            let name = names.get(&number.to_string());
            name.cloned()
                .ok_or_else(|| wrong(format!("id2label has {} names and none for {number}", names.len())))
        };
        if names.is_empty() {
            return Err(wrong("id2label has no names"));
        }
        (0..names.len()).map(label).collect()
    }
}

/// The `architecture`s of `timm` that are ResNets and nothing else.
pub(crate) const ARCHITECTURES: &[&str] =
    &["resnet18", "resnet26", "resnet34", "resnet50", "resnet101", "resnet152"];

/// The sizes of a network of `timm`.
pub(super) fn timm_sizes(config: &mut TimmConfig) -> Result<ResNetConfig, ModelError> {
    let (bottleneck, depths) = match config.architecture.as_str() {
        "resnet18" => (false, [2, 2, 2, 2]),
        "resnet26" => (true, [2, 2, 2, 2]),
        "resnet34" => (false, [3, 4, 6, 3]),
        "resnet50" => (true, [3, 4, 6, 3]),
        "resnet101" => (true, [3, 4, 23, 3]),
        _ => (true, [3, 8, 36, 3]),
    };
    let depths = config.take("layers")?.unwrap_or_else(|| depths.to_vec());
    let channels: Vec<usize> = config.take("channels")?.unwrap_or_else(|| vec![64, 128, 256, 512]);
    // What it was trained with, which makes no other network.
    for trained in ["drop_block_rate", "zero_init_last"] {
        config.take::<serde::de::IgnoredAny>(trained)?;
    }
    config.check_rest()?;
    let growth = if bottleneck { 4 } else { 1 };
    Ok(ResNetConfig {
        stem: 64,
        widths: channels.into_iter().map(|width| width.saturating_mul(growth)).collect(),
        depths,
        bottleneck,
        first_stage_halves: false,
        reduction_halves: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_it_is_resnet_50() {
        let config = TransformersConfig::parse("{}").unwrap();
        let mut timm = TimmConfig::parse(r#"{"architecture": "resnet50"}"#).unwrap();
        assert_eq!(config.sizes(), timm_sizes(&mut timm).unwrap());
        assert_eq!(config.labels().unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!((timm.labels.len(), timm.labels[7].as_str()), (1000, "7"));
    }

    #[test]
    fn what_would_be_another_network_is_an_error() {
        let said = |json: &str| TransformersConfig::parse(json).map(drop).unwrap_err().to_string();
        assert!(said(r#"{"hidden_act": "silu"}"#).contains("silu"));
        assert!(said(r#"{"layer_type": "odd"}"#).contains("odd"));
        assert!(said(r#"{"num_channels": 1}"#).contains("1 channels"));
        assert!(said(r#"{"problem_type": "regression"}"#).contains("regression"));
        let labels = |json: &str| TransformersConfig::parse(json).unwrap().labels().unwrap_err().to_string();
        assert!(labels(r#"{"id2label": {"0": "a", "2": "c"}}"#).contains("none for 1"));
        assert!(labels(r#"{"id2label": {}}"#).contains("no names"));
        assert!(labels(r#"{"num_labels": 999999999}"#).contains("labels"));
        let timm = |args: &str| {
            let json = format!(r#"{{"architecture": "resnet50", "model_args": {args}}}"#);
            timm_sizes(&mut TimmConfig::parse(&json).unwrap())
        };
        assert!(timm(r#"{"avg_down": true}"#).unwrap_err().to_string().contains("avg_down"));
        assert!(timm(r#"{"layers": "many"}"#).unwrap_err().to_string().contains("layers"));
        assert_eq!(timm(r#"{"layers": [1, 1], "channels": [8, 16]}"#).unwrap().widths, [32, 64]);
    }

    #[test]
    fn classes_of_timm_are_described_named_or_numbered() {
        let labels = |rest: &str| {
            let json = format!(r#"{{"architecture": "resnet18", "num_classes": 2, {rest}}}"#);
            TimmConfig::parse(&json).unwrap().labels
        };
        assert_eq!(
            labels(r#""label_names": ["n1", "n2"], "label_descriptions": {"n2": "cat"}"#),
            ["n1", "cat"]
        );
        assert_eq!(labels(r#""label_names": {"1": "dog"}"#), ["0", "dog"]);
        let pooled = r#"{"architecture": "resnet18", "global_pool": "max"}"#;
        assert!(TimmConfig::parse(pooled).is_err());
    }
}

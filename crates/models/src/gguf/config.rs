//! The configuration files of the hub, out of GGUF metadata.

use serde_json::{Value, json};
use tiny_vlm_weights::{GgufValue, Weights};

use super::{Gguf, number, tokenizer, wrong};
use crate::ModelError;

/// The longer side that images are resized to where the files do not say: four tiles.
const TILES: u64 = 4;

/// `config.json` of Idefics3, which SmolVLM's is, too.
pub(super) fn config(gguf: &Gguf) -> Result<Value, ModelError> {
    let architecture = gguf.architecture()?;
    let text = Section { weights: &gguf.text, prefix: architecture };
    let vision = Section { weights: &gguf.vision, prefix: "clip.vision" };
    let embeddings = gguf.text.info("token_embd.weight").map(|info| &info.shape[..]);
    let Some(&[vocabulary, _]) = embeddings else {
        return Err(wrong("there is no table token_embd.weight".to_owned()));
    };
    let (hidden, heads) = (text.whole("embedding_length")?, text.whole("attention.head_count")?);
    let head = text.maybe("attention.key_length").or_else(|| text.maybe("rope.dimension_count"));
    let head = head.or_else(|| hidden.checked_div(heads)).unwrap_or(0);
    let mut decoder = json!({
        "model_type": architecture,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": text.whole("feed_forward_length")?,
        "num_hidden_layers": text.whole("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": text.maybe("attention.head_count_kv").unwrap_or(heads),
        "head_dim": head,
        "hidden_act": "silu",
        "max_position_embeddings": text.whole("context_length")?,
        "rms_norm_eps": text.float("attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
        "rope_theta": text.float("rope.freq_base").unwrap_or(1e4),
        "tie_word_embeddings": gguf.text.info("output.weight").is_none(),
        "eos_token_id": number(&gguf.text, "tokenizer.ggml.eos_token_id"),
    });
    if architecture == "granite" {
        for (key, name) in [
            ("embedding_multiplier", "embedding_scale"),
            ("attention_multiplier", "attention.scale"),
            ("residual_multiplier", "residual_scale"),
            ("logits_scaling", "logit_scale"),
        ] {
            decoder[key] = text.float(name).unwrap_or(1.0).into();
        }
    }
    let image = tokenizer::id_of(gguf.text.gguf(), "<image>");
    Ok(json!({
        "model_type": "idefics3",
        "image_token_id": image.ok_or_else(|| wrong("<image> is no token".to_owned()))?,
        "scale_factor": vision.whole("projector.scale_factor")?,
        "tie_word_embeddings": gguf.text.info("output.weight").is_none(),
        "text_config": decoder,
        "vision_config": {
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": vision.whole("embedding_length")?,
            "intermediate_size": vision.whole("feed_forward_length")?,
            "num_hidden_layers": vision.whole("block_count")?,
            "num_attention_heads": vision.whole("attention.head_count")?,
            "image_size": vision.whole("image_size")?,
            "patch_size": vision.whole("patch_size")?,
            "layer_norm_eps": vision.float("attention.layer_norm_epsilon").unwrap_or(1e-6),
        },
    }))
}

/// `preprocessor_config.json`. That images are split, and resized by Lanczos's filter, no file says: all checkpoints of
/// the family do.
pub(super) fn preprocessor(gguf: &Gguf) -> Value {
    let vision = Section { weights: &gguf.vision, prefix: "clip.vision" };
    let side = vision.maybe("image_size").unwrap_or(0);
    let longest = vision.maybe("preproc_image_size").unwrap_or(side.saturating_mul(TILES));
    json!({
        "image_processor_type": "Idefics3ImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": {"longest_edge": longest},
        "max_image_size": {"longest_edge": side},
        "do_image_splitting": true,
        "resample": 1,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": vision.floats("image_mean").unwrap_or(vec![0.5; 3]),
        "image_std": vision.floats("image_std").unwrap_or(vec![0.5; 3]),
        "do_pad": true,
    })
}

/// `generation_config.json`: what ends an answer.
pub(super) fn generation(gguf: &Gguf) -> Option<Value> {
    let end = number(&gguf.text, "tokenizer.ggml.eos_token_id")?;
    Some(json!({"eos_token_id": end}))
}

/// The metadata whose names begin alike.
struct Section<'a> {
    weights: &'a Weights,
    prefix: &'a str,
}

impl Section<'_> {
    fn value(&self, name: &str) -> Option<&GgufValue> {
        self.weights.gguf().get(&format!("{}.{name}", self.prefix))
    }

    fn maybe(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    fn whole(&self, name: &str) -> Result<u64, ModelError> {
        self.maybe(name)
            .ok_or_else(|| wrong(format!("{}.{name} is missing, or no whole number", self.prefix)))
    }

    /// A number as f32 has it, in which most files keep it: 1e-5 and not 9.999999747378752e-6.
    fn float(&self, name: &str) -> Option<f64> {
        let value = self.value(name)?.as_f64()?;
        (value as f32).to_string().parse().ok()
    }

    fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.value(name)?.as_array()?.iter().map(GgufValue::as_f64).collect()
    }
}

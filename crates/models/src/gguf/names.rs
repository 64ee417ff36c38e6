//! The names of tensors, and the order of the rows that llama.cpp changes.
//!
//! Rotary embedding turns pairs of a head's channels. In the hub's files those are `i` and `i + d/2`; in GGUF files of
//! Llama's kind they are neighbours, so the rows of the query and key projections are interleaved there.

use tiny_vlm_weights::Renamed;

use super::{Gguf, number, wrong};
use crate::ModelError;

const TEXT: &str = "model.text_model";
const VISION: &str = "model.vision_model";

/// Parts of a decoder's layer.
const DECODER: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Parts of a tower's layer.
const TOWER: [(&str, &str); 8] = [
    ("ln1", "layer_norm1"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_out", "self_attn.out_proj"),
    ("ln2", "layer_norm2"),
    ("ffn_up", "mlp.fc1"),
    ("ffn_down", "mlp.fc2"),
];

/// What is in no layer.
const OTHERS: [(&str, &str); 7] = [
    ("token_embd", "model.text_model.embed_tokens"),
    ("output_norm", "model.text_model.norm"),
    ("output", "lm_head"),
    ("v.patch_embd", "model.vision_model.embeddings.patch_embedding"),
    ("v.position_embd", "model.vision_model.embeddings.position_embedding"),
    ("v.post_ln", "model.vision_model.post_layernorm"),
    ("mm.model.fc", "model.connector.modality_projection.proj"),
];

/// What the names and the order of rows depend on.
pub(super) struct Heads {
    /// Rows of the query's projection, and its heads.
    query: [usize; 2],
    /// The same of the key's.
    key: [usize; 2],
    /// Whether the tower's feed-forward layers have each other's names, as in older files.
    swapped: bool,
}

impl Heads {
    pub(super) fn read(gguf: &Gguf) -> Result<Self, ModelError> {
        let architecture = gguf.architecture()?;
        let heads = |name: &str| number(&gguf.text, &format!("{architecture}.attention.{name}"));
        let rows = |name: &str| gguf.text.info(name).and_then(|info| info.shape.first().copied());
        let query = heads("head_count").unwrap_or(0) as usize;
        let key = heads("head_count_kv").map_or(query, |heads| heads as usize);
        let query = [rows("blk.0.attn_q.weight").unwrap_or(0), query];
        let key = [rows("blk.0.attn_k.weight").unwrap_or(0), key];
        for [rows, heads] in [query, key] {
            if heads == 0 || !rows.is_multiple_of(heads) || !(rows / heads).is_multiple_of(2) {
                return Err(wrong(format!("{rows} rows of a projection are not those of {heads} heads")));
            }
        }
        let width = number(&gguf.vision, "clip.vision.embedding_length").unwrap_or(0);
        let up = gguf.vision.info("v.blk.0.ffn_up.weight").map(|info| &info.shape[..]);
        let swapped = matches!(up, Some(&[rows, columns]) if rows as u64 == width && columns as u64 != width);
        Ok(Self { query, key, swapped })
    }

    /// The hub's name of a tensor. One that is not known keeps its own, to be told of.
    pub(super) fn rename(&self, name: &str) -> Option<Renamed> {
        // Frequencies that the hub's files leave to be computed.
        if name == "rope_freqs.weight" {
            return None;
        }
        Some(self.known(name).unwrap_or_else(|| Renamed::to(name)))
    }

    fn known(&self, name: &str) -> Option<Renamed> {
        let (stem, leaf) = name.rsplit_once('.')?;
        if let Some((_, other)) = OTHERS.iter().find(|(known, _)| *known == stem) {
            return Some(Renamed::to(format!("{other}.{leaf}")));
        }
        let (in_tower, stem) = match stem.strip_prefix("v.") {
            Some(stem) => (true, stem),
            None => (false, stem),
        };
        let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
        layer.parse::<u32>().ok()?;
        let find = |parts: &[(&str, &'static str)], part: &str| {
            parts.iter().find(|(known, _)| *known == part).map(|&(_, other)| other)
        };
        if in_tower {
            let part = match part {
                "ffn_up" if self.swapped => "ffn_down",
                "ffn_down" if self.swapped => "ffn_up",
                part => part,
            };
            return Some(Renamed::to(format!(
                "{VISION}.encoder.layers.{layer}.{}.{leaf}",
                find(&TOWER, part)?
            )));
        }
        let renamed = format!("{TEXT}.layers.{layer}.{}.{leaf}", find(&DECODER, part)?);
        let rows = match part {
            "attn_q" => Some(halves_apart(self.query)),
            "attn_k" => Some(halves_apart(self.key)),
            _ => None,
        };
        Some(Renamed { name: renamed, rows })
    }
}

/// For each row of a projection whose pairs are half a head apart the row where pairs are neighbours.
fn halves_apart([rows, heads]: [usize; 2]) -> Vec<usize> {
    let size = rows / heads;
    let place = |row: usize| {
        let (head, at) = (row / size, row % size);
        head * size + at % (size / 2) * 2 + at / (size / 2)
    };
    (0..rows).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(swapped: bool) -> Heads {
        Heads { query: [8, 2], key: [4, 1], swapped }
    }

    #[test]
    fn names_are_those_of_the_hub() {
        for (name, expected) in [
            ("token_embd.weight", "model.text_model.embed_tokens.weight"),
            ("output.weight", "lm_head.weight"),
            ("blk.12.ffn_gate.weight", "model.text_model.layers.12.mlp.gate_proj.weight"),
            ("blk.0.attn_norm.weight", "model.text_model.layers.0.input_layernorm.weight"),
            ("v.blk.3.ffn_up.bias", "model.vision_model.encoder.layers.3.mlp.fc1.bias"),
            ("v.blk.3.attn_q.weight", "model.vision_model.encoder.layers.3.self_attn.q_proj.weight"),
            ("v.patch_embd.bias", "model.vision_model.embeddings.patch_embedding.bias"),
            ("mm.model.fc.weight", "model.connector.modality_projection.proj.weight"),
            ("blk.x.attn_q.weight", "blk.x.attn_q.weight"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(heads(false).rename(name), Some(Renamed::to(expected)), "{name}");
        }
        assert_eq!(heads(false).rename("rope_freqs.weight"), None);
        let swapped = heads(true).rename("v.blk.3.ffn_up.bias").unwrap();
        assert_eq!(swapped.name, "model.vision_model.encoder.layers.3.mlp.fc2.bias");
    }

    #[test]
    fn rows_of_queries_and_keys_are_put_in_order() {
        let query = heads(false).rename("blk.0.attn_q.weight").unwrap();
        assert_eq!(query.rows.unwrap(), [0, 2, 1, 3, 4, 6, 5, 7]);
        let key = heads(false).rename("blk.7.attn_k.weight").unwrap();
        assert_eq!(key.rows.unwrap(), [0, 2, 1, 3]);
    }
}

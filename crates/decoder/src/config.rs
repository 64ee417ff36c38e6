//! The numbers that describe a decoder, and the names of its parameters.

use tiny_vlm_layers::{CacheShape, Heads};

use crate::DecoderError;

/// A Llama-like decoder (Touvron et al., 2023, arXiv:2302.13971), with cross-attention if it has a memory to look
/// at.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Tokens that can be looked up and predicted.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Length of a head.
    pub head_dim: usize,
    /// Width between the maps of a feed-forward layer.
    pub ffn: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// What keeps a norm from dividing by zero.
    pub rms_eps: f32,
    /// Whether the embeddings are the head, too.
    pub tied: bool,
    /// Whether queries, keys and values have biases, as Qwen2's have.
    pub qkv_bias: bool,
    /// Whether each layer looks at a memory, after itself.
    pub cross_attention: bool,
    /// Factors along the way; Llama's are all neutral.
    pub multipliers: Multipliers,
}

/// Factors that Granite (IBM, 2024) has where Llama has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multipliers {
    /// Of what enters the first layer.
    pub embedding: f32,
    /// Of the products of queries and keys. Nothing stands for one over the root of a head's length.
    pub attention: Option<f32>,
    /// Of what each half of a layer adds to the stream.
    pub residual: f32,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { embedding: 1.0, attention: None, residual: 1.0 }
    }
}

impl DecoderConfig {
    /// Whether the numbers make a decoder, and one whose sizes can be reckoned with.
    pub fn check(&self) -> Result<(), DecoderError> {
        let sizes = [
            ("vocab", self.vocab),
            ("hidden", self.hidden),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("ffn", self.ffn),
        ];
        for (name, size) in sizes {
            // Products of two sizes then fit in 32 bits' worth of address space on every target.
            let most = if name == "vocab" { 1 << 22 } else { 1 << 15 };
            if size == 0 || size > most {
                return Err(DecoderError::Config(format!("{name} is {size}, outside 1..={most}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv_heads) = (self.heads, self.kv_heads);
            return Err(DecoderError::Config(format!(
                "{heads} heads cannot share {kv_heads} kv_heads evenly"
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(DecoderError::Config(format!("head_dim is {}, which is odd", self.head_dim)));
        }
        for (name, value) in [("rope_theta", self.rope_theta), ("rms_eps", self.rms_eps)] {
            if !value.is_finite() || value <= 0.0 {
                return Err(DecoderError::Config(format!("{name} is {value}, not a number above 0")));
            }
        }
        let Multipliers { embedding, attention, residual } = self.multipliers;
        if ![embedding, attention.unwrap_or(1.0), residual].iter().all(|factor| factor.is_finite()) {
            return Err(DecoderError::Config(format!("multipliers {:?} are no factors", self.multipliers)));
        }
        Ok(())
    }

    /// What a cache keeps of each token.
    pub fn cache_shape(&self) -> CacheShape {
        CacheShape { layers: self.layers, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    pub(crate) fn split(&self) -> Heads {
        Heads { queries: self.heads, keys: self.kv_heads, dim: self.head_dim }
    }
}

/// What a checkpoint calls a decoder's parameters. A linear map's is followed by `.weight` and `.bias`, a norm's by
/// `.weight`; those of a layer come below `layers.N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The table of embeddings.
    pub embeddings: &'static str,
    /// The head, where it is not tied. It is looked up apart from the rest: see [`Decoder::load`](crate::Decoder::load).
    pub head: &'static str,
    /// The last norm.
    pub norm: &'static str,
    /// The norm that a memory goes through once, if the checkpoint has one.
    pub memory_norm: &'static str,
    /// What precedes the number of a layer.
    pub layers: &'static str,
    /// The norm before self-attention.
    pub self_norm: &'static str,
    /// Self-attention: queries, keys, values, output.
    pub self_attention: [&'static str; 4],
    /// The norm before cross-attention.
    pub cross_norm: &'static str,
    /// Cross-attention: queries, keys, values, output.
    pub cross_attention: [&'static str; 4],
    /// The norm before the feed-forward layer.
    pub ffn_norm: &'static str,
    /// The feed-forward layer: gate, up, down.
    pub ffn: [&'static str; 3],
}

impl Names {
    /// As in Llama's and Qwen2's checkpoints, below `model`.
    pub const LLAMA: Self = Self {
        embeddings: "embed_tokens",
        head: "lm_head",
        norm: "norm",
        memory_norm: "memory_norm",
        layers: "layers",
        self_norm: "input_layernorm",
        self_attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
        cross_norm: "cross_attn_layernorm",
        cross_attention: ["cross_attn.q_proj", "cross_attn.k_proj", "cross_attn.v_proj", "cross_attn.o_proj"],
        ffn_norm: "post_attention_layernorm",
        ffn: ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOLVLM_256M: DecoderConfig = DecoderConfig {
        vocab: 49_280,
        hidden: 576,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        ffn: 1536,
        rope_theta: 100_000.0,
        rms_eps: 1e-5,
        tied: false,
        qkv_bias: false,
        cross_attention: false,
        multipliers: Multipliers { embedding: 1.0, attention: None, residual: 1.0 },
    };

    #[test]
    fn published_sizes_are_fine_and_nonsense_is_named() {
        SMOLVLM_256M.check().unwrap();
        let error = |config: DecoderConfig| config.check().unwrap_err().to_string();
        assert!(error(DecoderConfig { layers: 0, ..SMOLVLM_256M }).contains("layers is 0"));
        assert!(error(DecoderConfig { hidden: usize::MAX, ..SMOLVLM_256M }).contains("hidden"));
        assert!(error(DecoderConfig { kv_heads: 2, ..SMOLVLM_256M }).contains("9 heads cannot share 2"));
        assert!(error(DecoderConfig { head_dim: 33, ..SMOLVLM_256M }).contains("head_dim is 33"));
        let multipliers = Multipliers { residual: f32::NAN, ..Multipliers::default() };
        assert!(error(DecoderConfig { multipliers, ..SMOLVLM_256M }).contains("multipliers"));
        assert!(error(DecoderConfig { rope_theta: f32::NAN, ..SMOLVLM_256M }).contains("rope_theta"));
    }
}

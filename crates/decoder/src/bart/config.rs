use tiny_vlm_layers::{CacheShape, Heads};

use crate::DecoderError;

/// The numbers that describe a [`Bart`](crate::Bart).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BartConfig {
    /// Tokens that can be looked up and predicted.
    pub vocab: usize,
    /// Width of the residual streams.
    pub hidden: usize,
    /// Layers of the encoder and of the decoder.
    pub layers: [usize; 2],
    /// Heads of the encoder and of the decoder.
    pub heads: [usize; 2],
    /// Width between the maps of the feed-forward layers, of the encoder and of the decoder.
    pub ffn: [usize; 2],
    /// Tokens that there are positions for, in either.
    pub positions: usize,
    /// Whether embeddings are multiplied by the root of their width.
    pub scaled_embeddings: bool,
}

impl BartConfig {
    /// Whether the numbers make a model, and one whose sizes can be reckoned with.
    pub fn check(&self) -> Result<(), DecoderError> {
        let [encoder_layers, decoder_layers] = self.layers;
        let [encoder_heads, decoder_heads] = self.heads;
        let [encoder_ffn, decoder_ffn] = self.ffn;
        let sizes = [
            ("vocab", self.vocab, 1 << 22),
            ("hidden", self.hidden, 1 << 15),
            ("encoder layers", encoder_layers, 1 << 10),
            ("decoder layers", decoder_layers, 1 << 10),
            ("encoder heads", encoder_heads, 1 << 15),
            ("decoder heads", decoder_heads, 1 << 15),
            ("encoder ffn", encoder_ffn, 1 << 15),
            ("decoder ffn", decoder_ffn, 1 << 15),
            ("positions", self.positions, 1 << 20),
        ];
        for (name, size, most) in sizes {
            if size == 0 || size > most {
                return Err(DecoderError::Config(format!("{name} is {size}, outside 1..={most}")));
            }
        }
        for heads in self.heads {
            if !self.hidden.is_multiple_of(heads) {
                let hidden = self.hidden;
                return Err(DecoderError::Config(format!(
                    "hidden is {hidden}, which {heads} heads cannot share"
                )));
            }
        }
        Ok(())
    }

    /// What a cache keeps of each token of the decoder.
    pub fn cache_shape(&self) -> CacheShape {
        let Heads { keys, dim, .. } = self.decoder_heads();
        CacheShape { layers: self.layers[1], kv_heads: keys, head_dim: dim }
    }

    pub(crate) fn decoder_heads(&self) -> Heads {
        let heads = self.heads[1];
        Heads { queries: heads, keys: heads, dim: self.hidden / heads.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_are_fine_and_nonsense_is_named() {
        let base = BartConfig {
            vocab: 51_328,
            hidden: 768,
            layers: [6; 2],
            heads: [12; 2],
            ffn: [3072; 2],
            positions: 1024,
            scaled_embeddings: false,
        };
        base.check().unwrap();
        assert_eq!(base.cache_shape(), CacheShape { layers: 6, kv_heads: 12, head_dim: 64 });
        let error = |config: BartConfig| config.check().unwrap_err().to_string();
        assert!(error(BartConfig { layers: [6, 0], ..base.clone() }).contains("decoder layers is 0"));
        assert!(error(BartConfig { vocab: usize::MAX, ..base.clone() }).contains("vocab"));
        assert!(error(BartConfig { heads: [7, 12], ..base }).contains("7 heads cannot share"));
    }
}

//! What checkpoints call the parameters of a DaViT.

/// The two layouts that checkpoints of Florence-2 come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DavitLayout {
    /// Of the port to `transformers`: `spatial_block.norm1`, `window_attn.qkv`, `ffn.fc1`.
    Port,
    /// Of the original code: `spatial_block.window_attn.norm`, `window_attn.fn.qkv`, `ffn.fn.net.fc1`.
    Original,
}

impl DavitLayout {
    /// The convolution that makes patches.
    pub(crate) fn patches(self) -> &'static str {
        match self {
            Self::Port => "conv",
            Self::Original => "proj",
        }
    }

    /// The depthwise convolution before attention (0) and before the feed-forward layer (1).
    pub(crate) fn depthwise(self, which: usize) -> &'static str {
        match (self, which) {
            (Self::Port, 0) => "conv1",
            (Self::Port, _) => "conv2",
            (Self::Original, 0) => "conv1.fn.dw",
            (Self::Original, _) => "conv2.fn.dw",
        }
    }

    /// The norm before the attention of this name.
    pub(crate) fn attention_norm(self, attention: &str) -> String {
        match self {
            Self::Port => "norm1".to_owned(),
            Self::Original => format!("{attention}.norm"),
        }
    }

    /// Where the maps of the attention of this name are.
    pub(crate) fn attention(self, attention: &str) -> String {
        match self {
            Self::Port => attention.to_owned(),
            Self::Original => format!("{attention}.fn"),
        }
    }

    /// The norm before the feed-forward layer.
    pub(crate) fn mlp_norm(self) -> &'static str {
        match self {
            Self::Port => "norm2",
            Self::Original => "ffn.norm",
        }
    }

    /// Where the maps of the feed-forward layer are.
    pub(crate) fn mlp(self) -> &'static str {
        match self {
            Self::Port => "ffn",
            Self::Original => "ffn.fn.net",
        }
    }
}

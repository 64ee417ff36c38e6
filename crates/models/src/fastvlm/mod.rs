//! FastVLM (Vasu et al., 2024, arXiv:2412.13303): a tower that makes few tokens of many pixels, and a Qwen2 decoder.
//!
//! A picture becomes a square, [FastViTHD](tiny_vlm_vision::FastVit) makes a feature of every 64 × 64 pixels of it, two
//! [linear maps](tiny_vlm_fusion::MlpProjector) bring these to the decoder's width, and they stand in the prompt where it
//! says `<image>`. Checkpoints come in two layouts: Apple's own, whose conversation is written down as Apple's program
//! does, and the port to `transformers`, which carries a chat template.

mod config;
mod model;
mod processor;
mod prompt;

pub(crate) use config::{APPLE, PORT};
pub(crate) use model::FastVlm;

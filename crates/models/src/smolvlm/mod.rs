//! Idefics3 (Laurençon et al., 2024, arXiv:2408.12637) and SmolVLM (Marafioti et al., 2025, arXiv:2504.05299), with
//! decoders of Llama's or Granite's kind.
//!
//! An image is [cut into tiles](tiny_vlm_vision::Tiler); a [SigLIP tower](tiny_vlm_vision::SiglipTower) sees each by
//! itself, and [pixel shuffle](tiny_vlm_fusion::PixelShuffle) makes tokens of what it saw. These take the place of
//! `<image>` tokens among the words of a conversation, which a decoder goes on with. The reference is
//! `transformers`' `Idefics3ForConditionalGeneration`.

mod config;
mod model;
mod processor;

pub(crate) use config::{IDEFICS3, SMOLVLM};
pub(crate) use model::Smolvlm;

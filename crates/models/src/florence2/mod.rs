//! Florence-2 (Xiao et al., 2024, arXiv:2311.06242): captions, things, print and their places, each a text.
//!
//! A [DaViT](tiny_vlm_vision::Davit) makes a map of the picture, a [projector](tiny_vlm_fusion::Florence2Projector)
//! tokens of its cells, and a [BART](tiny_vlm_decoder::Bart) reads them before the question and writes the answer. What
//! is asked for is said by a [task](tasks); places are tokens `<loc_0>` to `<loc_999>`, which [`parse`] finds again. The
//! reference is `Florence2ForConditionalGeneration` of `transformers`; checkpoints of the original layout load, too.

mod config;
#[cfg(test)]
mod golden;
mod model;
mod parse;
mod tasks;

pub(crate) use config::MODEL_TYPE;
pub(crate) use model::Florence2;

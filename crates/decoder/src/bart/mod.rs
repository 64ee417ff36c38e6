//! BART (Lewis et al., 2019, arXiv:1910.13461): an encoder whose output a decoder looks across at. Norms come behind
//! the residual, positions are learned, and the embeddings are shared by encoder, decoder and head.

mod config;
mod layer;
mod model;

pub use config::BartConfig;
pub use model::Bart;

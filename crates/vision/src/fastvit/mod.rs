//! FastViT (Vasu et al., 2023, arXiv:2303.14189) and FastViTHD (Vasu et al., 2024, arXiv:2412.13303): convolutions that
//! mix neighbours, attention only where a picture has become small.
//!
//! Checkpoints have the names of `timm` or those of Apple's repositories ([`Names`](names::Names)), and the branches of
//! training or what they were [folded](fold) to; all make the same network.

mod blocks;
mod config;
mod fold;
mod names;
mod tower;

pub use config::{FastVitConfig, FastVitSizes};
pub use tower::FastVit;

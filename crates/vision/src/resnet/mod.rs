//! ResNet (He et al., 2015, arXiv:1512.03385): residual blocks of convolutions, each with a batch norm behind it.
//!
//! A 7 × 7 convolution and a max pooling, both of stride 2, then stages of blocks. A **basic** block is two 3 × 3
//! convolutions, a **bottleneck** a 1 × 1 that reduces the channels to a quarter, a 3 × 3, and a 1 × 1 that restores
//! them. Every stage but the first halves the map in its first block: in the 3 × 3 convolution, as is usual (v1.5), or in
//! the reducing one, as in the paper. Where a block changes the shape, a 1 × 1 convolution takes its input past it.
//!
//! Batch norms are [folded](crate::folded) into the convolutions when the network is loaded.

mod names;
mod net;

pub use names::ResNetNames;
pub use net::{ResNet, ResNetConfig};

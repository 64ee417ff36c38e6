//! DaViT (Ding et al., 2022, arXiv:2204.03645), as Florence-2 has it: four stages that each halve the grid, in which
//! tokens of a window and channels of a group attend to each other in turns.
//!
//! Each attention and each feed-forward layer comes behind a depthwise convolution that is added to its input and tells
//! tokens where they are. Maps are `[height, width, channels]` throughout.

mod block;
mod config;
mod names;
mod tower;

pub use config::DavitConfig;
pub use names::DavitLayout;
pub use tower::{Davit, DavitStep};

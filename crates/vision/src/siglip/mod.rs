//! SigLIP's vision transformer (Zhai et al., 2023, arXiv:2303.15343) as Idefics3 has it: a square tile becomes a vector
//! for each patch.

mod positions;
mod tower;

pub use positions::position_of_patches;
pub use tower::{SiglipConfig, SiglipTower};

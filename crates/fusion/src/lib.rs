//! Where vision meets text: projectors and object tokens.
//!
//! [`ObjectTokens`] is nano's: a token for each thing of a picture, which the decoder attends to across. Families that
//! place features among the words of a prompt ([`Placement`]) bring them to the decoder's width first, as
//! [`PixelShuffle`] and [`MlpProjector`] do.
//!
//! [`Florence2Projector`] makes the tokens of a text encoder of a map.
//!
//! ```
//! use tiny_vlm_fusion::{POSITION_FEATURES, position_features};
//!
//! let whole_picture = position_features([0.0, 0.0, 1.0, 1.0]);
//! assert_eq!(whole_picture.len(), POSITION_FEATURES);
//! assert_eq!(whole_picture[4], 1.0); // half a wave from the left, in the middle
//! ```
#![forbid(unsafe_code)]

mod florence2;
mod object_tokens;
mod pixel_shuffle;
mod placement;
mod projector;

pub use florence2::{Florence2Projector, Florence2ProjectorConfig, Florence2ProjectorLayout};
pub use object_tokens::{ObjectTokens, ObjectTokensConfig, POSITION_FEATURES, position_features};
pub use pixel_shuffle::PixelShuffle;
pub use placement::Placement;
pub use projector::MlpProjector;

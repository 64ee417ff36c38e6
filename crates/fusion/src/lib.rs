//! Where vision meets text: projectors and object tokens.
//!
//! [`ObjectTokens`] is nano's: a token for each thing of a picture, which the decoder attends to across.
//!
//! ```
//! use tiny_vlm_fusion::{POSITION_FEATURES, position_features};
//!
//! let whole_picture = position_features([0.0, 0.0, 1.0, 1.0]);
//! assert_eq!(whole_picture.len(), POSITION_FEATURES);
//! assert_eq!(whole_picture[4], 1.0); // half a wave from the left, in the middle
//! ```
#![forbid(unsafe_code)]

mod object_tokens;

pub use object_tokens::{ObjectTokens, ObjectTokensConfig, POSITION_FEATURES, position_features};

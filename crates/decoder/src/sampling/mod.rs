//! From logits to a token.

mod beams;
mod ngrams;
mod options;
mod random;
mod sampler;

pub use beams::{Beam, BeamOptions, BeamSearch, EarlyStopping, MOST_BEAMS};
pub use options::{SamplingError, SamplingOptions};
pub use sampler::{Choice, Sampler};

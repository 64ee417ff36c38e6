//! From logits to a token.

mod options;
mod random;
mod sampler;

pub use options::{SamplingError, SamplingOptions};
pub use sampler::{Choice, Sampler};

//! Strips of print to characters.

mod ctc;
mod net;

pub use ctc::{Transcript, transcribe};
pub use net::Reader;

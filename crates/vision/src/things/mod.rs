//! Things in a picture: where they are.

mod net;
mod peaks;

pub use net::ThingsFinder;
pub use peaks::{Thing, find_things, glimpse_box};

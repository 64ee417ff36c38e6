//! Lines of print: where they are, and their strips.

mod components;
mod find;
mod finder;
mod net;
mod strip;

pub use find::{FoundLine, MOST_LINES, find_lines, level_size, merge_levels, surest_lines};
pub use finder::{Level, LinesFinder};
pub use strip::{Pyramid, Strip};

//! The `tiny-vlm` command.
#![forbid(unsafe_code)]

fn main() {}

//! Builds, tests, lints and benches the workspace.
#![forbid(unsafe_code)]

fn main() {}

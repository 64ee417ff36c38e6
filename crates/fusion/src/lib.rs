//! Where vision meets text: projectors and object tokens.
#![forbid(unsafe_code)]

//! The weights of Tiny-VLM's own small model, as data.
#![forbid(unsafe_code)]

//! Decoder transformers, KV cache, sampling.
#![forbid(unsafe_code)]

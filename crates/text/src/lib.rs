//! Strings to tokens to strings: tokenizers and streaming detokenisation.
#![forbid(unsafe_code)]

//! Bytes to pixels: header checks, decoding, orientation, Pillow-exact resampling.
#![forbid(unsafe_code)]

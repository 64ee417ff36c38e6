//! Pixels to features: image processors, vision towers, text-line finding and reading.
#![forbid(unsafe_code)]

//! Network layers over packed weights: linear, convolution, attention, norms.
#![forbid(unsafe_code)]

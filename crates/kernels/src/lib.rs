//! Compute kernels and packed weight formats.

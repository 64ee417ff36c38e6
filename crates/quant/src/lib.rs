//! Weight matrices in any precision, quantizers and error measures.
#![forbid(unsafe_code)]

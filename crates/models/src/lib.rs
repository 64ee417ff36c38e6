//! Model families and their registry.
#![forbid(unsafe_code)]

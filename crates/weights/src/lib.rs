//! Where parameters come from: safetensors files, sharded folders, bytes in memory.
#![forbid(unsafe_code)]

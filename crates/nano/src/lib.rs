//! The weights of Tiny-VLM's own small model, as data.
//!
//! The files are those of a checkpoint folder, in `model/`; the export in `training/` writes them. In a tree without
//! them all three are empty.
//!
//! ```
//! // A registry takes ten megabytes at most.
//! assert!(tiny_vlm_nano::MODEL.len() < 9_000_000);
//! assert_eq!(tiny_vlm_nano::CONFIG.is_empty(), tiny_vlm_nano::MODEL.is_empty());
//! ```
#![forbid(unsafe_code)]

#[cfg(model_files)]
mod files {
    pub(crate) const CONFIG: &str = include_str!("../model/config.json");
    pub(crate) const TOKENIZER: &[u8] = include_bytes!("../model/tokenizer.json");
    pub(crate) const MODEL: &[u8] = include_bytes!("../model/model.safetensors");
}

#[cfg(not(model_files))]
mod files {
    pub(crate) const CONFIG: &str = "";
    pub(crate) const TOKENIZER: &[u8] = &[];
    pub(crate) const MODEL: &[u8] = &[];
}

/// `config.json`.
pub const CONFIG: &str = files::CONFIG;

/// `tokenizer.json`.
pub const TOKENIZER: &[u8] = files::TOKENIZER;

/// `model.safetensors`, with 8-bit weights.
pub const MODEL: &[u8] = files::MODEL;

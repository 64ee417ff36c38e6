//! The weights of Tiny-VLM's own small model, as data.
//!
//! The files are those of a checkpoint folder; the export in `training/` writes them.
//!
//! ```
//! assert!(tiny_vlm_nano::CONFIG.contains("tiny-vlm-nano"));
//! // A registry takes ten megabytes at most.
//! assert!(tiny_vlm_nano::MODEL.len() < 9_000_000);
//! ```
#![forbid(unsafe_code)]

/// `config.json`.
pub const CONFIG: &str = include_str!("../model/config.json");

/// `tokenizer.json`.
pub const TOKENIZER: &[u8] = include_bytes!("../model/tokenizer.json");

/// `model.safetensors`, with 8-bit weights.
pub const MODEL: &[u8] = include_bytes!("../model/model.safetensors");

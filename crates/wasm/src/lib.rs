//! Tiny-VLM as a WebAssembly module, for browsers and Node.
//!
//! The module exports a handful of functions over numbers, and the JavaScript beside it (`crates/wasm/js`) is all that
//! calls them. Whatever is not a number is written to a [buffer](Engine::buffer) as bytes, requests and replies as JSON.
//! That is less code, on either side, than a generator of bindings brings, nothing has to match the version of a tool,
//! and the host streams a download into the very bytes that the model is loaded from.
//!
//! An [`Engine`] is one model and what it is asked; the boundary has one and calls it. It is safe Rust that runs anywhere:
//!
//! ```
//! use tiny_vlm_wasm::{Engine, Silence};
//!
//! let mut engine = Engine::default();
//! let json = br#"{"task": "read"}"#;
//! let request = engine.buffer(json.len())?;
//! engine.bytes(request)?.copy_from_slice(json);
//! let error = engine.run(request, &Silence).unwrap_err();
//! assert_eq!(error.code(), "no-model");
//! # Ok::<(), tiny_vlm_wasm::Failure>(())
//! ```
#![deny(unsafe_code)]

mod answer;
#[cfg(target_arch = "wasm32")]
mod boundary;
mod engine;
mod failure;
mod request;

pub use engine::{Engine, Host, Silence};
pub use failure::Failure;

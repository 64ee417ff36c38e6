//! A model folder as one file, for a browser to fetch: a line of JSON that says which files follow, how long each is and
//! what its SHA-256 is; then their bytes, one after the other.

use anyhow::{Context as _, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

/// The files of a model, the small ones first.
const FILES: &[&str] = &["config.json", "tokenizer.json", "model.safetensors"];

#[derive(Serialize)]
struct Header<'a> {
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    bytes: usize,
    sha256: String,
}

pub(crate) fn write(model: &Path, bundle: &Path) -> Result<()> {
    let mut files = Vec::new();
    let mut contents = Vec::new();
    for &name in FILES {
        let path = model.join(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        files.push(Entry { name, bytes: bytes.len(), sha256 });
        contents.extend(bytes);
    }
    let mut bytes = serde_json::to_vec(&Header { files })?;
    bytes.push(b'\n');
    bytes.extend(contents);
    fs::write(bundle, bytes).with_context(|| format!("cannot write {}", bundle.display()))
}

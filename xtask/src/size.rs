//! `cargo xtask size`: the model that ships stays within what the registry takes and what a user waits for.

use crate::package;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

const MODEL_CRATE: &str = "tiny-vlm-nano";
/// The registry's limit on a package.
const PACKAGE_BYTES: u64 = 10_000_000;
const INT8_BYTES: u64 = 7_000_000;
const MASTER_BYTES: u64 = 12_000_000;
const PARAMETERS: u64 = 6_000_000;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let package = workspace
        .packages
        .iter()
        .find(|package| package.name == MODEL_CRATE)
        .with_context(|| format!("there is no crate {MODEL_CRATE} in the workspace"))?;
    let archive = package::pack(workspace, package)?;
    within(&archive, bytes(&archive)?, PACKAGE_BYTES, "bytes packed")?;

    let models = |folder: &str| -> Result<Vec<PathBuf>> {
        let mut files = workspace.files()?;
        files.retain(|path| path.starts_with(folder) && path.extension() == Some("safetensors".as_ref()));
        Ok(files.into_iter().map(|path| workspace.root.join(path)).collect())
    };
    let embedded = models("crates/nano")?;
    ensure!(!embedded.is_empty(), "crates/nano holds no .safetensors file: run training/'s export");
    for model in embedded {
        within(&model, bytes(&model)?, INT8_BYTES, "bytes")?;
        within(&model, parameters(&model)?, PARAMETERS, "parameters")?;
    }
    for model in models("training/export")? {
        within(&model, bytes(&model)?, MASTER_BYTES, "bytes")?;
        within(&model, parameters(&model)?, PARAMETERS, "parameters")?;
    }
    Ok(())
}

fn bytes(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}

fn within(path: &Path, found: u64, limit: u64, unit: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().display();
    if found > limit {
        bail!("{name}: {found} {unit}, and at most {limit} are allowed");
    }
    println!("{name}: {found} {unit} of at most {limit}");
    Ok(())
}

/// How many weights a safetensors file declares. The scales of a quantized matrix are part of its format, not
/// parameters of the model.
fn parameters(path: &Path) -> Result<u64> {
    let header = header(path).with_context(|| format!("{} is not a safetensors file", path.display()))?;
    let tensors = header.as_object().context("the header is not an object")?;
    let mut total = 0;
    for (name, tensor) in tensors {
        if name == "__metadata__" || name.ends_with("_scale") {
            continue;
        }
        let shape = tensor["shape"].as_array().with_context(|| format!("{name} has no shape"))?;
        total += shape.iter().filter_map(Value::as_u64).product::<u64>();
    }
    Ok(total)
}

/// A safetensors file opens with the length of its JSON header in eight bytes, little end first.
fn header(path: &Path) -> Result<Value> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= file.metadata()?.len(), "its header says it is {length} bytes long");
    let mut json = Vec::new();
    file.take(length).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

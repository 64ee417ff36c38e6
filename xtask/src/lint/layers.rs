//! The layers of `docs/architecture.md`: a crate may use those of the rows above its own, and no others.

use super::Faults;
use crate::workspace::Workspace;

/// From the bottom up. Crates of one row do not know each other.
const LAYERS: &[&[&str]] = &[
    &["tiny-vlm-memory", "tiny-vlm-simd", "tiny-vlm-nano"],
    &["tiny-vlm-tensor"],
    &["tiny-vlm-kernels"],
    &["tiny-vlm-quant", "tiny-vlm-image"],
    &["tiny-vlm-weights"],
    &["tiny-vlm-layers"],
    &["tiny-vlm-vision", "tiny-vlm-text", "tiny-vlm-decoder"],
    &["tiny-vlm-fusion"],
    &["tiny-vlm-models"],
    &["tiny-vlm-runtime"],
    &["tiny-vlm"],
    &["tiny-vlm-cli", "tiny-vlm-wasm"],
    &["tiny-vlm-benches", "xtask"],
];

/// Data that only the umbrella embeds, so that no layer of code depends on one model.
const MODEL: (&str, &str) = ("tiny-vlm-nano", "tiny-vlm");

pub(super) fn check(workspace: &Workspace, faults: &mut Faults) {
    for package in &workspace.packages {
        let name = &package.name;
        let Some(own) = layer(name) else {
            faults.push(format!("{name} has no layer: name it in xtask/src/lint/layers.rs"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let below = &dependency.name;
            if layer(below).is_some_and(|layer| layer >= own) {
                faults.push(format!("{name} depends on {below}, which is not in a layer below it"));
            }
            if below == MODEL.0 && name != MODEL.1 {
                faults.push(format!("{name} depends on {below}, which only {} embeds", MODEL.1));
            }
        }
    }
    for name in LAYERS.iter().flat_map(|row| row.iter()) {
        if !workspace.packages.iter().any(|package| package.name == *name) {
            faults.push(format!("{name} has a layer in xtask/src/lint/layers.rs and is no crate here"));
        }
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

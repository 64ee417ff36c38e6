//! `cargo xtask package`: what `cargo publish` would upload, built as a user of the registry builds it.
//!
//! The crates depend on each other and none need be on a registry yet; cargo lays the packed ones in a registry
//! of its own, in order of dependency, and builds each against that. Nothing is uploaded.

use crate::shell;
use crate::workspace::{Package, Workspace};
use anyhow::Result;
use std::path::PathBuf;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    shell::run(shell::cargo().current_dir(&workspace.root).args([
        "publish",
        "--workspace",
        "--dry-run",
        "--allow-dirty",
        "--quiet",
    ]))
}

/// Packs one crate without building it and returns the archive.
pub(crate) fn pack(workspace: &Workspace, package: &Package) -> Result<PathBuf> {
    shell::run(shell::cargo().current_dir(&workspace.root).args([
        "package",
        "--no-verify",
        "--allow-dirty",
        "--quiet",
        "--package",
        &package.name,
    ]))?;
    let archive = format!("{}-{}.crate", package.name, package.version);
    Ok(workspace.target.join("package").join(archive))
}

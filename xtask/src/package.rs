//! `cargo xtask package`: what `cargo publish` would upload, built as a user of the registry builds it.
//!
//! The crates depend on each other and none need be on a registry yet; cargo lays the packed ones in a registry
//! of its own, in order of dependency, and builds each against that. Nothing is uploaded.

use crate::shell;
use crate::workspace::{Package, Workspace};
use anyhow::Result;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Packs and builds in a folder that no run has used before. Cargo takes a version of a crate in a registry to be
/// always the same and tells registries apart by where they lie: in a folder used again, a crate would be built
/// against its neighbours as an earlier run packed them.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace
        .target
        .join(format!("registry-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()));
    let outcome = shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["publish", "--workspace", "--dry-run", "--allow-dirty", "--quiet", "--target-dir"])
            .arg(&folder),
    );
    // What was built is of no use to the next run; and what cannot be removed now is in nobody's way.
    let _ = fs::remove_dir_all(&folder);
    outcome
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

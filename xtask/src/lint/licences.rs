//! What the dependencies are: their licences, sources and known faults, by `cargo-deny` and `deny.toml`.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::process::Command;

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    if shell::find("cargo-deny").is_none() {
        let install = "`cargo install --locked --no-default-features cargo-deny`";
        if env::var_os("CI").is_some() {
            bail!("cargo-deny is not installed: {install} before this");
        }
        eprintln!("\nxtask: NOT CHECKED: licences and advisories of dependencies; {install} for that");
        return Ok(());
    }
    let deny = || {
        let mut command = shell::cargo();
        command.current_dir(&workspace.root).arg("deny");
        command
    };
    let quiet = "--hide-inclusion-graph";
    shell::run(deny().args(["check", quiet, "licenses", "bans", "sources"]))?;
    advisories(deny().args(["check", quiet, "advisories"]))
}

/// The list of advisories is a git repository. Where it cannot be reached this says so and goes on, since
/// the tree under test is the same with and without it.
fn advisories(command: &mut Command) -> Result<()> {
    let output = command.output().context("cannot start cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprint!("{said}");
    } else if said.contains("failed to fetch advisory database") {
        eprintln!(
            "xtask: NOT CHECKED: advisories against dependencies, because their database cannot be reached \
             from here; run `cargo deny check advisories` where it can"
        );
    } else {
        bail!("dependencies with advisories against them\n{said}");
    }
    Ok(())
}

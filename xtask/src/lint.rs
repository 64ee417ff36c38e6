//! `cargo xtask lint`: everything that can be said of the source without running it.
//!
//! The quick readings of files come first and report all they find together; the compiler's come after.

mod layers;
mod licences;
mod sources;
mod tables;

use crate::fuzz;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, bail};

/// What a check found: one line each, saying where, what and what to do.
pub(crate) type Faults = Vec<String>;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut faults = Faults::new();
    let targets = workspace.fuzz()?;
    let packages = || workspace.packages.iter().chain(&targets.packages);
    layers::check(workspace, &mut faults);
    sources::check(workspace, packages(), &mut faults)?;
    tables::check(workspace, packages(), &mut faults)?;
    fuzz::check(&targets, &mut faults);
    if !faults.is_empty() {
        bail!("{} faults\n  {}", faults.len(), faults.join("\n  "));
    }

    let cargo = |arguments: &[&str]| {
        let mut command = shell::cargo();
        command.current_dir(&workspace.root).args(arguments);
        command
    };
    shell::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    shell::run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    shell::run(
        cargo(&["doc", "--quiet", "--workspace", "--lib", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    let fuzz = |arguments: &[&str]| {
        let mut command = shell::cargo();
        command.current_dir(&targets.root).env("CARGO_TARGET_DIR", &workspace.target).args(arguments);
        command
    };
    shell::run(&mut fuzz(&["fmt", "--check"]))?;
    shell::run(&mut fuzz(&["clippy", "--quiet", "--no-default-features", "--", "-D", "warnings"]))?;
    licences::check(workspace)
}

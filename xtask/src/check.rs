//! `cargo xtask check`: the library crates compile for targets that nothing here can run.

use crate::cross;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

pub(crate) const BROWSER: &str = "wasm32-unknown-unknown";
const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// What the libraries are promised to build for, beside the host.
const TARGETS: &[&str] = &[
    BROWSER,
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "aarch64-apple-ios",
    "aarch64-linux-android",
    WINDOWS,
];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let mut target = BROWSER.to_owned();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("target") => target = parser.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if target == "all" {
        return all(workspace);
    }
    ensure!(TARGETS.contains(&target.as_str()), "no such target; there are all, {}", TARGETS.join(", "));
    run(workspace, &target)
}

pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    TARGETS.iter().try_for_each(|target| run(workspace, target))
}

/// A browser has neither threads nor files to map, so there the libraries are built without default features.
fn run(workspace: &Workspace, target: &str) -> Result<()> {
    if target == WINDOWS {
        // Even a check makes the import libraries that the standard library links by name.
        let dlltool = "x86_64-w64-mingw32-dlltool";
        let install = "`apt-get install binutils-mingw-w64-x86-64`";
        ensure!(shell::find(dlltool).is_some(), "there is no {dlltool}: {install}");
    }
    let check = || cross::cargo(workspace, "check", target, "");
    let libraries = workspace.libraries().flat_map(|package| ["--package", &package.name]);
    if target != BROWSER {
        return shell::run(check()?.args(["--quiet", "--lib"]).args(libraries));
    }
    shell::run(check()?.args(["--quiet", "--lib", "--no-default-features"]).args(libraries))?;
    let umbrella = ["--no-default-features", "--package", "tiny-vlm", "--features", "embedded-model"];
    shell::run(check()?.args(["--quiet", "--lib"]).args(umbrella))?;
    shell::run(check()?.args(["--quiet", "--lib", "--package", "tiny-vlm-wasm"]))
}

//! `cargo xtask sanitize`: the tests of the crates that hold the `unsafe` code, with every address checked.
//!
//! AddressSanitizer stops a test at the first read or write outside of what it owns or after it was given back, in
//! vector instructions as well. Miri checks more, aliasing among it, in an interpreter that knows neither vector
//! instructions beyond SSE nor mapped files, so it gets the two crates that need none of them.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, bail, ensure};
use lexopt::{Arg, Parser};
use std::path::Path;
use std::process::Command;

/// The crates where `unsafe` is allowed.
const ADDRESSES: &[&str] = &["tiny-vlm-memory", "tiny-vlm-simd", "tiny-vlm-tensor", "tiny-vlm-kernels"];
/// A test of how little memory is resident, of which the sanitizer holds back what was freed.
const NOT_CHECKED: &[&str] = &["--", "--skip", "a_thousand_images_reuse_their_memory"];
/// Those of them that Miri can run.
const INTERPRETED: &[&str] = &["tiny-vlm-memory", "tiny-vlm-tensor"];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    match parser.next()? {
        None => addresses(workspace),
        Some(Arg::Long("miri")) => miri(workspace),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// The sanitizer's library comes with the standard library of some targets, the commonest among them; it is not in the
/// stable language, so the compiler is told to allow it.
pub(crate) fn addresses(workspace: &Workspace) -> Result<()> {
    let rustc = || Command::new("rustc");
    let version = shell::output(rustc().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let libraries = shell::output(rustc().args(["--print", "target-libdir"]))?;
    ensure!(
        has_library(Path::new(libraries.trim()))?,
        "NOT CHECKED: this compiler has no AddressSanitizer for {host}"
    );
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address")
            // With a target of its own, build scripts and macros are left as they are.
            .args(["test", "--quiet", "--no-fail-fast", "--lib", "--tests", "--target", host])
            .args(packages(ADDRESSES))
            .args(NOT_CHECKED),
    )
}

fn has_library(folder: &Path) -> Result<bool> {
    for file in std::fs::read_dir(folder)? {
        if file?.file_name().to_string_lossy().contains("_rt.asan.") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// With the features that need no files and no threads of the system's making.
fn miri(workspace: &Workspace) -> Result<()> {
    let cargo = || {
        let mut command = Command::new("cargo");
        command.current_dir(&workspace.root).args(["+nightly", "miri"]);
        command
    };
    if !cargo().arg("--version").output().is_ok_and(|output| output.status.success()) {
        bail!("NOT CHECKED: there is no Miri: `rustup toolchain install nightly --component miri,rust-src`");
    }
    shell::run(cargo().args(["test", "--no-default-features", "--lib"]).args(packages(INTERPRETED)))
}

fn packages(names: &'static [&str]) -> impl Iterator<Item = &'static str> {
    names.iter().flat_map(|name| ["--package", name])
}

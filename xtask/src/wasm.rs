//! `cargo xtask wasm`: the package for browsers and Node, in `target/npm/tiny-vlm`.
//!
//! The same crate is compiled once for each set of features that an engine may have, since an engine refuses a module
//! with an instruction that it lacks; the package picks one when it is loaded.

mod bundle;
mod node;
mod sizes;

use crate::check::BROWSER;
use crate::cross;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use std::fs;
use std::path::{Path, PathBuf};

const CRATE: &str = "tiny-vlm-wasm";
const PROFILE: &str = "wasm";
const MODULE: &str = "tiny_vlm_wasm.wasm";

/// One compilation of the crate.
struct Build {
    /// The module's name in the package.
    name: &'static str,
    features: &'static str,
    threads: bool,
}

const BUILDS: &[Build] = &[
    Build { name: "simd128", features: "+simd128", threads: false },
    Build { name: "relaxed", features: cross::RELAXED, threads: false },
    Build { name: "simd128-threads", features: "+simd128,+atomics,+bulk-memory", threads: true },
    Build {
        name: "relaxed-threads",
        features: "+simd128,+relaxed-simd,+atomics,+bulk-memory",
        threads: true,
    },
];

/// Leaves the names of functions out, which the compiler's own way to strip keeps: a sixth of a module.
const NAMELESS: &str = "--strip-all";

/// What the linker is told for a module whose memory several workers share: each of them makes an instance of its own,
/// on a stack and with thread-local data of its own, for which the host has to know these names.
const SHARED_MEMORY: &[&str] = &[
    "--shared-memory",
    "--import-memory",
    "--initial-memory=16777216",
    "--max-memory=4294967296",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__stack_pointer",
];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut only, mut test, mut bench) = (None, false, None::<node::Bench>);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("build") => only = Some(parser.value()?.string()?),
            Arg::Long("test") => test = true,
            Arg::Long("bench") => bench = Some(bench.unwrap_or_default()),
            Arg::Long("models") => bench.get_or_insert_default().models = Some(parser.value()?.into()),
            Arg::Long("rows") => bench.get_or_insert_default().rows = Some(parser.value()?.string()?),
            Arg::Long("threads") => bench.get_or_insert_default().threads = Some(parser.value()?.string()?),
            Arg::Long("json") => bench.get_or_insert_default().json = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let names: Vec<&str> = BUILDS.iter().map(|build| build.name).collect();
    if let Some(name) = &only {
        ensure!(names.contains(&name.as_str()), "there is no build `{name}`; there are {}", names.join(", "));
    }
    if let Some(bench) = bench {
        ensure!(!test && only.is_none(), "--bench times the modules that are there: build them before");
        return node::bench(workspace, &bench);
    }
    let wanted = |build: &&Build| only.as_ref().is_none_or(|name| name == build.name);
    package(workspace, BUILDS.iter().filter(wanted))?;
    if test { node::test(workspace) } else { Ok(()) }
}

/// All the modules and their tests.
pub(crate) fn checked(workspace: &Workspace) -> Result<()> {
    package(workspace, BUILDS.iter())?;
    node::test(workspace)
}

/// The package, brought up to date but for its modules, of which there must be one.
pub(crate) fn built(workspace: &Workspace) -> Result<PathBuf> {
    let package = folder(workspace);
    let built = BUILDS.iter().any(|build| package.join(build.name).with_extension("wasm").is_file());
    ensure!(built, "the package is not built: run `cargo xtask wasm` before this");
    scripts(workspace)?;
    Ok(package)
}

/// Where the package lies once it is built.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("npm/tiny-vlm")
}

/// The package's JavaScript, freshly copied, with the model and these modules; others stay as they are.
fn package<'b>(workspace: &Workspace, builds: impl Iterator<Item = &'b Build>) -> Result<()> {
    let folder = folder(workspace);
    scripts(workspace)?;
    for build in builds {
        let module = compile(workspace, build)?;
        fs::copy(&module, folder.join(build.name).with_extension("wasm"))
            .with_context(|| format!("cannot copy {}", module.display()))?;
    }
    sizes::check(workspace, &folder)
}

/// Copies what is not compiled: cheap enough to be done whenever the package is used.
fn scripts(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    fs::create_dir_all(&folder)?;
    copy_files(&workspace.root.join("crates/wasm/js"), &folder)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(workspace.root.join(licence), folder.join(licence))
            .with_context(|| format!("cannot copy {licence}"))?;
    }
    bundle::write(&workspace.root.join("crates/nano/model"), &folder.join("nano.bundle"))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let file = entry?.path();
        if file.is_file() {
            let name = file.file_name().context("a file has a name")?;
            fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

fn compile(workspace: &Workspace, build: &Build) -> Result<PathBuf> {
    let mut flags = format!("-C target-feature={} -C link-arg={NAMELESS}", build.features);
    if build.threads {
        flags.extend(SHARED_MEMORY.iter().map(|argument| format!(" -C link-arg={argument}")));
    }
    let mut command = match build.threads {
        false => cross::cargo(workspace, "rustc", BROWSER, &flags)?,
        // The standard library that comes with a compiler is not made for memory that is shared.
        true => cross::cargo_with_std(workspace, "rustc", BROWSER, &flags)?,
    };
    command.args(["--quiet", "--package", CRATE, "--lib", "--crate-type", "cdylib", "--profile", PROFILE]);
    if build.threads {
        command.args(["--features", "threads"]);
    }
    shell::run(&mut command)?;
    // The folder that the command was told, or else cargo's own.
    let set = command.get_envs().find(|(name, _)| *name == "CARGO_TARGET_DIR").and_then(|(_, value)| value);
    let target = set.map_or_else(|| workspace.target.clone(), PathBuf::from);
    Ok(target.join(BROWSER).join(PROFILE).join(MODULE))
}

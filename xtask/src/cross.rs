//! Compilers for targets beyond the host: rustup's standard library where it is installed, else Debian's
//! packages, unpacked into a cache folder without installing anything.
//!
//! Debian ships a standard library for its own architectures and the library's source; for any other target
//! cargo builds the library from that source.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler as Debian names it, the LLVM it is built on, and the C library of WebAssembly's tests.
const PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-1.96",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev:arm64",
    "rust-web-src",
    "libllvm22",
    "lld-22",
    "wasi-libc",
];
const FOLDER: &str = "rust-web-1.96";
const WASM_LINKER: &str = "wasm-ld-22";

pub(crate) const ARM_LINUX: &str = "aarch64-unknown-linux-gnu";
pub(crate) const WASI: &str = "wasm32-wasip1";

/// WebAssembly's features with relaxed vectors.
pub(crate) const RELAXED: &str = "+simd128,+relaxed-simd";
/// What Node has to be told to run them: its quick compiler, in version 20, forgets the addend of the relaxed int8 dot
/// product.
pub(crate) const WITHOUT_QUICK_COMPILER: &str = "--no-liftoff";

/// `cargo SUBCOMMAND --target TARGET` with a compiler that can, ready for more arguments.
pub(crate) fn cargo(
    workspace: &Workspace,
    subcommand: &str,
    target: &str,
    rustflags: &str,
) -> Result<Command> {
    command(workspace, subcommand, target, rustflags, rustup_has(target)?)
}

/// As [`cargo`], with a standard library that is compiled with the same flags as the rest.
pub(crate) fn cargo_with_std(
    workspace: &Workspace,
    subcommand: &str,
    target: &str,
    rustflags: &str,
) -> Result<Command> {
    command(workspace, subcommand, target, rustflags, false)
}

fn command(
    workspace: &Workspace,
    subcommand: &str,
    target: &str,
    rustflags: &str,
    installed: bool,
) -> Result<Command> {
    let mut command = shell::cargo();
    command.current_dir(&workspace.root).args([subcommand, "--target", target]);
    let mut rustflags = rustflags.to_owned();
    if !installed {
        let debian = Debian::unpacked()
            .with_context(|| format!("no standard library for {target}: try `rustup target add {target}`"))?;
        debian.set(&mut command, subcommand, target);
        // cargo's cached facts about compilers mix two of them up where they share a folder.
        command.env("CARGO_TARGET_DIR", workspace.target.join("cross"));
        if target == WASI {
            // The older C library lacks two functions of threads, which the runner supplies.
            rustflags.push_str(" -C link-arg=--allow-undefined");
        }
    }
    if target == ARM_LINUX {
        command.env(variable(target, "LINKER"), "aarch64-linux-gnu-gcc");
    }
    if !rustflags.is_empty() {
        command.env(variable(target, "RUSTFLAGS"), rustflags.trim());
    }
    Ok(command)
}

/// `cargo SUBCOMMAND` for WebAssembly with these features, whose programs run in Node with these options.
pub(crate) fn in_node(
    workspace: &Workspace,
    subcommand: &str,
    features: &str,
    options: &str,
) -> Result<Command> {
    ensure!(shell::find("node").is_some(), "there is no node: install Node 20 or later");
    let script = workspace.root.join("xtask/wasi.mjs");
    let mut command = cargo(workspace, subcommand, WASI, &format!("-C target-feature={features}"))?;
    command.env(variable(WASI, "RUNNER"), format!("node {options} --no-warnings {}", script.display()));
    Ok(command)
}

/// Cargo's environment variable for a setting of a target.
pub(crate) fn variable(target: &str, setting: &str) -> String {
    format!("CARGO_TARGET_{}_{setting}", target.to_uppercase().replace('-', "_"))
}

/// Whether the compiler at hand has a standard library for `target`.
fn rustup_has(target: &str) -> Result<bool> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = shell::output(Command::new(rustc).args(["--print", "target-libdir", "--target", target]))?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// Debian's compiler, unpacked.
struct Debian {
    usr: PathBuf,
}

impl Debian {
    fn unpacked() -> Result<Debian> {
        let cache = cache()?;
        let debian = Debian { usr: cache.join(FOLDER).join("usr") };
        if !debian.usr.is_dir() {
            // Unpacked beside its place and then moved there, so that a folder of that name is whole.
            let rough = cache.join(format!("{FOLDER}.{}", std::process::id()));
            let outcome = unpack(&rough);
            if outcome.is_ok() && !debian.usr.is_dir() {
                fs::rename(&rough, cache.join(FOLDER))?;
            } else {
                let _ = fs::remove_dir_all(&rough);
            }
            outcome?;
        }
        shell::output(debian.with_libraries(&mut Command::new(debian.rustc())).arg("--version")).context(
            "Debian's rustc does not start: `apt-get install libllvm22` brings the libraries it needs",
        )?;
        Ok(debian)
    }

    fn rustc(&self) -> PathBuf {
        self.usr.join("bin/rustc")
    }

    fn with_libraries<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_LIBRARY_PATH", self.usr.join("lib/x86_64-linux-gnu"))
    }

    fn set(&self, command: &mut Command, subcommand: &str, target: &str) {
        self.with_libraries(command).env("RUSTC", self.rustc());
        if self.usr.join("lib/rustlib").join(target).join("lib").read_dir().is_ok_and(has_libraries) {
            return;
        }
        // Building the standard library is not stable; the compiler is told to allow it.
        let harness = if matches!(subcommand, "test" | "bench") { ",test" } else { "" };
        command.env("RUSTC_BOOTSTRAP", "1").arg(format!("-Zbuild-std=std,panic_abort{harness}"));
        if target.starts_with("wasm32") {
            command.env(variable(target, "LINKER"), self.usr.join("bin").join(WASM_LINKER));
        }
    }
}

fn has_libraries(folder: fs::ReadDir) -> bool {
    folder.flatten().any(|file| file.path().extension() == Some("rlib".as_ref()))
}

/// Downloads the packages and unpacks them into `folder`. apt keeps its lists there too, so that neither the
/// lists nor the architectures of the system change.
fn unpack(folder: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg"] {
        ensure!(shell::find(tool).is_some(), "Debian's packages serve as well, but there is no {tool} here");
    }
    ensure!(cfg!(target_arch = "x86_64"), "Debian's packages are used on x86-64 hosts only");
    let downloads = folder.join("downloads");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(downloads.join(part))?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .current_dir(&downloads)
            .args(["-qq", "-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"])
            .args(["-o", "APT::Sandbox::User=root", "-o"])
            .arg(format!("Dir::State::lists={}", downloads.join("lists").display()))
            .arg("-o")
            .arg(format!("Dir::Cache={}", downloads.join("cache").display()))
            .args(arguments);
        command
    };
    shell::run(&mut apt(&["update"]))?;
    shell::run(apt(&["download"]).args(PACKAGES))?;
    for file in fs::read_dir(&downloads)? {
        let file = file?.path();
        if file.extension() == Some("deb".as_ref()) {
            shell::output(Command::new("dpkg").arg("-x").arg(file).arg(folder))?;
        }
    }
    fs::remove_dir_all(downloads)?;

    // Where the compiler looks for the C library of a target that brings its own.
    let libraries = folder.join("usr/lib/wasm32-wasi");
    let own = folder.join("usr/lib/rustlib").join(WASI).join("lib/self-contained");
    fs::create_dir_all(&own)?;
    for file in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        fs::copy(libraries.join(file), own.join(file))?;
    }
    Ok(())
}

/// Kept over checkouts: the compiler does not depend on the sources.
fn cache() -> Result<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(base) = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache"))) else {
        bail!("neither XDG_CACHE_HOME nor HOME says where a cache may lie");
    };
    Ok(base.join("tiny-vlm"))
}

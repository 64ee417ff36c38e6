//! `cargo xtask test`: the tests, on the host, at each of its instruction sets, and on emulated targets.

use crate::cross;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use std::process::Command;
use tiny_vlm_simd::Level;

/// The crates whose code differs from one instruction set to another.
const KERNEL_CRATES: &[&str] = &["tiny-vlm-simd", "tiny-vlm-kernels", "tiny-vlm-quant"];
/// What else may behave otherwise on another processor, by layout, alignment, atomics, rounding or the width of a
/// pointer. The runtime and what stands on it add nothing of that kind.
const OTHER_CRATES: &[&str] = &[
    "tiny-vlm-memory",
    "tiny-vlm-tensor",
    "tiny-vlm-image",
    "tiny-vlm-weights",
    "tiny-vlm-layers",
    "tiny-vlm-text",
    "tiny-vlm-vision",
    "tiny-vlm-decoder",
    "tiny-vlm-fusion",
    "tiny-vlm-models",
];

/// What an emulated processor would take minutes for and another test covers there: nano's answers to the whole committed
/// set of pictures and with random weights, nano quantized again and again, texts by the thousand beside another
/// tokenizer, and what does not depend on the processor: who allocates, and sizes of files.
const NOT_EMULATED: &[&str] = &[
    "answers_to_the_committed_set",
    "golden::answers_agree_with_the_reference",
    "stages_of_random_weights_agree_with_the_reference",
    "what_matters_to_answers",
    "few_bits_answer_alike",
    "budgets_of_bytes_are_kept",
    "bytes_answer_as_they_do_in_memory",
    "committed_fixture",
    "steps_do_not_allocate",
];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut target, mut isa, mut packages) = (None, None, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("target") => target = Some(parser.value()?.string()?),
            Arg::Long("isa") => isa = Some(parser.value()?.string()?),
            Arg::Short('p') | Arg::Long("package") => packages.push(parser.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match (target.as_deref(), isa.as_deref()) {
        (None, None) => host(workspace, &packages),
        (None, Some("all")) => every_level(workspace),
        (None, Some(level)) => at_level(workspace, level),
        (Some("aarch64"), None) => aarch64(workspace),
        (Some("wasm32"), None) => wasm32(workspace),
        (Some(_), Some(_)) => bail!("--isa and --target do not go together"),
        (Some(other), None) => bail!("there are tests for the targets aarch64 and wasm32, not for `{other}`"),
    }
}

/// Every test and doctest of the host; with nextest, which runs tests of several crates at once, if it is there.
pub(crate) fn host(workspace: &Workspace, packages: &[String]) -> Result<()> {
    let cargo = |arguments: &[&str]| -> Command {
        let mut command = shell::cargo();
        command.current_dir(&workspace.root).args(arguments);
        if packages.is_empty() {
            command.arg("--workspace");
        }
        command.args(packages.iter().flat_map(|name| ["--package", name]));
        command
    };
    if shell::find("cargo-nextest").is_none() {
        return shell::run(&mut cargo(&["test"]));
    }
    shell::run(&mut cargo(&["nextest", "run", "--no-tests", "pass"]))?;
    shell::run(&mut cargo(&["test", "--doc"]))
}

pub(crate) fn every_level(workspace: &Workspace) -> Result<()> {
    Level::available().into_iter().try_for_each(|level| at_level(workspace, level.name()))
}

/// A level that this machine lacks is refused: it would test the next lower one in its name.
fn at_level(workspace: &Workspace, level: &str) -> Result<()> {
    let here: Vec<&str> = Level::available().into_iter().map(Level::name).collect();
    ensure!(here.contains(&level), "this machine has the levels {}, not `{level}`", here.join(", "));
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .env("TINY_VLM_ISA", level)
            .args(["test", "--quiet", "--no-fail-fast", "--lib", "--tests"])
            .args(packages(KERNEL_CRATES)),
    )
}

pub(crate) fn aarch64(workspace: &Workspace) -> Result<()> {
    for tool in ["aarch64-linux-gnu-gcc", "qemu-aarch64-static"] {
        let install = "`apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static`";
        ensure!(shell::find(tool).is_some(), "there is no {tool}: {install}");
    }
    let runner = "qemu-aarch64-static -cpu max -L /usr/aarch64-linux-gnu";
    shell::run(
        cross::cargo(workspace, "test", cross::ARM_LINUX, "")?
            .env(cross::variable(cross::ARM_LINUX, "RUNNER"), runner)
            .args(["--quiet", "--no-fail-fast", "--lib", "--tests"])
            .args(packages(KERNEL_CRATES))
            .args(packages(OTHER_CRATES))
            .args(emulated()),
    )
}

/// Under WASI, which has a stdout and files for the test harness; the code under test is the browser's.
pub(crate) fn wasm32(workspace: &Workspace) -> Result<()> {
    let test = |features: &str, node: &str| -> Result<Command> {
        let mut command = cross::in_node(workspace, "test", features, node)?;
        command.args(["--quiet", "--no-fail-fast", "--lib", "--tests"]).args(packages(KERNEL_CRATES));
        Ok(command)
    };
    shell::run(test("+simd128", "")?.args(packages(OTHER_CRATES)).args(emulated()))?;
    shell::run(&mut test(cross::RELAXED, cross::WITHOUT_QUICK_COMPILER)?)
}

fn packages(names: &'static [&str]) -> impl Iterator<Item = &'static str> {
    names.iter().flat_map(|name| ["--package", name])
}

/// What tests are told that leave out what takes an emulated processor too long.
fn emulated() -> impl Iterator<Item = &'static str> {
    ["--"].into_iter().chain(NOT_EMULATED.iter().flat_map(|name| ["--skip", name]))
}

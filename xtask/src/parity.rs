//! `cargo xtask parity`: a checkpoint at its published size against its reference implementation, stage by stage, and its
//! other precisions against f32.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The model that is carried along.
const CARRIED: &str = "crates/nano/model";

/// `--family NAME --full CHECKPOINT`, or `--questions SET` with a checkpoint or without.
pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut family, mut checkpoint, mut questions) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("family") => family = Some(parser.value()?.string()?),
            Arg::Long("full") => checkpoint = Some(std::path::absolute(PathBuf::from(parser.value()?))?),
            Arg::Long("questions") => questions = Some(std::path::absolute(PathBuf::from(parser.value()?))?),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(set) = questions {
        let checkpoint = checkpoint.unwrap_or_else(|| workspace.root.join(CARRIED));
        return compare(workspace, &checkpoint, "--questions", &set);
    }
    let family = family.context("which family: --family NAME, as its script in fixtures/golden")?;
    let checkpoint = checkpoint.context("which checkpoint: --full FOLDER")?;
    let script = workspace.root.join("fixtures/golden").join(format!("{family}.py"));
    if !script.is_file() {
        bail!("nothing in fixtures/golden makes golden values of `{family}`");
    }
    let folder = workspace.target.join("parity").join(&family);
    std::fs::create_dir_all(&folder)?;
    let python = shell::python(&workspace.root);
    shell::run(Command::new(python).arg(script).arg("--full").args([&checkpoint, &folder]))?;
    compare(workspace, &checkpoint, "--golden", &folder.join(&family))
}

/// Runs the comparison, which prints its tables.
fn compare(workspace: &Workspace, checkpoint: &Path, how: &str, of: &Path) -> Result<()> {
    let example = ["--quiet", "--release", "--package", "tiny-vlm-models", "--example", "parity", "--"];
    let arguments = [checkpoint.as_os_str(), OsStr::new(how), of.as_os_str()];
    shell::run(shell::cargo().current_dir(&workspace.root).arg("run").args(example).args(arguments))
}

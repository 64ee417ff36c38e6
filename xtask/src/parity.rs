//! `cargo xtask parity`: a checkpoint at its published size against its reference implementation, stage by stage.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut family, mut checkpoint) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("family") => family = Some(parser.value()?.string()?),
            Arg::Long("full") => checkpoint = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let family = family.context("which family: --family NAME, as its script in fixtures/golden")?;
    let checkpoint = std::path::absolute(checkpoint.context("which checkpoint: --full FOLDER")?)?;
    let script = workspace.root.join("fixtures/golden").join(format!("{family}.py"));
    if !script.is_file() {
        bail!("nothing in fixtures/golden makes golden values of `{family}`");
    }
    let folder = workspace.target.join("parity").join(&family);
    std::fs::create_dir_all(&folder)?;
    let python = shell::python(&workspace.root);
    shell::run(Command::new(python).arg(script).arg("--full").args([&checkpoint, &folder]))?;
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args([
                "run",
                "--quiet",
                "--release",
                "--package",
                "tiny-vlm-models",
                "--example",
                "parity",
                "--",
            ])
            .args([&checkpoint, &folder.join(&family)]),
    )
}

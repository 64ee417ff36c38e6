//! `cargo xtask golden`: the values that tests compare with, made again by the reference implementations.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The published families' scripts, `FAMILY.py` each.
const SCRIPTS: &str = "fixtures/golden";
/// What those scripts share, which is none itself.
const SHARED: &str = "checkpoint";

/// How the golden values of one kind are made.
enum Maker {
    /// A script that is told where its checkpoints go.
    Family(PathBuf),
    /// A script that knows where.
    Script(PathBuf),
    /// A module of `training/`.
    Module(&'static str),
}

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let makers = makers(workspace)?;
    let mut wanted = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(name) => wanted.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(unknown) = wanted.iter().find(|name| !makers.contains_key(*name)) {
        let known: Vec<&str> = makers.keys().map(String::as_str).collect();
        bail!("nothing makes golden values of `{unknown}`; known are {}", known.join(", "));
    }
    for (name, maker) in &makers {
        if wanted.is_empty() || wanted.contains(name) {
            maker.run(&workspace.root)?;
        }
    }
    Ok(())
}

/// What can be made, by name: the families in [`SCRIPTS`], the crates that have a script of their own, and nano.
fn makers(workspace: &Workspace) -> Result<BTreeMap<String, Maker>> {
    let mut makers = BTreeMap::from([("nano".to_owned(), Maker::Module("nano.golden"))]);
    for file in workspace.files()? {
        let (Some(folder), Some(stem)) = (file.parent(), file.file_stem()) else { continue };
        let stem = stem.to_string_lossy();
        if folder == Path::new(SCRIPTS) && file.extension() == Some("py".as_ref()) && stem != SHARED {
            makers.insert(stem.into_owned(), Maker::Family(file));
        } else if file.ends_with("tests/golden/make.py") {
            let of = file.components().nth(1).map(|name| name.as_os_str().to_string_lossy().into_owned());
            makers.extend(of.map(|name| (name, Maker::Script(file))));
        }
    }
    Ok(makers)
}

impl Maker {
    fn run(&self, root: &Path) -> Result<()> {
        let mut command = Command::new(shell::python(root));
        match self {
            Self::Family(script) => command.current_dir(root).arg(script).arg("fixtures/models"),
            Self::Script(script) => command.current_dir(root).arg(script),
            Self::Module(module) => command.current_dir(root.join("training")).args(["-m", module]),
        };
        shell::run(&mut command)
    }
}

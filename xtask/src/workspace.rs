//! What cargo knows of the workspace: its packages, their dependencies and targets, and git's list of files.

use crate::shell;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The members, without what they depend on.
    pub(crate) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The registries it may go to: none at all where it is not published, absent where any will do.
    publish: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Set for the members of this workspace only.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    pub(crate) fn load() -> Result<Workspace> {
        Self::read(&mut shell::cargo())
    }

    /// The workspace of the fuzz targets, which stands by itself.
    pub(crate) fn fuzz(&self) -> Result<Workspace> {
        Self::read(shell::cargo().current_dir(self.root.join("fuzz")))
    }

    fn read(cargo: &mut Command) -> Result<Workspace> {
        let json = shell::output(cargo.args(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&json).context("cannot read what `cargo metadata` says")
    }

    /// The files git tracks, and those it would if they were added, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let list = shell::output(Command::new("git").current_dir(&self.root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let mut files: Vec<PathBuf> =
            list.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        files.retain(|path| self.root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// A path as a person at the root of the checkout writes it.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The library crates that are published: what has to build for every target.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published() && package.has_library())
    }
}

impl Package {
    pub(crate) fn published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    fn has_library(&self) -> bool {
        self.targets.iter().any(|target| target.is("lib"))
    }
}

impl Target {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|its| its == kind)
    }
}

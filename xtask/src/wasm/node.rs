//! The tests and timings of the package: scripts in `crates/wasm/tests` that Node runs, most of them with a browser.

use super::{built, folder};
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What drives the browser. It brings no browser of its own.
const PLAYWRIGHT: &str = "playwright-core@1.64.1";
/// What timings are compared with.
const PEER: &str = "onnxruntime-web@1.30.0";

/// What is timed.
#[derive(Default)]
pub(super) struct Bench {
    /// The folder of checkpoints.
    pub(super) models: Option<PathBuf>,
    /// Only rows that have this in their names.
    pub(super) rows: Option<String>,
    /// Numbers of threads, such as `1,2`.
    pub(super) threads: Option<String>,
    pub(super) json: bool,
}

/// The answers of the package in Node, and the page in a browser where there is one.
pub(super) fn test(workspace: &Workspace) -> Result<()> {
    ensure!(shell::find("node").is_some(), "there is no node: install Node 20 or later");
    shell::run(&mut node(workspace, "node.mjs"))?;
    let browser = match Browser::find(workspace) {
        Ok(browser) => browser,
        Err(reason) => {
            eprintln!("xtask: NOT CHECKED: the package in a browser: {reason:#}");
            return Ok(());
        }
    };
    for file in ["page.mjs", "bundler.mjs"] {
        shell::run(&mut browser.node(workspace, file)?)?;
    }
    Ok(())
}

/// How long everything takes in a browser.
pub(super) fn bench(workspace: &Workspace, bench: &Bench) -> Result<()> {
    built(workspace)?;
    let browser = Browser::find(workspace)?;
    let mut command = browser.node(workspace, "bench.mjs")?;
    if let Some(models) = &bench.models {
        let models = models.canonicalize().with_context(|| format!("cannot find {}", models.display()))?;
        if models.join("onnx").is_dir() {
            fetch(&browser.tools, PEER)?;
        }
        command.env("TINY_VLM_MODELS", models);
    }
    for (name, value) in [("TINY_VLM_ROWS", &bench.rows), ("TINY_VLM_THREADS", &bench.threads)] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("TINY_VLM_JSON", if bench.json { "1" } else { "0" });
    shell::run(&mut command)
}

/// Chromium, and what drives it.
struct Browser {
    chromium: PathBuf,
    tools: PathBuf,
}

impl Browser {
    fn find(workspace: &Workspace) -> Result<Browser> {
        let chromium = shell::find("chromium").context("there is no chromium: `apt-get install chromium`")?;
        let tools = workspace.target.join("npm/tools");
        fetch(&tools, PLAYWRIGHT)?;
        Ok(Browser { chromium, tools })
    }

    fn node(&self, workspace: &Workspace, file: &str) -> Result<Command> {
        let mut command = node(workspace, file);
        command.env("TINY_VLM_TOOLS", &self.tools).env("TINY_VLM_XTASK", std::env::current_exe()?);
        command.env("CHROMIUM", &self.chromium);
        Ok(command)
    }
}

/// Node with a script. Files of tests are run by its own runner.
fn node(workspace: &Workspace, file: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(&workspace.root).arg("--no-warnings");
    if file != "bench.mjs" {
        command.arg("--test");
    }
    command.arg(workspace.root.join("crates/wasm/tests").join(file));
    command.env("TINY_VLM_PACKAGE", folder(workspace));
    command
}

/// Has npm bring `package`, as `NAME@VERSION`, if it is not in `tools` yet.
fn fetch(tools: &Path, package: &str) -> Result<()> {
    let (name, _) = package.split_once('@').context("a package has a version")?;
    if tools.join("node_modules").join(name).is_dir() {
        return Ok(());
    }
    ensure!(shell::find("npm").is_some(), "there is no npm to fetch {package}: `apt-get install npm`");
    fs::create_dir_all(tools)?;
    // It is noted in the folder, so that what is fetched later leaves it there.
    let npm = ["install", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error", "--prefix"];
    shell::run(Command::new("npm").args(npm).arg(tools).arg(package))
        .with_context(|| format!("npm cannot fetch {package}"))
}

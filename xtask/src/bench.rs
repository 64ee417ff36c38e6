//! `cargo xtask bench`: the criterion benchmarks; `bench kernels`: every kernel beside the machine's limits and other
//! libraries; `bench dispatch`: whether the instruction set that is picked is the fastest; `bench quantization`: what each
//! number format loses.

use crate::cross;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use lexopt::Parser;
use std::ffi::OsString;

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let mut arguments: Vec<OsString> = parser.raw_args()?.collect();
    let bench = match arguments.first().and_then(|first| first.to_str()) {
        Some("kernels") => "kernels",
        Some("quantization") => "quantization",
        // It stays among the arguments: a question to the same cases.
        Some("dispatch") => "kernels",
        _ => "products",
    };
    if arguments.first().is_some_and(|first| first == bench) {
        arguments.remove(0);
    }
    let mut command = match target(&mut arguments).as_deref() {
        None => {
            let mut command = shell::cargo();
            command.current_dir(&workspace.root).arg("bench");
            command
        }
        Some("wasm32") if bench == "kernels" => {
            cross::in_node(workspace, "bench", cross::RELAXED, cross::WITHOUT_QUICK_COMPILER)?
        }
        Some(other) => {
            bail!("`kernels` and `dispatch` can be run for the target wasm32, not `{bench}` for `{other}`")
        }
    };
    shell::run(command.args(["--package", "tiny-vlm-benches", "--bench", bench, "--"]).args(arguments))
}

/// Takes `--target NAME` out of the arguments.
fn target(arguments: &mut Vec<OsString>) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == "--target")?;
    let pair: Vec<OsString> = arguments.drain(at..arguments.len().min(at + 2)).collect();
    Some(pair.get(1).map_or(String::new(), |name| name.to_string_lossy().into_owned()))
}

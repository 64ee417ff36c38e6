//! `cargo xtask bench`: the criterion benchmarks; `bench kernels`: every kernel beside the machine's limits and other
//! libraries; `bench dispatch`: whether the instruction set that is picked is the fastest; `bench quantization`: what each
//! number format loses.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::Result;
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
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["bench", "--package", "tiny-vlm-benches", "--bench", bench, "--"])
            .args(arguments),
    )
}

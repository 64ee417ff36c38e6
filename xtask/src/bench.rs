//! `cargo xtask bench`: the criterion benchmarks, and `cargo xtask bench kernels`: every kernel beside the machine's
//! limits and other libraries.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::Result;
use lexopt::Parser;
use std::ffi::OsString;

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let mut arguments: Vec<OsString> = parser.raw_args()?.collect();
    let target = if arguments.first().is_some_and(|first| first == "kernels") {
        arguments.remove(0);
        "kernels"
    } else {
        "products"
    };
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["bench", "--package", "tiny-vlm-benches", "--bench", target, "--"])
            .args(arguments),
    )
}

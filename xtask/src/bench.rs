//! `cargo xtask bench`: the criterion benchmarks; `bench kernels`: every kernel beside the machine's limits and other
//! libraries; `bench quantization`: what each number format loses.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::Result;
use lexopt::Parser;
use std::ffi::OsString;

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let mut arguments: Vec<OsString> = parser.raw_args()?.collect();
    let table = ["kernels", "quantization"];
    let table = table.into_iter().find(|table| arguments.first().is_some_and(|first| first == table));
    if table.is_some() {
        arguments.remove(0);
    }
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["bench", "--package", "tiny-vlm-benches", "--bench", table.unwrap_or("products"), "--"])
            .args(arguments),
    )
}

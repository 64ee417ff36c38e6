//! `cargo xtask bench`: the criterion benchmarks.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::Result;
use lexopt::Parser;
use std::ffi::OsString;

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let arguments: Vec<OsString> = parser.raw_args()?.collect();
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["bench", "--package", "tiny-vlm-benches", "--"])
            .args(arguments),
    )
}

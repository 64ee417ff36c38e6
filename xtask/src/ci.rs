//! `cargo xtask ci`: every check there is, in order, with the time each took.

use crate::workspace::Workspace;
use crate::{check, lint, package, sanitize, size, test, wasm};
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::time::Instant;

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: &[Step] = &[
    ("lint", lint::run),
    ("size", size::run),
    ("package", package::run),
    ("check", check::all),
    ("isa", test::every_level),
    ("sanitize", sanitize::addresses),
    ("aarch64", test::aarch64),
    ("wasm32", test::wasm32),
    ("wasm", wasm::checked),
    ("test", |workspace| test::host(workspace, &[])),
];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let mut steps = STEPS.to_vec();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("list") => {
                STEPS.iter().for_each(|(name, _)| println!("{name}"));
                return Ok(());
            }
            Arg::Long("skip") => {
                let skipped = names(&parser.value()?.string()?)?;
                steps.retain(|(name, _)| !skipped.contains(name));
            }
            Arg::Long("only") => {
                let kept = names(&parser.value()?.string()?)?;
                steps.retain(|(name, _)| kept.contains(name));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    run(workspace, &steps)
}

/// Runs all the steps even where one fails, so that one run tells everything that is wrong.
fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let mut report = String::new();
    let mut failed = Vec::new();
    for (name, step) in steps {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = step(workspace);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        report += &format!("  {name:<8} {word:<6} {:>4} s\n", start.elapsed().as_secs());
        if let Err(error) = outcome {
            eprintln!("xtask: {name}: {error:#}");
            failed.push(*name);
        }
    }
    eprint!("\n{report}");
    if !failed.is_empty() {
        bail!("failed: {}; `cargo xtask ci --only {}` repeats it", failed.join(", "), failed.join(","));
    }
    Ok(())
}

/// The steps that a list like `lint,test` names.
fn names(list: &str) -> Result<Vec<&'static str>> {
    list.split(',')
        .map(|wanted| {
            let step = STEPS.iter().find(|(name, _)| *name == wanted);
            let (name, _) = step.with_context(|| {
                format!("there is no step `{wanted}`; `cargo xtask ci --list` lists them")
            })?;
            Ok(*name)
        })
        .collect()
}

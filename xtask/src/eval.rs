//! `cargo xtask eval`: the table of what nano can do, in int8 and f32, beside Tesseract where it reads print.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How Tesseract may look at a picture; the mode that does best over a row counts.
const TESSERACT_MODES: [&str; 3] = ["3", "6", "7"];
/// Pictures of a row that Tesseract reads: it takes a second or more for a page.
const TESSERACT_PICTURES: usize = 40;

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    row: String,
    count: usize,
    measure: String,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct Label {
    image: String,
    row: String,
    #[serde(default)]
    answers: serde_json::Value,
    score: String,
}

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut set, mut made) = (workspace.root.join("fixtures/eval"), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("make") => made = Some(parser.value()?.string()?),
            Arg::Value(folder) => set = PathBuf::from(folder),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(count) = made {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "../.venv/bin/python".into());
        let folder = std::path::absolute(&set)?;
        let arguments = ["-m", "nano.evalset"];
        shell::run(
            Command::new(python)
                .current_dir(workspace.root.join("training"))
                .args(arguments)
                .arg(folder)
                .args(["--count", &count]),
        )?;
    }
    let int8 = answer(workspace, &set, &[])?;
    let f32 = answer(workspace, &set, &["--model", "training/export", "--precision", "f32"])?;
    let read_by_tesseract =
        if shell::find("tesseract").is_some() { tesseract(&set)? } else { BTreeMap::new() };
    if read_by_tesseract.is_empty() {
        eprintln!("xtask: no Tesseract to compare with: apt-get install tesseract-ocr");
    }
    println!(
        "| row | pictures | int8 | f32 | Tesseract, first {TESSERACT_PICTURES} |\n|---|---:|---:|---:|---:|"
    );
    for (a, b) in int8.rows.iter().zip(&f32.rows) {
        let (Some(int8), Some(f32)) = (a.scores.first(), b.scores.first()) else { continue };
        let what = if a.measure == "right" { "" } else { " (wrong characters)" };
        let other = read_by_tesseract.get(&a.row).map_or(String::new(), |score| format!("{score:.1} %"));
        println!("| {}{what} | {} | {int8:.1} % | {f32:.1} % | {other} |", a.row, a.count);
    }
    Ok(())
}

fn answer(workspace: &Workspace, set: &Path, arguments: &[&str]) -> Result<Table> {
    let json = shell::output(
        shell::cargo()
            .current_dir(&workspace.root)
            .args(["run", "--quiet", "--release", "--package", "tiny-vlm-cli", "--", "eval", "--json"])
            .args(arguments)
            .arg(std::path::absolute(set)?),
    )?;
    serde_json::from_str(&json).context("cannot read what `tiny-vlm eval --json` says")
}

/// Tesseract's mean share of wrong characters in each row of print, in percent.
fn tesseract(set: &Path) -> Result<BTreeMap<String, f64>> {
    let labels = std::fs::read_to_string(set.join("labels.jsonl"))?;
    let labels: Vec<Label> =
        labels.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("labels.jsonl")?;
    let mut seen = BTreeMap::<String, usize>::new();
    let read = |label: &Label| {
        let count = seen.entry(label.row.clone()).or_default();
        *count += 1;
        label.score == "text" && *count <= TESSERACT_PICTURES
    };
    let labels: Vec<Label> = labels.into_iter().filter(read).collect();
    let jobs: Vec<(&Label, &str)> =
        labels.iter().flat_map(|label| TESSERACT_MODES.map(|mode| (label, mode))).collect();
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<(&str, &str), (f64, usize)>::new()));
    let work = || -> Result<()> {
        while let Some(&(label, mode)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let truth = label.answers[0].as_str().unwrap_or_default();
            let output = Command::new("tesseract")
                .arg(set.join(&label.image))
                .args(["-", "--psm", mode, "-l", "eng"])
                .env("OMP_THREAD_LIMIT", "1")
                .output()
                .context("cannot start tesseract")?;
            let read = String::from_utf8_lossy(&output.stdout).trim().replace("\n\n", "\n");
            let wrong = edits(&read, truth) as f64 / truth.chars().count().max(1) as f64;
            let Ok(mut sums) = sums.lock() else { bail!("a worker failed") };
            let entry = sums.entry((&label.row, mode)).or_default();
            *entry = (entry.0 + wrong, entry.1 + 1);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(work);
        work()?;
        other.join().unwrap_or_else(|_| bail!("a worker failed"))
    })?;
    let mut best = BTreeMap::new();
    let Ok(sums) = sums.into_inner() else { bail!("a worker failed") };
    for ((row, _), (sum, count)) in sums {
        let mean = 100.0 * sum / count as f64;
        let entry = best.entry(row.to_owned()).or_insert(mean);
        *entry = mean.min(*entry);
    }
    Ok(best)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut last = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(last + usize::from(x != y));
            last = above;
        }
    }
    row[b.len()]
}

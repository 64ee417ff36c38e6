//! `cargo xtask eval`: the table of what nano can do, in int8 and f32, beside Tesseract where it reads print.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How Tesseract may look at a picture; the mode that does best over a row counts.
const TESSERACT_MODES: [&str; 3] = ["3", "6", "7"];
/// Pictures of a row that Tesseract reads: it takes a second or more for a page.
const TESSERACT_PICTURES: usize = 100;

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

/// What nano said of a picture.
#[derive(Deserialize)]
struct Answer {
    image: String,
    answer: String,
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
        let python = shell::python(&workspace.root);
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
    std::fs::create_dir_all(&workspace.target)?;
    let answers = workspace.target.join("eval-answers.jsonl");
    let file = answers.to_str().context("the target folder's name is not UTF-8")?;
    let int8 = answer(workspace, &set, &["--answers", file])?;
    let f32 = answer(workspace, &set, &["--model", "training/export", "--precision", "f32"])?;
    let read = match shell::find("tesseract") {
        Some(_) => beside_tesseract(&set, &answers)?,
        None => {
            eprintln!("xtask: no Tesseract to compare with: apt-get install tesseract-ocr");
            BTreeMap::new()
        }
    };
    println!(
        "| row | pictures | int8 | f32 | Tesseract beside int8, first {TESSERACT_PICTURES} |\n|---|---:|---:|---:|---:|"
    );
    for (a, b) in int8.rows.iter().zip(&f32.rows) {
        let (Some(int8), Some(f32)) = (a.scores.first(), b.scores.first()) else { continue };
        let what = if a.measure == "right" { "" } else { " (wrong characters)" };
        let other = read
            .get(&a.row)
            .map_or(String::new(), |[tesseract, nano]| format!("{tesseract:.1} % beside {nano:.1} %"));
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

/// Character error rates of Tesseract and of nano in each row of print, in percent, over the same pictures.
fn beside_tesseract(set: &Path, answers: &Path) -> Result<BTreeMap<String, [f64; 2]>> {
    let labels: Vec<Label> = lines_of(&set.join("labels.jsonl"))?;
    let answers: Vec<Answer> = lines_of(answers)?;
    let answers: BTreeMap<&str, &str> =
        answers.iter().map(|answer| (answer.image.as_str(), answer.answer.as_str())).collect();
    let mut seen = BTreeMap::<String, usize>::new();
    let read = |label: &Label| {
        let count = seen.entry(label.row.clone()).or_default();
        *count += 1;
        label.score == "text" && *count <= TESSERACT_PICTURES
    };
    let labels: Vec<Label> = labels.into_iter().filter(read).collect();
    let jobs: Vec<(&Label, &str)> =
        labels.iter().flat_map(|label| TESSERACT_MODES.map(|mode| (label, mode))).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<(&str, &str), usize>::new()));
    let work = || -> Result<()> {
        while let Some(&(label, mode)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let output = Command::new("tesseract")
                .arg(set.join(&label.image))
                .args(["-", "--psm", mode, "-l", "eng"])
                .env("OMP_THREAD_LIMIT", "1")
                .output()
                .context("cannot start tesseract")?;
            let read = String::from_utf8_lossy(&output.stdout).trim().replace("\n\n", "\n");
            let Ok(mut wrong) = wrong.lock() else { bail!("a worker failed") };
            *wrong.entry((&label.row, mode)).or_default() += edits(&read, label.truth());
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(work);
        work()?;
        other.join().unwrap_or_else(|_| bail!("a worker failed"))
    })?;
    let Ok(wrong) = wrong.into_inner() else { bail!("a worker failed") };
    let mut rates = BTreeMap::new();
    for row in seen.keys() {
        let here = || labels.iter().filter(|label| label.row == *row);
        let characters: usize = here().map(|label| label.truth().chars().count()).sum();
        let of_nano = |label: &Label| {
            edits(answers.get(label.image.as_str()).copied().unwrap_or_default(), label.truth())
        };
        let tesseract = TESSERACT_MODES.iter().filter_map(|mode| wrong.get(&(row.as_str(), *mode))).min();
        if let Some(&tesseract) = tesseract {
            let nano: usize = here().map(of_nano).sum();
            let rate = |wrong: usize| 100.0 * wrong as f64 / characters.max(1) as f64;
            rates.insert(row.clone(), [rate(tesseract), rate(nano)]);
        }
    }
    Ok(rates)
}

impl Label {
    fn truth(&self) -> &str {
        self.answers[0].as_str().unwrap_or_default()
    }
}

/// The records of a file of JSON lines.
fn lines_of<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines: Result<_, _> = text.lines().map(serde_json::from_str).collect();
    lines.with_context(|| path.display().to_string())
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

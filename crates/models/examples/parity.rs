//! A checkpoint against what its reference implementation makes of it, and its other precisions against f32; `cargo xtask
//! parity` calls it.
//!
//! `parity CHECKPOINT --golden FOLDER` prints how far each stage is off in f32 from what `fixtures/golden` wrote to FOLDER.
//! `parity CHECKPOINT --questions SET` answers the questions of SET's `labels.jsonl` in f32. Both then print how far the
//! distributions of the tokens of these answers are from those of f32 in each other precision.

#[path = "../tests/golden/mod.rs"]
mod golden;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use golden::{Answered, CLOSE, Conversation, Golden, Scores};
use serde::Deserialize;
use tiny_vlm_image::{Image, Limits};
use tiny_vlm_models::{Family, ModelOptions, Precision, open};
use tiny_vlm_tensor::{Workspace, default_threads};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [checkpoint, how, of] = &arguments[..] else {
        eprintln!("usage: parity CHECKPOINT --golden FOLDER | --questions SET");
        return ExitCode::FAILURE;
    };
    match compare(Path::new(checkpoint), how == "--golden", Path::new(of)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints both tables; whether every stage is the reference's.
fn compare(checkpoint: &Path, golden: bool, of: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let load = |precision| open(checkpoint, &ModelOptions::default().with_precision(precision));
    let (exact, threads) = (load(Precision::F32)?, default_threads());
    let (right, answered) = match golden {
        true => {
            let golden = Golden::open(of);
            (stages(&golden, &*exact, threads), golden.answered())
        }
        false => (true, answers(of, &*exact, threads)?),
    };
    let expected = Scores::of(&*exact, &answered, threads);
    drop(exact);
    println!("| precision | weights, MB | tokens | divergence from f32, nats | likeliest token the same |");
    println!("|---|---:|---:|---:|---:|");
    for precision in [Precision::Bf16, Precision::F16, Precision::Int8, Precision::Int4] {
        let model = load(precision)?;
        let agreement = expected.agreement(&Scores::of(&*model, &answered, threads));
        let megabytes = model.info().weight_bytes as f64 / 1e6;
        println!(
            "| {precision} | {megabytes:.1} | {} | {:.2e} | {:.1} % |",
            agreement.tokens,
            agreement.divergence,
            100.0 * agreement.same
        );
    }
    Ok(right)
}

/// Prints how far the stages are off; whether all are near enough, and everything else is identical.
fn stages(golden: &Golden, model: &dyn Family, threads: usize) -> bool {
    let mut right = true;
    println!("| f32 | pixels | prompt | farthest stage | off by | tokens answered alike |");
    println!("|---|---|---|---|---:|---:|");
    for outcome in golden.compare(model, threads) {
        let same = |same| if same { "identical" } else { "DIFFERENT" };
        let ((stage, far), (alike, tokens)) = (outcome.farthest(), outcome.generated);
        println!(
            "| {} | {} | {} | {stage} of {} | {far:.1e} | {alike} of {tokens} |",
            outcome.case,
            same(outcome.pixels),
            same(outcome.prompt),
            outcome.stages.len(),
        );
        right &= outcome.pixels && outcome.prompt && far < CLOSE && alike == tokens;
    }
    println!();
    right
}

/// A line of a set's `labels.jsonl`.
#[derive(Deserialize)]
struct Label {
    image: PathBuf,
    question: String,
}

/// What a model answers to the questions of a set.
fn answers(
    set: &Path,
    model: &dyn Family,
    threads: usize,
) -> Result<Vec<Answered>, Box<dyn std::error::Error>> {
    const MOST: usize = 120;
    let labels = set.join("labels.jsonl");
    let text = std::fs::read_to_string(&labels).map_err(|error| format!("{}: {error}", labels.display()))?;
    let (workspace, options) = (Workspace::new(threads), model.image_options(Limits::default()));
    let mut answered = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let label: Label = serde_json::from_str(line)?;
        let image = Image::open_with(set.join(label.image), &options)?;
        let conversation = Conversation {
            images: vec![image],
            history: Vec::new(),
            new_images: 1,
            question: label.question,
        };
        let answer = conversation.answer(model, &workspace, MOST);
        answered.push(Answered { conversation, answer });
    }
    Ok(answered)
}

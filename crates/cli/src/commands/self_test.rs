//! `self-test`: does fast code agree with plain code, and do small weights agree with full ones, on this machine?
//!
//! An instruction set is chosen once a process, so each is tried in a process of its own: this program again, with
//! `TINY_VLM_ISA` set and `--scores` given, which writes the scores of a few made-up images instead of comparing them.

use std::{
    env,
    process::{Command, ExitCode, Stdio},
};

use serde::{Deserialize, Serialize};
use tiny_vlm::{Drift, Image, Lang, Model, Precision, Prompt, RequestOptions, System};

use crate::{
    args::Args,
    failure::Failure,
    json, model,
    output::Output,
    picture::{drawing, noise},
    words::Words,
};

/// What may differ, at the most. Plain and fast code round differently, in the last bits of a float, and with bytes some
/// instruction sets take activations of 7 bits, whose steps are twice as large; quantized weights are other weights, and
/// now and then they see a thing in noise where the full ones do not.
struct Bound {
    difference: f64,
    divergence: f64,
    /// The share of images that must be within these bounds, and of answers that must be the same.
    share: f64,
}

const SIMD: Bound = Bound { difference: 1e-3, divergence: 1e-3, share: 1.0 };
const HALF: Bound = Bound { difference: 0.05, divergence: 0.01, share: 0.75 };
const SEVEN_BITS: Bound = Bound { difference: 0.1, divergence: 0.01, share: 0.75 };
const INT8: Bound = Bound { difference: 0.25, divergence: 0.1, share: 0.5 };

/// What one way of computing makes of the images.
#[derive(Debug, Serialize, Deserialize)]
struct Scores {
    scores: Vec<Vec<f32>>,
    answers: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    passed: bool,
    comparisons: Vec<Comparison>,
}

#[derive(Serialize)]
struct Comparison {
    what: String,
    against: &'static str,
    passed: bool,
    difference: f64,
    divergence: f64,
    same_answers: usize,
    answers: usize,
    #[serde(skip)]
    title: String,
}

/// `self-test [MODEL]`.
pub(crate) fn self_test(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    if args.scores {
        let scores = compute(&load(args, args.precisions.first().copied().unwrap_or(Precision::F32))?)?;
        output.line(&json::text(&scores))?;
        return Ok(ExitCode::SUCCESS);
    }
    let exact = compute(&load(args, Precision::F32)?)?;
    let mut comparisons = Vec::new();
    for precision in [Precision::F32, Precision::Int8] {
        let plain = in_process(args, "scalar", precision)?;
        for isa in System::detect().isas.into_iter().filter(|isa| *isa != "scalar") {
            let bound = match precision {
                Precision::F32 => &SIMD,
                _ if System::activation_max(isa) < System::activation_max("scalar") => &SEVEN_BITS,
                _ => &HALF,
            };
            let fast = in_process(args, isa, precision)?;
            let title = words.say("test-simd", &[("isa", isa), ("precision", precision.name())]);
            comparisons.push(compare(format!("{isa} {precision}"), "scalar", title, &plain, &fast, bound)?);
        }
    }
    for (precision, bound) in [(Precision::F16, &HALF), (Precision::Bf16, &HALF), (Precision::Int8, &INT8)] {
        let scores = compute(&load(args, precision)?)?;
        let title = words.say("test-precision", &[("precision", precision.name())]);
        comparisons.push(compare(precision.name().to_owned(), "f32", title, &exact, &scores, bound)?);
    }
    let passed = comparisons.iter().all(|comparison| comparison.passed);
    if args.json {
        output.line(&json::text(&Report { version: json::VERSION, passed, comparisons }))?;
    } else {
        for comparison in &comparisons {
            output.line(&line(comparison, words))?;
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(args: &Args, precision: Precision) -> Result<Model, Failure> {
    model::load(args, &args.load_options().precision(precision).feature_cache_bytes(0))
}

/// Scores and answers for every made-up image.
fn compute(model: &Model) -> Result<Scores, Failure> {
    let options = RequestOptions::default().max_tokens(16);
    let (mut scores, mut answers) = (Vec::new(), Vec::new());
    for (image, question) in probes()? {
        let mut session = model.session();
        scores.push(session.first_scores(Prompt::new().image(&image).text(question), &options)?);
        answers.push(model.ask_with(&image, question, &options)?.text);
    }
    let caption = model.caption(&drawing(224, 224)?, Lang::De)?;
    answers.push(caption.text);
    Ok(Scores { scores, answers })
}

fn in_process(args: &Args, isa: &str, precision: Precision) -> Result<Scores, Failure> {
    let failed = |reason: &str| Failure::input("self-test-run", &[("reason", reason)]);
    let program = env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["self-test", "--scores", "--precision", precision.name()]);
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if let Some(folder) = args.model.as_ref().map(|folder| folder.as_os_str()) {
        command.arg("--model").arg(folder);
    }
    command.env("TINY_VLM_ISA", isa).stdin(Stdio::null()).stderr(Stdio::inherit());
    let done = command.output().map_err(|error| failed(&error.to_string()))?;
    if !done.status.success() {
        return Err(failed(&format!("{isa}: {}", done.status)));
    }
    // A score that is no number is written as null.
    serde_json::from_slice(&done.stdout).map_err(|error| failed(&format!("{isa}: {error}")))
}

fn compare(
    what: String,
    against: &'static str,
    title: String,
    expected: &Scores,
    scores: &Scores,
    bound: &Bound,
) -> Result<Comparison, Failure> {
    let pairs = expected.scores.iter().zip(&scores.scores);
    let drifts =
        pairs.map(|(expected, scores)| Drift::between(expected, scores)).collect::<Result<Vec<_>, _>>()?;
    let difference = within(drifts.iter().map(|drift| drift.difference).collect(), bound.share);
    let divergence = within(drifts.iter().map(|drift| drift.divergence).collect(), bound.share);
    let same = expected.answers.iter().zip(&scores.answers).filter(|(a, b)| a == b).count();
    let answers = expected.answers.len();
    let enough = same as f64 >= bound.share * answers as f64;
    let passed = difference <= bound.difference && divergence <= bound.divergence && enough;
    Ok(Comparison { what, against, passed, difference, divergence, same_answers: same, answers, title })
}

/// The least bound that this share of the values is within.
fn within(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let enough = (share * values.len() as f64).ceil() as usize;
    values.get(enough.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn line(comparison: &Comparison, words: Words) -> String {
    let verdict = words.get(if comparison.passed { "test-passed" } else { "test-drift" });
    let measure = words.say(
        "test-measure",
        &[
            ("difference", &format!("{:.1e}", comparison.difference)),
            ("divergence", &format!("{:.1e}", comparison.divergence)),
            ("same", &format!("{}/{}", comparison.same_answers, comparison.answers)),
        ],
    );
    format!("{}: {verdict} ({measure})", comparison.title)
}

/// Made-up images of awkward sizes, and questions in every language.
fn probes() -> Result<Vec<(Image, &'static str)>, Failure> {
    Ok(vec![
        (drawing(224, 224)?, "What is this?"),
        (drawing(320, 200)?, "¿Cuántas cosas hay?"),
        (drawing(97, 61)?, "Welche Farbe hat: Kreis?"),
        (noise(160, 120)?, "Qu'y a-t-il sur l'image ?"),
        (noise(33, 70)?, "何と書いてありますか？"),
        (drawing(1, 1)?, "图里有什么？"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_can_be_made() {
        assert_eq!(probes().unwrap().len(), 6);
    }

    #[test]
    fn a_share_of_the_values_counts() {
        let values = vec![4.0, 1.0, f64::INFINITY, 2.0];
        assert_eq!(within(values.clone(), 0.5), 2.0);
        assert_eq!(within(values.clone(), 0.75), 4.0);
        assert_eq!(within(values, 1.0), f64::INFINITY);
    }

    #[test]
    fn drift_is_found() {
        let scores = |last: f32, answer: &str| Scores {
            scores: vec![vec![1.0, 2.0, last]],
            answers: vec![answer.to_owned()],
        };
        let run =
            |a: &Scores, b: &Scores| compare("x".into(), "y", String::new(), a, b, &SIMD).unwrap().passed;
        assert!(run(&scores(3.0, "a"), &scores(3.0001, "a")));
        assert!(!run(&scores(3.0, "a"), &scores(3.1, "a")));
        assert!(!run(&scores(3.0, "a"), &scores(3.0, "b")));
        assert!(!run(&scores(3.0, "a"), &scores(f32::NAN, "a")));
    }
}

//! `eval`: how many of a set's questions are answered rightly, a row at a time, in one or more precisions.

mod labels;
mod score;
mod table;

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::Serialize;
use tiny_vlm::{Model, Precision, RequestOptions};

use crate::{
    args::Args, failure::Failure, input, interrupt, json, meter::Meter, model, output::Output, words::Words,
};
use labels::Label;

/// What a model said to one question, and what it is worth.
#[derive(Clone, Debug)]
struct Outcome {
    answer: String,
    score: f64,
}

/// `eval SET [--precision P,P]`.
pub(crate) fn eval(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some(folder) = args.operands.first().map(Path::new) else { return Ok(ExitCode::SUCCESS) };
    let labels = labels::read(folder, args.limit.unwrap_or(usize::MAX))?;
    let precisions = if args.precisions.is_empty() { vec![Precision::Auto] } else { args.precisions.clone() };
    interrupt::cancel_on_interrupt(&args.request.cancel);
    let mut outcomes = Vec::new();
    for &precision in &precisions {
        // Questions side by side, each on a thread of its own, come sooner than one on all threads after another.
        let options = args.load_options().precision(precision).feature_cache_bytes(0);
        let threads = options.resolved_threads();
        let model = model::load(args, &options.threads(threads).instances(threads))?;
        let meter = Meter::new(words);
        outcomes.push(run(&model, folder, &labels, threads, args, &meter)?);
    }
    if let Some(path) = &args.answers {
        write_answers(path, &labels, &precisions, &outcomes)?;
    }
    let table = table::Table::new(&labels, &precisions, &outcomes);
    if args.json {
        output.line(&json::text(&table))?
    } else {
        output.text(&table.text(words))?
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers every question, `threads` at a time.
fn run(
    model: &Model,
    folder: &Path,
    labels: &[Label],
    threads: usize,
    args: &Args,
    meter: &Meter,
) -> Result<Vec<Outcome>, Failure> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; labels.len()]);
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    let work = || {
        while let Some((at, label)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, labels.get(i)?)))
        {
            meter.show("", at, labels.len());
            match one(model, folder, label, args) {
                Ok(outcome) => lock(&outcomes)[at] = Some(outcome),
                Err(failure) => {
                    lock(&failed).get_or_insert(failure);
                    next.store(labels.len(), Ordering::Relaxed);
                }
            }
        }
    };
    interrupt::answering(true);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    interrupt::answering(false);
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => {
            Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one(model: &Model, folder: &Path, label: &Label, args: &Args) -> Result<Outcome, Failure> {
    let encoded = input::image(OsStr::new(&folder.join(&label.image)), args.limits)?;
    let name = encoded.name.clone();
    let (image, _) = encoded.decode(|limits| model.image_options(limits))?;
    let request = RequestOptions::default().cancel(args.request.cancel.clone());
    let answer =
        model.ask_with(&image, &label.question, &request).map_err(|error| Failure::from(error).on(&name))?;
    if args.request.cancel.is_cancelled() {
        return Err(Failure::interrupt());
    }
    let score = score::score(label, &answer.text);
    Ok(Outcome { answer: answer.text, score })
}

#[derive(Serialize)]
struct AnswerLine<'a> {
    image: &'a str,
    precision: &'static str,
    answer: &'a str,
    score: f64,
}

fn write_answers(
    path: &Path,
    labels: &[Label],
    precisions: &[Precision],
    outcomes: &[Vec<Outcome>],
) -> Result<(), Failure> {
    let mut text = String::new();
    for (precision, outcomes) in precisions.iter().zip(outcomes) {
        for (label, outcome) in labels.iter().zip(outcomes) {
            text.push_str(&json::text(&AnswerLine {
                image: &label.image,
                precision: precision.name(),
                answer: &outcome.answer,
                score: outcome.score,
            }));
            text.push('\n');
        }
    }
    fs::write(path, text).map_err(|error| Failure::output(&error).on(path.display().to_string()))
}

//! `bench`: how long each stage of a model takes on this machine, and how much memory all of it.

use std::{
    fmt::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use tiny_vlm::{Image, ImageLimits, ImageModel, ImageOptions, Model, Silent};

use crate::{
    args::Args,
    failure::Failure,
    input::{self, Encoded},
    interrupt, json,
    meter::Meter,
    model::{self, Loaded},
    output::Output,
    picture, stats,
    words::Words,
};

/// Sides of the picture that is made up.
const SIDE: usize = 512;
/// With what a template adds, some 32 tokens of text.
const QUESTION: &str = "What is in the picture, where is it, and what does the print in the picture say?";
/// Tokens that are read at once.
const READ: usize = 256;
/// Tokens that are written, and those before them.
const WRITTEN: usize = 64;
const BEFORE: usize = 128;
/// No more samples of a figure are taken after this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// One figure. Of a single sample, all of them are the same.
#[derive(Serialize)]
struct Figure {
    version: u32,
    what: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    n: usize,
    /// What a person is told instead.
    #[serde(skip)]
    title: String,
}

/// `bench [MODEL] [--image IMAGE] [--runs N] [--json]`.
pub(crate) fn bench(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    interrupt::cancel_on_interrupt(&args.request.cancel);
    let image = args.bench_image.as_ref().map(|operand| input::image(operand, args.limits)).transpose()?;
    // Each sample looks anew.
    let options = args.load_options().feature_cache_bytes(0);
    let mut bench = Bench { args, words, meter: Meter::new(words), figures: Vec::new() };
    // The first load brings the file into memory and does not count. A model goes before the next one comes.
    drop(model::load_any(args, &options)?);
    let mut loaded = None;
    bench.sample("load", words.get("stat-load"), "ms", || {
        drop(loaded.take());
        let started = Instant::now();
        loaded = Some(model::load_any(args, &options)?);
        Ok(milliseconds(started.elapsed()))
    })?;
    interrupt::answering(true);
    let about = match &loaded {
        Some(Loaded::Model(model)) => {
            bench.answering(model, &pixels(image, |limits| model.image_options(limits))?)?
        }
        Some(Loaded::Images(model)) => {
            bench.classifying(model, &pixels(image, |limits| model.image_options(limits))?)?
        }
        None => String::new(),
    };
    interrupt::answering(false);
    if let Some(bytes) = stats::peak_memory() {
        bench.add("peak memory", words.get("stat-memory"), "MB", vec![bytes as f64 / 1e6]);
    }
    bench.meter.clear();
    if args.json {
        return bench
            .figures
            .iter()
            .try_for_each(|figure| output.line(&json::text(figure)))
            .map(|()| ExitCode::SUCCESS);
    }
    output.line(&about)?;
    output.text(&table(&bench.figures, words))?;
    Ok(ExitCode::SUCCESS)
}

/// The pixels of an image as a model's `options` want them, or made-up ones.
fn pixels(
    image: Option<Encoded>,
    options: impl FnOnce(ImageLimits) -> ImageOptions,
) -> Result<Image, Failure> {
    match image {
        Some(encoded) => Ok(encoded.decode(options)?.0),
        None => picture::drawing(SIDE, SIDE),
    }
}

struct Bench<'a> {
    args: &'a Args,
    words: Words,
    meter: Meter,
    figures: Vec<Figure>,
}

impl Bench<'_> {
    /// The stages of a model that answers. Returns what was measured in one line.
    fn answering(&mut self, model: &Model, image: &Image) -> Result<String, Failure> {
        let words = self.words;
        let question = self.args.bench_question.as_deref().unwrap_or(QUESTION);
        let options = self.args.request.clone().max_tokens(1);
        let ask = || model.ask_with(image, question, &options);
        let usage = ask()?.usage;
        let mut encode = Vec::new();
        let waited = self.samples(words.get("stat-first-token"), || {
            let timings = ask()?.timings;
            encode.push(milliseconds(timings.encode));
            Ok(milliseconds(timings.first_token))
        })?;
        self.add("encode", words.get("stat-encode"), "ms", encode);
        self.add("first token", words.get("stat-first-token"), "ms", waited);

        let mut decoder = model.time_decoder(image, &self.args.request)?;
        let room = decoder.context();
        let read = READ.min(room);
        decoder.prefill(read)?;
        let title = words.say("bench-prefill", &[("tokens", &read.to_string())]);
        self.sample(&format!("prefill {read}"), &title, "tokens/s", || {
            Ok(speed(read, decoder.prefill(read)?))
        })?;
        let before = BEFORE.min(room / 2).max(1);
        let written = WRITTEN.min(room - before);
        let title = [("tokens", written.to_string()), ("before", before.to_string())];
        let title = words.say("bench-decode", &title.each_ref().map(|(name, value)| (*name, value.as_str())));
        let mut write = || -> Result<f64, Failure> {
            decoder.prefill(before)?;
            Ok(speed(written, decoder.decode(written)?))
        };
        write()?;
        self.sample(&format!("decode {written} after {before}"), &title, "tokens/s", write)?;

        let info = model.info();
        let tokens = format!("{} + {}", usage.image_tokens, usage.prompt_tokens);
        Ok(format!(
            "{}, {}, {}: {}, {} × {}, {}: {tokens}",
            info.family,
            info.precision,
            words.get("info-threads"),
            model.threads(),
            image.width(),
            image.height(),
            words.get("stat-tokens"),
        ))
    }

    /// An image model. Returns what was measured in one line.
    fn classifying(&mut self, model: &ImageModel, image: &Image) -> Result<String, Failure> {
        let (info, request) = (model.info(), &self.args.request);
        let look = || -> Result<f64, Failure> {
            let elapsed = match info.labels.is_empty() {
                true => model.embed_with(image, request, &Silent)?.elapsed,
                false => model.classify_with(image, request, &Silent)?.elapsed,
            };
            Ok(milliseconds(elapsed))
        };
        look()?;
        self.sample("image", self.words.get("bench-image"), "ms", look)?;
        let (threads, side) = (self.words.get("info-threads"), info.side);
        Ok(format!("{}, {}, {threads}: {}, {side} × {side}", info.family, info.precision, model.threads()))
    }

    /// Takes samples of a figure.
    fn sample(
        &mut self,
        what: &str,
        title: &str,
        unit: &'static str,
        measure: impl FnMut() -> Result<f64, Failure>,
    ) -> Result<(), Failure> {
        let samples = self.samples(title, measure)?;
        self.add(what, title, unit, samples);
        Ok(())
    }

    /// As many samples as were asked for, or as there was time for.
    fn samples(
        &self,
        title: &str,
        mut measure: impl FnMut() -> Result<f64, Failure>,
    ) -> Result<Vec<f64>, Failure> {
        let (runs, started) = (self.args.runs, Instant::now());
        let mut samples = Vec::new();
        while samples.len() < runs && (samples.is_empty() || started.elapsed() < PATIENCE) {
            self.meter.show(title, samples.len(), runs);
            samples.push(measure()?);
        }
        Ok(samples)
    }

    fn add(&mut self, what: &str, title: &str, unit: &'static str, mut samples: Vec<f64>) {
        samples.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (samples.first(), samples.last()) else { return };
        let [low, high] = [(samples.len() - 1) / 2, samples.len() / 2].map(|middle| samples[middle]);
        self.figures.push(Figure {
            version: json::VERSION,
            what: what.to_owned(),
            unit,
            median: (low + high) / 2.0,
            min,
            max,
            n: samples.len(),
            title: title.to_owned(),
        });
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Tokens a second; of a clock that stood still, of the shortest time that it tells.
fn speed(tokens: usize, time: Duration) -> f64 {
    tokens as f64 / time.max(Duration::from_nanos(1)).as_secs_f64()
}

/// The table for a person.
fn table(figures: &[Figure], words: Words) -> String {
    let mut out = String::new();
    let mut row = |title: &str, columns: [&str; 3], unit: &str, n: &str| {
        let [median, min, max] = columns;
        // Writing to a string does not fail.
        let _ = writeln!(out, "{title:32} {median:>10} {min:>10} {max:>10} {unit:9} {n:>4}");
    };
    row("", ["bench-median", "bench-least", "bench-most"].map(|key| words.get(key)), "", "n");
    for figure in figures {
        let columns = [figure.median, figure.min, figure.max].map(shown);
        row(&figure.title, columns.each_ref().map(String::as_str), figure.unit, &figure.n.to_string());
    }
    out
}

/// Three digits, or those before the point.
fn shown(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use tiny_vlm::Lang;

    use super::*;

    fn figures(samples: Vec<f64>) -> Vec<Figure> {
        let args = Args::parse(["bench".into()]).unwrap();
        let words = Words::new(Lang::En);
        let mut bench = Bench { args: &args, words, meter: Meter::new(words), figures: Vec::new() };
        bench.add("load", "load model", "ms", samples);
        bench.figures
    }

    #[test]
    fn the_middle_of_the_samples_is_their_median() {
        let middle = |samples| {
            let figure = figures(samples).remove(0);
            (figure.median, figure.min, figure.max, figure.n)
        };
        assert_eq!(middle(vec![3.0, 1.0, 200.0]), (3.0, 1.0, 200.0, 3));
        assert_eq!(middle(vec![4.0, 1.0]), (2.5, 1.0, 4.0, 2));
        assert_eq!(middle(vec![7.0]), (7.0, 7.0, 7.0, 1));
        assert!(figures(Vec::new()).is_empty());
    }

    #[test]
    fn a_figure_is_a_row_and_an_object() {
        let figures = figures(vec![1.234, 56.78, 1234.5]);
        let table = table(&figures, Words::new(Lang::En));
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["load", "model", "56.8", "1.23", "1234", "ms", "3"]);
        let object = json::text(&figures[0]);
        let expected =
            r#"{"version":1,"what":"load","unit":"ms","median":56.78,"min":1.234,"max":1234.5,"n":3}"#;
        assert_eq!(object, expected);
    }

    #[test]
    fn samples_are_as_many_as_were_asked_for() {
        let args = Args::parse(["bench", "--runs", "3"].map(Into::into)).unwrap();
        let words = Words::new(Lang::En);
        let bench = Bench { args: &args, words, meter: Meter::new(words), figures: Vec::new() };
        let mut taken = 0.0;
        let samples = bench.samples("load", || {
            taken += 1.0;
            Ok(taken)
        });
        assert_eq!(samples.unwrap(), [1.0, 2.0, 3.0]);
        assert!(bench.samples("load", || Err(Failure::interrupt())).is_err());
    }
}

//! `quantize`: a checkpoint in fewer bits, in a folder that loads by being mapped.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;
use tiny_vlm::{Error, Quantized, Stop};

use crate::{
    args::Args, failure::Failure, input, interrupt, json, meter::Meter, model, output::Output, words::Words,
};

#[derive(Serialize)]
struct QuantizedObject<'a> {
    version: u32,
    folder: String,
    bytes: u64,
    source_bytes: usize,
    noise: f64,
    other_tensors: usize,
    matrices: Vec<MatrixObject<'a>>,
}

#[derive(Serialize)]
struct MatrixObject<'a> {
    name: &'a str,
    shape: &'a [usize],
    precision: &'static str,
    bytes: usize,
    noise: f64,
}

/// `quantize [MODEL] -o DIR [--weights P | --bytes N | --error E] [--sample IMAGE]... [--sparse]`.
pub(crate) fn quantize(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some(folder) = &args.output else { return Ok(ExitCode::SUCCESS) };
    // What is wrong is told before pictures are read.
    args.quantize_options(&[])?;
    let samples = args.samples.iter().map(|file| input::image(file, args.limits)?.decode_plainly());
    let samples: Vec<_> = samples.collect::<Result<_, _>>()?;
    let options = args.quantize_options(&samples)?;
    let source = model::source(args)?;
    let stop = Stop::new();
    interrupt::cancel_on_interrupt(&stop);
    interrupt::answering(true);
    let meter = Meter::new(words);
    let done = tiny_vlm::quantize(&source, folder, &options, &meter, &stop);
    interrupt::answering(false);
    drop(meter);
    let done = done.map_err(Error::from)?;
    let shown = folder.display().to_string();
    if args.json {
        output.line(&json::text(&object(shown, &done)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut totals = BTreeMap::<&str, (usize, usize)>::new();
    for matrix in &done.matrices {
        let (count, bytes) = totals.entry(matrix.precision.name()).or_default();
        (*count, *bytes) = (*count + 1, *bytes + matrix.bytes);
    }
    for (precision, (count, bytes)) in totals {
        let matrices = words.get("quantize-matrices");
        output.line(&format!("{precision}: {matrices} {count}, {:.1} MB", bytes as f64 / 1e6))?;
    }
    let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
    let (bytes, before) = (megabytes(done.bytes as f64), megabytes(done.source_bytes as f64));
    let noise = format!("{:.1e}", done.noise());
    let details = [("bytes", bytes.as_str()), ("before", &before), ("noise", &noise)];
    output.line(&format!("{shown}: {}", words.say("quantize-done", &details)))?;
    Ok(ExitCode::SUCCESS)
}

fn object(folder: String, done: &Quantized) -> QuantizedObject<'_> {
    let matrices = done.matrices.iter().map(|matrix| MatrixObject {
        name: &matrix.name,
        shape: &matrix.shape,
        precision: matrix.precision.name(),
        bytes: matrix.bytes,
        noise: matrix.noise,
    });
    QuantizedObject {
        version: json::VERSION,
        folder,
        bytes: done.bytes,
        source_bytes: done.source_bytes,
        noise: done.noise(),
        other_tensors: done.others,
        matrices: matrices.collect(),
    }
}

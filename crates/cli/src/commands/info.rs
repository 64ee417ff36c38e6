//! `info`: what this build is, what it found on the machine, and the model at hand.

use std::process::ExitCode;

use serde::Serialize;
use tiny_vlm::{ImageModelInfo, ModelInfo, System};

use crate::{
    args::Args,
    failure::{Blame, Failure},
    json,
    model::{self, Loaded},
    output::Output,
    words::Words,
};

#[derive(Serialize)]
struct Info<'a> {
    version: u32,
    program: &'static str,
    arch: &'a str,
    instruction_sets: &'a [&'static str],
    instruction_set: &'a str,
    threads: usize,
    kernels: Vec<KernelInfo<'a>>,
    model: Option<ModelObject<'a>>,
    image_model: Option<ImageModelObject<'a>>,
}

#[derive(Serialize)]
struct KernelInfo<'a> {
    operators: &'a str,
    precision: &'a str,
    kernel: &'a str,
}

#[derive(Serialize)]
struct ModelObject<'a> {
    family: &'static str,
    precision: &'a str,
    parameters: usize,
    weight_bytes: usize,
    context: usize,
    vocab: usize,
    max_images: usize,
    reads: bool,
    load_ms: f64,
    kernels: Vec<(&'a str, &'a str)>,
}

#[derive(Serialize)]
struct ImageModelObject<'a> {
    family: &'static str,
    precision: &'a str,
    parameters: usize,
    weight_bytes: usize,
    features: usize,
    classes: usize,
    side: usize,
    load_ms: f64,
    kernels: Vec<(&'a str, &'a str)>,
}

/// `info [--model DIR]`.
pub(crate) fn info(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    let system = System::detect();
    let options = args.load_options();
    let threads = options.resolved_threads();
    let loaded = match model::load_any(args, &options) {
        Ok(loaded) => Some(loaded),
        // A build without a model is worth telling about like any other.
        Err(failure) if failure.blame == Blame::Usage => None,
        Err(failure) => return Err(failure),
    };
    let about = match &loaded {
        Some(Loaded::Model(model)) => Some((model.info(), model.load_time())),
        _ => None,
    };
    let about_images = match &loaded {
        Some(Loaded::Images(model)) => Some((model.info(), model.load_time())),
        _ => None,
    };
    if args.json {
        let kernels = system.kernels.iter();
        let kernels =
            kernels.map(|k| KernelInfo { operators: k.operators, precision: &k.precision, kernel: &k.name });
        let object = Info {
            version: json::VERSION,
            program: env!("CARGO_PKG_VERSION"),
            arch: system.arch,
            instruction_sets: &system.isas,
            instruction_set: system.isa,
            threads,
            kernels: kernels.collect(),
            model: about.map(|(info, load)| ModelObject {
                family: info.family,
                precision: &info.precision,
                parameters: info.parameters,
                weight_bytes: info.weight_bytes,
                context: info.context,
                vocab: info.vocab,
                max_images: info.max_images,
                reads: info.reads,
                load_ms: json::ms(load),
                kernels: pairs(&info.kernels),
            }),
            image_model: about_images.map(|(info, load)| ImageModelObject {
                family: info.family,
                precision: &info.precision,
                parameters: info.parameters,
                weight_bytes: info.weight_bytes,
                features: info.features,
                classes: info.labels.len(),
                side: info.side,
                load_ms: json::ms(load),
                kernels: pairs(&info.kernels),
            }),
        };
        output.line(&json::text(&object))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        format!("{}: tiny-vlm {}", words.get("info-version"), env!("CARGO_PKG_VERSION")),
        format!("{}: {} [{}]", words.get("info-isa"), system.isas.join(", "), system.isa),
        format!("{}: {threads}", words.get("info-threads")),
        format!("{}:", words.get("info-kernels")),
    ];
    lines.extend(system.kernels.iter().map(|k| format!("  {} {}: {}", k.precision, k.operators, k.name)));
    match (about, about_images) {
        (Some((about, load)), _) => lines.extend(model_lines(about, json::ms(load), words)),
        (None, Some((about, load))) => lines.extend(image_model_lines(about, json::ms(load), words)),
        (None, None) => lines.push(format!("{}: {}", words.get("info-model"), words.get("info-no-model"))),
    }
    output.line(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn pairs(kernels: &[(String, String)]) -> Vec<(&str, &str)> {
    kernels.iter().map(|(operator, kernel)| (operator.as_str(), kernel.as_str())).collect()
}

fn model_lines(info: &ModelInfo, load_ms: f64, words: Words) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {}", words.get("info-model"), info.family),
        format!("  {}: {}", words.get("info-precision"), info.precision),
        weights_line(info.parameters, info.weight_bytes, words),
        format!("  {}: {}", words.get("info-context"), info.context),
        format!("  {}: {load_ms:.1} ms", words.get("stat-load")),
    ];
    lines.extend(info.kernels.iter().map(|(operator, kernel)| format!("  {operator}: {kernel}")));
    lines
}

fn image_model_lines(info: &ImageModelInfo, load_ms: f64, words: Words) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {} ({side} × {side})", words.get("info-model"), info.family, side = info.side),
        format!("  {}: {}", words.get("info-precision"), info.precision),
        weights_line(info.parameters, info.weight_bytes, words),
        format!("  {}: {}", words.get("info-features"), info.features),
        format!("  {}: {}", words.get("info-classes"), info.labels.len()),
        format!("  {}: {load_ms:.1} ms", words.get("stat-load")),
    ];
    lines.extend(info.kernels.iter().map(|(operator, kernel)| format!("  {operator}: {kernel}")));
    lines
}

fn weights_line(parameters: usize, bytes: usize, words: Words) -> String {
    format!("  {}: {parameters} ({:.1} MB)", words.get("info-weights"), bytes as f64 / 1e6)
}

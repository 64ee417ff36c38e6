//! Nano, quantized to folders: opened again it answers to the bit as it does quantized in memory; budgets are kept;
//! what does not fit is told.
// WASI has no folder for temporary files.
#![cfg(not(target_family = "wasm"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tiny_vlm_image::Image;
use tiny_vlm_models::{
    Budget, Family, Lang, ModelError, ModelOptions, Precision, PromptParts, QuantizeOptions, Quantized,
    RequestShape, Source, Step, Target, Task, WeightFormat as Format, inspect, load, quantize,
};
use tiny_vlm_quant::{Group, divergence};
use tiny_vlm_tensor::{Silent, Stop, Workspace};

const INT4: Format = Format::Int4(Group::Of32);

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The trained master, in f16, where it is: a package has none.
fn master() -> Option<Source> {
    let folder = repository("training/export");
    folder.is_dir().then(|| Source::folder(folder))
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tiny-vlm-quantize-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn weights(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(source: &Source, out: &Folder, target: Target, sparse: bool) -> Result<Quantized, ModelError> {
    quantize(source, &out.0, &QuantizeOptions { target, sparse, samples: &[] }, &Silent, &Stop::new())
}

/// The scores after a question about a sign.
fn scores(family: &dyn Family) -> Vec<f32> {
    scores_of(family, Task::Question("What is this?"))
}

fn scores_of(family: &dyn Family, task: Task<'_>) -> Vec<f32> {
    let workspace = Workspace::inline();
    let ctx = workspace.context();
    let image = Image::open(repository("fixtures/nano/images/sign.png")).unwrap();
    let features = [Arc::new(family.encode(&ctx, &image, &RequestShape::default()).unwrap())];
    let parts = PromptParts { history: &[], images: 1, task, lang: None };
    let prompt = family.prompt(&parts, &features).unwrap();
    let mut sequence = family.begin(&ctx, &prompt, &features).unwrap();
    let mut scores = vec![0.0; family.info().vocab];
    family.step(&ctx, &mut [Step { sequence: &mut *sequence, ids: &prompt.ids }], &mut scores).unwrap();
    scores
}

fn open(folder: &Folder) -> Arc<dyn Family> {
    load(&Source::folder(&folder.0), &ModelOptions::default()).unwrap()
}

#[test]
fn bytes_answer_as_they_do_in_memory() {
    let Some(source) = master() else { return };
    let out = Folder::new("int8");
    let done = run(&source, &out, Target::Precision(Format::Int8), false).unwrap();
    assert_eq!(done.bytes, fs::metadata(out.weights()).unwrap().len());
    // Parts that nano wants more exact stay so.
    let exact = done.matrices.iter().filter(|matrix| matrix.precision == Format::F16);
    assert!(exact.clone().count() > 0 && exact.clone().all(|matrix| matrix.noise < 1e-6));
    assert!(done.matrices.iter().all(|matrix| matrix.precision >= Format::Int8 && matrix.noise < 1e-2));

    let in_memory = load(&source, &ModelOptions::default().with_precision(Precision::Int8)).unwrap();
    let started = Instant::now();
    let mapped = open(&out);
    println!("from open to ready, mapped: {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
    assert_eq!(mapped.info().precision, "int8");
    assert_eq!(scores(&*mapped), scores(&*in_memory));
    assert!(out.0.join("tokenizer.json").is_file() && out.0.join("tokenizer.bin").is_file());
    let text = "What is this? 日本語 <read>";
    assert_eq!(mapped.tokenizer().encode(text), in_memory.tokenizer().encode(text));

    // The compiled tokenizer is enough, and one that is broken is an error.
    fs::remove_file(out.0.join("tokenizer.json")).unwrap();
    assert_eq!(open(&out).tokenizer().encode(text), in_memory.tokenizer().encode(text));
    fs::write(out.0.join("tokenizer.bin"), b"nonsense").unwrap();
    let error = load(&Source::folder(&out.0), &ModelOptions::default()).err().unwrap();
    assert_eq!(error.code(), "model-tokenizer");
}

#[test]
fn few_bits_answer_alike_wherever_they_lie() {
    let Some(source) = master() else { return };
    let full = scores(&*load(&source, &ModelOptions::default().with_precision(Precision::F32)).unwrap());
    let larger = Folder::new("int8-size");
    let int8 = run(&source, &larger, Target::Precision(Format::Int8), false).unwrap();
    let mixed = Budget::Bytes(int8.bytes as usize - 700_000);
    for (name, target) in [("int4", Target::Precision(INT4)), ("mixed", Target::Budget(mixed))] {
        let out = Folder::new(name);
        let done = run(&source, &out, target, false).unwrap();
        assert!(done.bytes < int8.bytes && done.noise() > int8.noise(), "{name}");
        let mapped = open(&out);
        let config = fs::read_to_string(out.0.join("config.json")).unwrap();
        let tokenizer = fs::read(out.0.join("tokenizer.bin")).unwrap();
        // One byte off, nothing can be used where it lies, and all of it is copied.
        let file = fs::read(out.weights()).unwrap();
        let shifted: &'static [u8] = Box::leak([&[0], &file[..]].concat().into_boxed_slice());
        let copied = Source::bytes(config, tokenizer, &shifted[1..]);
        let copied = load(&copied, &ModelOptions::default()).unwrap();
        let scores = scores(&*mapped);
        assert_eq!(scores, self::scores(&*copied), "{name}");
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
        let far = norm(&mut scores.iter().zip(&full).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
        println!("{name}: {} bytes, noise {:.1e}, scores off by {far:.3}", done.bytes, done.noise());
        assert!(far > 0.0 && far < 0.5, "{name}: {far}");
        // Brought back to f32 when that is asked for.
        let exact = load(&Source::folder(&out.0), &ModelOptions::default().with_precision(Precision::F32));
        assert_eq!(exact.unwrap().info().precision, "f32");
    }
}

#[test]
fn budgets_of_bytes_are_kept() {
    let Some(source) = master() else { return };
    let out = Folder::new("bytes");
    let done = run(&source, &out, Target::Budget(Budget::Bytes(7_000_000)), true).unwrap();
    let size = fs::metadata(out.weights()).unwrap().len();
    assert!((6_900_000..=7_000_000).contains(&size) && done.bytes == size, "{size} bytes");
    let kinds: std::collections::BTreeSet<Format> = done.matrices.iter().map(|m| m.precision).collect();
    assert!(kinds.len() > 2, "{kinds:?}");
}

#[test]
fn what_matters_to_answers_keeps_more_bits() {
    let Some(source) = master() else { return };
    let caption = |family: &dyn Family| scores_of(family, Task::Caption(Lang::En));
    let full = caption(&*load(&source, &ModelOptions::default().with_precision(Precision::F32)).unwrap());
    let samples = [Image::open(repository("fixtures/nano/images/sign.png")).unwrap()];
    let budget = Target::Budget(Budget::Bytes(7_000_000));
    let off = |name: &str, samples: &[Image]| {
        let out = Folder::new(name);
        let options = QuantizeOptions { target: budget, sparse: false, samples };
        let done = quantize(&source, &out.0, &options, &Silent, &Stop::new()).unwrap();
        assert!(done.bytes <= 7_000_000);
        divergence(&full, &caption(&*open(&out))).unwrap()
    };
    let (blind, measured) = (off("blind", &[]), off("measured", &samples));
    println!("divergence in nats: {blind:.1e} without samples, {measured:.1e} with one");
    assert!(measured < blind, "{measured} and {blind}");
}

#[test]
fn folders_that_hold_something_are_not_written_to() {
    let Some(source) = master() else { return };
    let out = Folder::new("full");
    fs::create_dir_all(&out.0).unwrap();
    fs::write(out.0.join("diary.txt"), "dear diary").unwrap();
    let error = run(&source, &out, Target::Precision(Format::Int8), false).unwrap_err();
    assert_eq!(error.code(), "model-write");
    assert_eq!(fs::read_dir(&out.0).unwrap().count(), 1);
    let stopped = Folder::new("stopped");
    let stop = Stop::new();
    stop.cancel();
    let options = QuantizeOptions { target: Target::Precision(INT4), sparse: false, samples: &[] };
    let error = quantize(&source, &stopped.0, &options, &Silent, &stop).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert_eq!(fs::read_dir(&stopped.0).unwrap().count(), 0);
}

#[test]
fn what_a_checkpoint_has_and_lacks_is_told() {
    let Some(source) = master() else { return };
    let found = inspect(&source).unwrap();
    assert!(found.fits(), "{} {:?}", found.faults, found.problem);
    assert_eq!(found.family.as_deref(), Some("tiny-vlm-nano"));
    assert!(found.tensors.iter().all(|tensor| tensor.role.is_some() && tensor.bytes > 0));
    assert!(found.tensors.iter().any(|tensor| tensor.role == Some("matrix")));
    let info = load(&source, &ModelOptions::default()).unwrap().info().clone();
    assert_eq!(found.parameters(), info.parameters);
    let bytes: usize = found.tensors.iter().map(|tensor| tensor.bytes).sum();
    assert_eq!(found.by_dtype().iter().map(|(_, _, bytes)| bytes).sum::<usize>(), bytes);

    // The same file for a wider tower, and for no family at all.
    let out = Folder::new("inspect");
    run(&source, &out, Target::Precision(INT4), false).unwrap();
    let packed = inspect(&Source::folder(&out.0)).unwrap();
    assert!(packed.fits() && packed.parameters() == info.parameters);
    assert!(packed.tensors.iter().any(|tensor| tensor.dtype == "s4-n16k8-g32"));
    let config = out.0.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&text).unwrap();
    other["tower"]["widths"][2] = 97.into();
    fs::write(&config, other.to_string()).unwrap();
    let lacking = inspect(&Source::folder(&out.0)).unwrap();
    assert!(!lacking.fits() && !lacking.faults.misshapen.is_empty(), "{}", lacking.faults);
    fs::write(&config, text.replace("tiny-vlm-nano", "abacus")).unwrap();
    let unknown = inspect(&Source::folder(&out.0)).unwrap();
    assert!(matches!(unknown.problem, Some(ModelError::Unknown { .. })));
    assert_eq!(unknown.tensors.len(), packed.tensors.len());
    fs::write(out.weights(), b"short").unwrap();
    assert_eq!(inspect(&Source::folder(&out.0)).unwrap_err().code(), "model-weights");
}

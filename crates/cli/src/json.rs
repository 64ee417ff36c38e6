//! What `--json` writes: objects with a version, one a line.

use std::time::Duration;

use serde::Serialize;
use tiny_vlm::{Answer, Classification, Embedding, Line, Note, Reading, Region, RegionShape, Thing};

use crate::{failure::Failure, words::Words};

/// The version of these objects: raised when a field changes its meaning or goes.
pub(crate) const VERSION: u32 = 1;

#[derive(Serialize)]
struct AnswerObject<'a> {
    version: u32,
    images: &'a [&'a str],
    text: &'a str,
    finish: &'static str,
    mean_logprob: f32,
    usage: UsageObject,
    lines: Vec<LineObject<'a>>,
    things: Vec<ThingObject>,
    regions: Vec<RegionObject<'a>>,
    notes: Vec<NoteObject>,
    timings_ms: TimingsObject,
    peak_memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct UsageObject {
    image_tokens: usize,
    prompt_tokens: usize,
    completion_tokens: usize,
}

#[derive(Serialize)]
struct LineObject<'a> {
    text: &'a str,
    /// Corners in pixels: upper left, upper right, lower right, lower left, as the print is read.
    quad: [[f32; 2]; 4],
    confidence: f32,
}

#[derive(Serialize)]
struct ThingObject {
    /// Left, top, right, bottom, in pixels.
    area: [f32; 4],
    confidence: f32,
}

/// A region has one of `box`, `quad` and `polygons`, in pixels.
#[derive(Default, Serialize)]
struct RegionObject<'a> {
    label: &'a str,
    /// Left, top, right, bottom.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    bounds: Option<[f32; 4]>,
    /// Corners: upper left, upper right, lower right, lower left.
    #[serde(skip_serializing_if = "Option::is_none")]
    quad: Option<[[f32; 2]; 4]>,
    /// Rings of corners.
    #[serde(skip_serializing_if = "Option::is_none")]
    polygons: Option<&'a [Vec<[f32; 2]>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

#[derive(Serialize)]
struct NoteObject {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct TimingsObject {
    load: f64,
    decode_image: f64,
    encode: f64,
    prefill: f64,
    decode: f64,
    first_token: f64,
    total: f64,
}

#[derive(Serialize)]
struct ReadingObject<'a> {
    version: u32,
    images: &'a [&'a str],
    text: String,
    lines: Vec<LineObject<'a>>,
    read_ms: f64,
}

#[derive(Serialize)]
struct ClassificationObject<'a> {
    version: u32,
    images: &'a [&'a str],
    /// The likeliest first.
    classes: Vec<ClassObject<'a>>,
    classify_ms: f64,
}

#[derive(Serialize)]
struct ClassObject<'a> {
    number: usize,
    label: &'a str,
    probability: f32,
    score: f32,
}

#[derive(Serialize)]
struct EmbeddingObject<'a> {
    version: u32,
    images: &'a [&'a str],
    values: &'a [f32],
    embed_ms: f64,
}

/// What was pulled.
#[cfg(feature = "hub")]
#[derive(Serialize)]
pub(crate) struct Pulled<'a> {
    pub(crate) repo: String,
    pub(crate) revision: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) folder: &'a str,
}

#[cfg(feature = "hub")]
#[derive(Serialize)]
struct PulledObject<'a> {
    version: u32,
    #[serde(flatten)]
    pulled: Pulled<'a>,
    files: Vec<FileObject<'a>>,
}

#[cfg(feature = "hub")]
#[derive(Serialize)]
struct FileObject<'a> {
    name: &'a str,
    bytes: u64,
    fetched: bool,
}

#[derive(Serialize)]
struct FailureObject {
    version: u32,
    error: ErrorObject,
}

#[derive(Serialize)]
struct ErrorObject {
    code: &'static str,
    kind: &'static str,
    message: String,
}

pub(crate) fn answer(names: &[&str], answer: &Answer, decode_image: Duration, words: Words) -> String {
    let timings = &answer.timings;
    text(&AnswerObject {
        version: VERSION,
        images: names,
        text: &answer.text,
        finish: answer.finish.name(),
        mean_logprob: answer.mean_logprob,
        usage: UsageObject {
            image_tokens: answer.usage.image_tokens,
            prompt_tokens: answer.usage.prompt_tokens,
            completion_tokens: answer.usage.completion_tokens,
        },
        lines: answer.lines.iter().map(line).collect(),
        things: answer.things.iter().map(thing).collect(),
        regions: answer.regions.iter().map(region).collect(),
        notes: answer.notes.iter().map(|n| NoteObject { code: n.code(), message: note(n, words) }).collect(),
        timings_ms: TimingsObject {
            load: ms(timings.load),
            decode_image: ms(decode_image),
            encode: ms(timings.encode),
            prefill: ms(timings.prefill),
            decode: ms(timings.decode),
            first_token: ms(timings.first_token),
            total: ms(timings.total),
        },
        peak_memory_bytes: crate::stats::peak_memory(),
    })
}

pub(crate) fn reading(names: &[&str], reading: &Reading) -> String {
    text(&ReadingObject {
        version: VERSION,
        images: names,
        text: reading.text(),
        lines: reading.lines.iter().map(line).collect(),
        read_ms: ms(reading.elapsed),
    })
}

pub(crate) fn classification(names: &[&str], made: &Classification, top: usize) -> String {
    let classes = made.top(top).into_iter().map(|class| ClassObject {
        number: class.number,
        label: class.label,
        probability: class.probability,
        score: class.score,
    });
    let (classes, classify_ms) = (classes.collect(), ms(made.elapsed));
    text(&ClassificationObject { version: VERSION, images: names, classes, classify_ms })
}

pub(crate) fn embedding(names: &[&str], made: &Embedding) -> String {
    let embed_ms = ms(made.elapsed);
    text(&EmbeddingObject { version: VERSION, images: names, values: &made.values, embed_ms })
}

#[cfg(feature = "hub")]
pub(crate) fn pulled(pulled: Pulled<'_>, files: &[crate::hub::Fetched]) -> String {
    let files = files.iter();
    let files = files.map(|file| FileObject { name: &file.name, bytes: file.bytes, fetched: file.is_new });
    text(&PulledObject { version: VERSION, pulled, files: files.collect() })
}

pub(crate) fn failure(failure: &Failure, words: Words) -> String {
    text(&FailureObject {
        version: VERSION,
        error: ErrorObject { code: failure.code, kind: failure.kind.name(), message: failure.message(words) },
    })
}

/// A remark of the library in the language of `words`.
pub(crate) fn note(note: &Note, words: Words) -> String {
    let details = note.details();
    let details: Vec<_> = details.iter().map(|(name, value)| (*name, value.as_str())).collect();
    words.say(note.code(), &details)
}

/// One line of JSON.
pub(crate) fn text(object: &impl Serialize) -> String {
    // Strings, numbers and lists of them are always representable.
    serde_json::to_string(object).unwrap_or_default()
}

pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn line(line: &Line) -> LineObject<'_> {
    LineObject { text: &line.text, quad: line.quad, confidence: line.confidence }
}

fn thing(thing: &Thing) -> ThingObject {
    ThingObject { area: thing.area, confidence: thing.confidence }
}

fn region(region: &Region) -> RegionObject<'_> {
    let object = RegionObject { label: &region.label, score: region.score, ..RegionObject::default() };
    match &region.shape {
        RegionShape::Quad(quad) => RegionObject { quad: Some(*quad), ..object },
        RegionShape::Polygons(polygons) => RegionObject { polygons: Some(polygons), ..object },
        shape => RegionObject { bounds: shape.bounds(), ..object },
    }
}

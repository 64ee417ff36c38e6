//! What the host gets, as JSON: the fields that `tiny-vlm --json` prints, in JavaScript's spelling.

use serde::Serialize;
use std::time::Duration;
use tiny_vlm::{
    Answer, CacheStats, Class, Classification, Embedding, ImageModel, Line, Model, Reading, Region,
    RegionShape, Thing,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerReply<'a> {
    text: &'a str,
    finish: &'static str,
    mean_logprob: f32,
    usage: Usage,
    lines: Vec<LineReply<'a>>,
    things: Vec<ThingReply>,
    regions: Vec<RegionReply<'a>>,
    notes: Vec<&'static str>,
    timings: Timings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    image_tokens: usize,
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// Milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    encode: f64,
    prefill: f64,
    decode: f64,
    first_token: f64,
    total: f64,
    tokens_per_second: Option<f64>,
}

#[derive(Serialize)]
struct LineReply<'a> {
    text: &'a str,
    quad: [[f32; 2]; 4],
    confidence: f32,
}

#[derive(Serialize)]
struct ThingReply {
    area: [f32; 4],
    confidence: f32,
}

/// It has one of `box`, `quad` and `polygons`.
#[derive(Default, Serialize)]
struct RegionReply<'a> {
    label: &'a str,
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    bounds: Option<[f32; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quad: Option<[[f32; 2]; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    polygons: Option<&'a [Vec<[f32; 2]>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

#[derive(Serialize)]
pub(crate) struct EmbeddingReply<'a> {
    values: &'a [f32],
    elapsed: f64,
}

#[derive(Serialize)]
pub(crate) struct ClassificationReply<'a> {
    classes: Vec<ClassReply<'a>>,
    elapsed: f64,
}

#[derive(Serialize)]
struct ClassReply<'a> {
    number: usize,
    label: &'a str,
    score: f32,
    probability: f32,
}

#[derive(Serialize)]
pub(crate) struct ReadingReply<'a> {
    text: String,
    lines: Vec<LineReply<'a>>,
    elapsed: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelReply<'a> {
    kind: &'static str,
    family: &'a str,
    precision: &'a str,
    isa: &'a str,
    parameters: usize,
    weight_bytes: usize,
    context: usize,
    max_tokens: usize,
    max_images: usize,
    converses: bool,
    reads: bool,
    threads: usize,
    load_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageModelReply<'a> {
    kind: &'static str,
    family: &'a str,
    precision: &'a str,
    isa: &'a str,
    parameters: usize,
    weight_bytes: usize,
    features: usize,
    side: usize,
    labels: &'a [String],
    threads: usize,
    load_ms: f64,
}

#[derive(Serialize)]
pub(crate) struct CacheReply {
    hits: u64,
    misses: u64,
    entries: usize,
    bytes: usize,
}

impl<'a> From<&'a Answer> for AnswerReply<'a> {
    fn from(answer: &'a Answer) -> Self {
        let (usage, timings) = (answer.usage, answer.timings);
        Self {
            text: &answer.text,
            finish: answer.finish.name(),
            mean_logprob: answer.mean_logprob,
            usage: Usage {
                image_tokens: usage.image_tokens,
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            },
            lines: answer.lines.iter().map(line).collect(),
            things: answer.things.iter().map(thing).collect(),
            regions: answer.regions.iter().map(region).collect(),
            notes: answer.notes.iter().map(|note| note.code()).collect(),
            timings: Timings {
                encode: ms(timings.encode),
                prefill: ms(timings.prefill),
                decode: ms(timings.decode),
                first_token: ms(timings.first_token),
                total: ms(timings.total),
                tokens_per_second: timings.tokens_per_second(usage.completion_tokens),
            },
        }
    }
}

impl<'a> From<&'a Reading> for ReadingReply<'a> {
    fn from(reading: &'a Reading) -> Self {
        let lines = reading.lines.iter().map(line).collect();
        Self { text: reading.text(), lines, elapsed: ms(reading.elapsed) }
    }
}

impl<'a> From<&'a Embedding> for EmbeddingReply<'a> {
    fn from(made: &'a Embedding) -> Self {
        Self { values: &made.values, elapsed: ms(made.elapsed) }
    }
}

impl<'a> ClassificationReply<'a> {
    /// The `top` likeliest classes.
    pub(crate) fn new(made: &'a Classification, top: usize) -> Self {
        let class = |Class { number, label, score, probability }: Class<'a>| ClassReply {
            number,
            label,
            score,
            probability,
        };
        Self { classes: made.top(top).into_iter().map(class).collect(), elapsed: ms(made.elapsed) }
    }
}

impl<'a> ModelReply<'a> {
    pub(crate) fn new(model: &'a Model, isa: &'a str) -> Self {
        let info = model.info();
        Self {
            kind: "answers",
            family: info.family,
            precision: &info.precision,
            isa,
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            context: info.context,
            max_tokens: info.max_tokens,
            max_images: info.max_images,
            converses: info.converses,
            reads: info.reads,
            threads: model.threads(),
            load_ms: ms(model.load_time()),
        }
    }
}

impl<'a> ImageModelReply<'a> {
    pub(crate) fn new(model: &'a ImageModel, isa: &'a str) -> Self {
        let info = model.info();
        Self {
            kind: "images",
            family: info.family,
            precision: &info.precision,
            isa,
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            features: info.features,
            side: info.side,
            labels: &info.labels,
            threads: model.threads(),
            load_ms: ms(model.load_time()),
        }
    }
}

impl From<CacheStats> for CacheReply {
    fn from(stats: CacheStats) -> Self {
        Self { hits: stats.hits, misses: stats.misses, entries: stats.entries, bytes: stats.bytes }
    }
}

fn line(line: &Line) -> LineReply<'_> {
    LineReply { text: &line.text, quad: line.quad, confidence: line.confidence }
}

fn thing(thing: &Thing) -> ThingReply {
    ThingReply { area: thing.area, confidence: thing.confidence }
}

fn region(region: &Region) -> RegionReply<'_> {
    let reply = RegionReply { label: &region.label, score: region.score, ..RegionReply::default() };
    match &region.shape {
        RegionShape::Quad(quad) => RegionReply { quad: Some(*quad), ..reply },
        RegionShape::Polygons(polygons) => RegionReply { polygons: Some(polygons), ..reply },
        shape => RegionReply { bounds: shape.bounds(), ..reply },
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

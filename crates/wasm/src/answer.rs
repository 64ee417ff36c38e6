//! What the host gets, as JSON: the fields that `tiny-vlm --json` prints, in JavaScript's spelling.

use serde::Serialize;
use std::time::Duration;
use tiny_vlm::{Answer, CacheStats, Line, ModelInfo, Reading, Thing};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerReply<'a> {
    text: &'a str,
    finish: &'static str,
    mean_logprob: f32,
    usage: Usage,
    lines: Vec<LineReply<'a>>,
    things: Vec<ThingReply>,
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

#[derive(Serialize)]
pub(crate) struct ReadingReply<'a> {
    text: String,
    lines: Vec<LineReply<'a>>,
    elapsed: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelReply<'a> {
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

impl<'a> ModelReply<'a> {
    pub(crate) fn new(info: &'a ModelInfo, isa: &'a str, threads: usize, load: Duration) -> Self {
        Self {
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
            threads,
            load_ms: ms(load),
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

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

//! The rules between the networks give what the reference gives, on made-up cases (`training/nano/golden.py`).

use serde::Deserialize;
use tiny_vlm_tensor::Tensor;
use tiny_vlm_vision::{
    LinesConfig, Quad, ReaderConfig, ThingsConfig, TowerConfig, find_lines, find_things, glimpse_box,
    level_size, merge_levels, overlap, reading_order, transcribe,
};

#[derive(Deserialize)]
struct Cases {
    overlap: Vec<Overlap>,
    order: Vec<Order>,
    find: Vec<Find>,
    peaks: Vec<Peaks>,
    glimpse: Vec<Glimpse>,
    level: Vec<Level>,
    transcribe: Vec<Transcribe>,
}

#[derive(Deserialize)]
struct Overlap {
    a: Quad,
    b: Quad,
    share: f64,
}

#[derive(Deserialize)]
struct Order {
    quads: Vec<Quad>,
    order: Vec<usize>,
}

#[derive(Deserialize)]
struct Find {
    size: [usize; 2],
    shape: [usize; 2],
    out: Vec<f32>,
    lines: Vec<Line>,
    kept: Vec<usize>,
}

#[derive(Deserialize)]
struct Line {
    quad: Quad,
    score: f64,
}

#[derive(Deserialize)]
struct Peaks {
    size: usize,
    out: Vec<f32>,
    things: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    score: f32,
    r#box: [f64; 4],
}

#[derive(Deserialize)]
struct Glimpse {
    size: [usize; 2],
    r#box: [f64; 4],
    pixels: [usize; 4],
}

#[derive(Deserialize)]
struct Level {
    size: [usize; 2],
    level: usize,
    sides: [usize; 2],
}

#[derive(Deserialize)]
struct Transcribe {
    ids: Vec<usize>,
    peaks: Vec<f32>,
    text: String,
    confidence: f64,
}

#[derive(Deserialize)]
struct About {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    tower: TowerConfig,
    things: ThingsConfig,
    lines: LinesConfig,
    reader: ReaderConfig,
}

/// The rules that the cases were made by.
fn config() -> Config {
    let about: About = serde_json::from_str(include_str!("../../../fixtures/nano/random.json")).unwrap();
    about.config
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("../../../fixtures/nano/geometry.json")).unwrap()
}

fn near(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs())), "{what}: {a} and {b}");
}

fn same_quad(a: &Quad, b: &Quad, what: &str) {
    for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
        near(*a, *b, 1e-6, what);
    }
}

#[test]
fn overlaps() {
    for (i, case) in cases().overlap.iter().enumerate() {
        near(overlap(&case.a, &case.b), case.share, 1e-9, &format!("overlap {i}"));
    }
}

#[test]
fn reading_orders() {
    for (i, case) in cases().order.iter().enumerate() {
        assert_eq!(reading_order(&case.quads), case.order, "case {i}");
    }
}

#[test]
fn lines_in_maps() {
    let rules = config().lines;
    let mut slanted = 0;
    for (i, case) in cases().find.iter().enumerate() {
        let map = Tensor::from_slice([case.shape[0], case.shape[1], 2], &case.out).unwrap();
        let found = find_lines(map.view(), case.size, &rules);
        assert_eq!(found.len(), case.lines.len(), "case {i}");
        for (line, truth) in found.iter().zip(&case.lines) {
            same_quad(&line.quad, &truth.quad, &format!("case {i}"));
            near(line.score, truth.score, 1e-6, &format!("score {i}"));
            slanted += usize::from((line.quad[0][1] - line.quad[1][1]).abs() > 1.0);
        }
        let scored: Vec<_> = found.iter().map(|line| (line.quad, line.score)).collect();
        assert_eq!(merge_levels(&scored), case.kept, "case {i}");
    }
    assert!(slanted > 0, "no line is slanted: the fixture tests less than it should");
}

#[test]
fn things_in_maps() {
    let rules = config().things;
    for (i, case) in cases().peaks.iter().enumerate() {
        let map = Tensor::from_slice([case.size, case.size, 5], &case.out).unwrap();
        let found = find_things(map.view(), &rules);
        assert_eq!(found.len(), case.things.len(), "case {i}");
        for (thing, truth) in found.iter().zip(&case.things) {
            near(f64::from(thing.score), f64::from(truth.score), 1e-6, &format!("score {i}"));
            for (a, b) in thing.bounds.iter().zip(truth.r#box) {
                near(*a, b, 1e-9, &format!("box {i}"));
            }
        }
    }
}

#[test]
fn boxes_of_glimpses_and_sides_of_levels() {
    let grow = config().tower.grow;
    for case in cases().glimpse {
        assert_eq!(glimpse_box(&case.r#box, case.size, grow), case.pixels);
    }
    for case in cases().level {
        assert_eq!(level_size(case.size, case.level), case.sides);
    }
}

#[test]
fn transcripts() {
    let characters: Vec<char> = config().reader.characters.chars().collect();
    for case in cases().transcribe {
        let logits = Tensor::from_fn([case.ids.len(), characters.len() + 1], |[place, class]| {
            if case.ids[place] == class { case.peaks[place] } else { 0.0 }
        });
        let read = transcribe(logits.view(), &characters);
        assert_eq!(read.text, case.text);
        near(read.confidence, case.confidence, 1e-6, "confidence");
    }
}

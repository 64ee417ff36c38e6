//! Every stage from pixels to characters agrees with the reference to 1e-4 of its scale, in f32.
//!
//! `cargo test -p tiny-vlm-vision --test golden -- --nocapture` prints by how much.

mod fixture;

use std::collections::BTreeMap;

use fixture::{Fixture, TOLERANCE};
use serde::Deserialize;
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_layers::{Precision, ScratchTensor};
use tiny_vlm_tensor::{Context, Workspace};
use tiny_vlm_vision::{
    FoundLine, LinesConfig, LinesFinder, PrintReader, Pyramid, Quad, ReaderConfig, ThingsConfig,
    ThingsFinder, Tower, TowerConfig, find_things, glimpse_box, level_size, surest_lines,
};
use tiny_vlm_weights::{Params, Weights};

#[derive(Deserialize)]
struct Case {
    things: Vec<Thing>,
    levels: Vec<Level>,
    strips: Vec<StripCase>,
    lines: Vec<LineCase>,
}

#[derive(Deserialize)]
struct Thing {
    score: f64,
    r#box: [f64; 4],
}

#[derive(Deserialize)]
struct Level {
    level: usize,
    size: [usize; 2],
    bytes: u64,
    lines: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    quad: Quad,
    score: f64,
}

#[derive(Deserialize)]
struct StripCase {
    quad: Quad,
    score: f64,
    width: usize,
    text: String,
    confidence: f64,
}

#[derive(Deserialize)]
struct LineCase {
    quad: Quad,
    text: String,
    confidence: f64,
}

#[derive(Deserialize)]
struct Config {
    tower: TowerConfig,
    things: ThingsConfig,
    lines: LinesConfig,
    reader: ReaderConfig,
}

struct Networks {
    config: Config,
    tower: Tower,
    things: ThingsFinder,
    print: PrintReader,
}

/// The largest differences of stages, over all pictures.
#[derive(Default)]
struct Report(BTreeMap<String, f64>);

impl Report {
    fn add(&mut self, stage: &str, difference: f64) {
        let most = self.0.entry(stage.to_owned()).or_default();
        *most = most.max(difference);
        assert!(difference <= TOLERANCE, "{stage}: {difference:.2e}");
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        for (stage, difference) in &self.0 {
            println!("{stage:12} {difference:.1e}");
        }
    }
}

fn networks(fixture: &Fixture<Case>) -> Networks {
    let config: Config = serde_json::from_value(fixture.about.config.clone()).unwrap();
    let weights = Weights::from_bytes(fixture.checkpoint().into()).unwrap();
    let params = Params::new(&weights, Precision::F32);
    params.ignore(|name| name.starts_with("fusion.") || name.starts_with("decoder."));
    let networks = Networks {
        tower: Tower::load(&params.scope("tower"), &config.tower).unwrap(),
        things: ThingsFinder::load(&params.scope("things"), &config.things).unwrap(),
        print: PrintReader::load(&params.root(), &config.lines, &config.reader).unwrap(),
        config,
    };
    params.finish().unwrap();
    networks
}

fn same_quad(a: &Quad, b: &Quad, image: &Image) -> f64 {
    let scale = image.width().max(image.height()) as f64;
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
}

#[test]
fn stages_of_random_weights_agree_with_the_reference() {
    stages_agree(&Fixture::random());
}

#[test]
fn trained_stages_agree_with_the_reference() {
    if let Some(fixture) = Fixture::trained() {
        stages_agree(&fixture);
    }
}

fn stages_agree(fixture: &Fixture<Case>) {
    let networks = networks(fixture);
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let mut report = Report::default();
    for (name, case) in &fixture.about.images {
        let image = fixture.image(name);
        let seen = Seen { fixture, networks: &networks, ctx: &ctx, name, case, image: &image };
        seen.things(&mut report);
        seen.lines(&mut report);
        seen.print(&mut report);
    }
}

struct Seen<'a> {
    fixture: &'a Fixture<Case>,
    networks: &'a Networks,
    ctx: &'a Context<'a>,
    name: &'a str,
    case: &'a Case,
    image: &'a Image,
}

impl Seen<'_> {
    fn compare<const R: usize>(&self, report: &mut Report, stage: &str, map: &ScratchTensor<'_, R>) {
        let (name, family) = (format!("{}.{stage}", self.name), stage.split('.').next().unwrap());
        report.add(family, self.fixture.difference(&name, &map.shape(), map.data()));
    }

    fn things(&self, report: &mut Report) {
        let Networks { config, tower, things, .. } = self.networks;
        let (ctx, image) = (self.ctx, self.image);
        let TowerConfig { glimpse, grow, .. } = config.tower;
        let map = things.map(ctx, image).unwrap();
        self.compare(report, "things", &map);

        let found = find_things(map.view(), &config.things);
        assert_eq!(found.len(), self.case.things.len(), "{}", self.name);
        let mut vectors = ScratchTensor::new(ctx, [found.len(), tower.width()]).unwrap();
        for (i, (thing, truth)) in found.iter().zip(&self.case.things).enumerate() {
            report.add("score", (f64::from(thing.score) - truth.score).abs());
            for (a, b) in thing.bounds.iter().zip(truth.r#box) {
                report.add("box", (a - b).abs());
            }
            let [left, top, right, bottom] =
                glimpse_box(&thing.bounds, [image.width(), image.height()], grow).map(|side| side as f32);
            let area = Some([left, top, right, bottom]);
            let crop = image.view().resize(glimpse, glimpse, Filter::Bilinear, area).unwrap();
            tower.glimpse(ctx, crop.data(), [glimpse; 2], vectors.view_mut().row_mut(i)).unwrap();
        }
        self.compare(report, "glimpses", &vectors);
    }

    fn lines(&self, report: &mut Report) {
        let finder: &LinesFinder = &self.networks.print.finder;
        let grey = self.image.to_grey();
        let size = [grey.width(), grey.height()];
        assert_eq!(finder.levels(size), self.case.levels.iter().map(|l| l.level).collect::<Vec<_>>());
        let mut found = Vec::new();
        for truth in &self.case.levels {
            let [width, height] = level_size(size, truth.level);
            assert_eq!([width, height], truth.size);
            let small = grey.resize(width, height, Filter::Bilinear).unwrap();
            assert_eq!(small.data().iter().map(|&b| u64::from(b)).sum::<u64>(), truth.bytes);
            let map = finder.map(self.ctx, &grey, truth.level).unwrap();
            self.compare(report, &format!("lines.{}", truth.level), &map);
            let here = finder.find_at(self.ctx, &grey, truth.level).unwrap().lines;
            assert_eq!(here.len(), truth.lines.len(), "{} at {}", self.name, truth.level);
            for (line, truth) in here.iter().zip(&truth.lines) {
                report.add("quad", same_quad(&line.quad, &truth.quad, self.image));
                report.add("line score", (line.score - truth.score).abs());
            }
            found.extend(here);
        }
        let found = surest_lines(found);
        assert_eq!(found, finder.find(self.ctx, &grey).unwrap());
        assert_eq!(found.len(), self.case.strips.len(), "{}", self.name);
        self.strips(report, &found);
    }

    fn strips(&self, report: &mut Report, lines: &[FoundLine]) {
        let reader = &self.networks.print.reader;
        let mut pyramid = Pyramid::new(self.image.to_grey());
        for (i, (line, truth)) in lines.iter().zip(&self.case.strips).enumerate() {
            report.add("quad", same_quad(&line.quad, &truth.quad, self.image));
            report.add("line score", (line.score - truth.score).abs());
            // The reference's own quad, so that what is compared is the sampling.
            let mut strip = pyramid.cut_strip(&truth.quad, reader.height()).unwrap();
            assert_eq!(strip.width, truth.width);
            let stage = format!("{}.strip.{i}", self.name);
            let kept = i < 6;
            if kept {
                let shape = [reader.height(), strip.width];
                report.add("strip", self.fixture.difference(&stage, &shape, &strip.pixels));
            }
            strip.normalise();
            if kept {
                let logits = reader.logits(self.ctx, &strip).unwrap();
                self.compare(report, &format!("logits.{i}"), &logits);
            }
            let read = reader.read(self.ctx, &strip).unwrap();
            assert_eq!(read.text, truth.text, "{stage}");
            report.add("confidence", (read.confidence - truth.confidence).abs());
        }
    }

    fn print(&self, report: &mut Report) {
        let lines = self.networks.print.read(self.ctx, self.image).unwrap();
        assert_eq!(lines.len(), self.case.lines.len());
        for (line, truth) in lines.iter().zip(&self.case.lines) {
            assert_eq!(line.text, truth.text, "{}", self.name);
            report.add("quad", same_quad(&line.quad, &truth.quad, self.image));
            report.add("confidence", (line.confidence - truth.confidence).abs());
        }
    }
}

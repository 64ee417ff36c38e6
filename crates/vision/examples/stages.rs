//! How long each of nano's stages takes on a picture.
//!
//! `cargo run --release -p tiny-vlm-vision --example stages -- MODEL_FOLDER IMAGE [THREADS] [int8|f32] [STAGE]`

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_layers::Precision;
use tiny_vlm_tensor::Workspace;
use tiny_vlm_vision::{
    LinesConfig, PrintReader, Pyramid, ReaderConfig, ThingsConfig, ThingsFinder, Tower, TowerConfig,
};
use tiny_vlm_weights::{Params, Weights};

/// Runs of each stage, of which the median counts.
const RUNS: usize = 15;

#[derive(Deserialize)]
struct Config {
    tower: TowerConfig,
    things: ThingsConfig,
    lines: LinesConfig,
    reader: ReaderConfig,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, image, rest @ ..] = &arguments[..] else { return Err("MODEL_FOLDER IMAGE".into()) };
    let threads = rest.first().map_or(Ok(1), |n| n.parse())?;
    let precision = if rest.get(1).is_some_and(|p| p == "f32") { Precision::F32 } else { Precision::Int8 };
    let folder = Path::new(folder);
    let config: Config = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json"))?)?;
    let weights = Weights::open(folder)?;
    let image = Image::open(image)?;

    let load = || -> Result<_, Box<dyn Error>> {
        let params = Params::new(&weights, precision);
        let things = ThingsFinder::load(&params.scope("things"), &config.things)?;
        let tower = Tower::load(&params.scope("tower"), &config.tower)?;
        let print = PrintReader::load(&params.root(), &config.lines, &config.reader)?;
        Ok((things, tower, print))
    };
    let started = Instant::now();
    let (things, tower, print) = load()?;
    println!("{:24} {:9.2} ms", "load", milliseconds(started.elapsed()));

    let workspace = Workspace::new(threads);
    let ctx = workspace.context();
    let only = rest.get(2).map(String::as_str);
    let time = |name: &str, run: &mut dyn FnMut() -> Result<(), Box<dyn Error>>| match only {
        Some(only) if !name.starts_with(only) => Ok(()),
        _ => time(name, run),
    };
    time("things", &mut || Ok(things.map(&ctx, &image).map(drop)?))?;
    let side = config.tower.glimpse;
    time("resize to a glimpse", &mut || Ok(image.resize(side, side, Filter::Bilinear).map(drop)?))?;
    let crop = image.resize(side, side, Filter::Bilinear)?;
    let mut vector = vec![0.0; tower.width()];
    time("glimpse", &mut || Ok(tower.glimpse(&ctx, crop.data(), [side; 2], &mut vector)?))?;
    time("grey", &mut || {
        std::hint::black_box(image.to_grey());
        Ok(())
    })?;
    let grey = image.to_grey();
    for level in print.finder.levels([grey.width(), grey.height()]) {
        time(&format!("lines at {level}"), &mut || Ok(print.finder.map(&ctx, &grey, level).map(drop)?))?;
    }
    let found = print.finder.find(&ctx, &grey)?;
    let mut pyramid = Pyramid::new(grey);
    if let Some(line) = found.first() {
        let mut strip = pyramid.cut_strip(&line.quad, print.reader.height())?;
        strip.normalise();
        time(&format!("read a strip of {}", strip.width), &mut || {
            Ok(print.reader.logits(&ctx, &strip).map(drop)?)
        })?;
    }
    time(&format!("all print, {} lines", found.len()), &mut || Ok(print.read(&ctx, &image).map(drop)?))?;
    println!("{:24} {:9.2} MB", "scratch", workspace.scratch().high_water() as f64 / 1e6);
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn time(name: &str, run: &mut dyn FnMut() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("{name:24} {:9.2} ms, at best {:.2}", milliseconds(times[RUNS / 2]), milliseconds(times[0]));
    Ok(())
}

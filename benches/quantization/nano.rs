//! What nano's tower, reader and decoder multiply when they look at the pictures of `fixtures/eval`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use tiny_vlm_fusion::{ObjectTokens, ObjectTokensConfig, POSITION_FEATURES, position_features};
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_quant::{Activation, Precision};
use tiny_vlm_tensor::{Context, Tensor, View};
use tiny_vlm_text::Tokenizer;
use tiny_vlm_vision::{
    LinesConfig, LinesFinder, Pyramid, ReaderConfig, ThingsConfig, ThingsFinder, TowerConfig, glimpse_box,
};
use tiny_vlm_weights::{Params, Weights};

use crate::trace::{Map, Trace, attend, rotate};

/// Lines that are read of a picture, so that pages do not outweigh the rest.
const LINES: usize = 8;

#[derive(Deserialize)]
struct Config {
    tower: TowerConfig,
    things: ThingsConfig,
    lines: LinesConfig,
    reader: ReaderConfig,
    fusion: Fusion,
    decoder: Decoder,
    special_tokens: Special,
}

#[derive(Deserialize)]
struct Fusion {
    labels: usize,
    colours: usize,
}

#[derive(Deserialize)]
struct Decoder {
    hidden_size: usize,
    num_hidden_layers: usize,
    rope_theta: f32,
}

#[derive(Deserialize)]
struct Special {
    question: u32,
    answer: u32,
    end: u32,
}

#[derive(Deserialize)]
struct Sample {
    image: String,
    question: String,
    answer: String,
}

/// Runs the networks of the folder of a checkpoint. Pictures calibrate and measure in turn.
pub(crate) fn trace<'a>(
    ctx: Context<'a>,
    folder: &Path,
    weights: &'a Weights,
    eval: &Path,
) -> Result<Trace<'a>> {
    let config: Config = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
    let tokenizer = Tokenizer::from_json(&fs::read(folder.join("tokenizer.json"))?)?;
    let params = Params::new(weights, Precision::F32);
    let root = params.root();
    let things = ThingsFinder::load(&root.scope("things"), &config.things)?;
    let lines = LinesFinder::load(&root.scope("lines"), &config.lines)?;
    let width = config.decoder.hidden_size;
    let sizes = ObjectTokensConfig {
        glimpse: config.tower.widths[3],
        width,
        labels: config.fusion.labels,
        colours: config.fusion.colours,
        most: config.things.most,
    };
    let fusion = ObjectTokens::load(&root.scope("fusion"), sizes);

    let mut trace = Trace::new(ctx, weights);
    let samples = fs::read_to_string(eval.join("reference.jsonl"))?;
    for (number, sample) in samples.lines().enumerate() {
        let sample: Sample = serde_json::from_str(sample)?;
        trace.half = number % 2;
        let image = Image::open(eval.join(&sample.image))?;
        let grey = image.to_grey();
        let found = lines.find(&ctx, &grey)?;
        let mut pyramid = Pyramid::new(grey);
        for line in found.iter().take(LINES) {
            let mut strip = pyramid.cut_strip(&line.quad, config.reader.strip)?;
            strip.normalise();
            let strip = Map { shape: [config.reader.strip, strip.width, 1], values: strip.pixels };
            reader(&mut trace, strip, config.reader.blocks)?;
        }
        let seen = things.find(&ctx, &image)?;
        let (mut glimpses, mut positions) = (Vec::new(), Vec::new());
        for thing in &seen {
            let size = [image.width(), image.height()];
            let area = glimpse_box(&thing.bounds, size, config.tower.grow).map(|place| place as f32);
            let side = config.tower.glimpse;
            let crop = image.view().resize(side, side, Filter::Bilinear, Some(area))?;
            let scale = |byte: &u8| (f32::from(*byte) / 255.0 - config.tower.mean) / config.tower.deviation;
            let values = crop.data().iter().map(scale).collect();
            glimpses.extend(tower(&mut trace, Map { shape: [side, side, 3], values })?);
            positions.extend(position_features(thing.bounds.map(|side| side as f32)));
        }
        let mut memory = Tensor::<f32, 2>::zeroed([seen.len() + 1, width]);
        let glimpses = View::new([seen.len(), sizes.glimpse], &glimpses)?;
        let positions = View::new([seen.len(), POSITION_FEATURES], &positions)?;
        fusion.forward(&ctx, glimpses, positions, !found.is_empty(), memory.view_mut())?;
        let mut ids = vec![config.special_tokens.question];
        tokenizer.encode_into(&sample.question, &mut ids);
        ids.push(config.special_tokens.answer);
        tokenizer.encode_into(&sample.answer, &mut ids);
        ids.push(config.special_tokens.end);
        decoder(&mut trace, &ids, memory.data(), &config.decoder)
            .with_context(|| format!("at {}", sample.image))?;
    }
    Ok(trace)
}

/// Convolutions at strides 2 to 16, residual ones among them.
fn trunk(trace: &mut Trace<'_>, network: &str, x: Map, down: [usize; 2]) -> Result<Map> {
    let mut x = trace.conv(&format!("{network}.stem.0"), &x, [2; 2])?;
    x = trace.conv(&format!("{network}.stem.1"), &x, [2; 2])?;
    for stage in 1..=3 {
        let name = format!("{network}.stage{stage}");
        let parts = if trace.has(&name) {
            vec![name]
        } else {
            let numbered = (0..).map(|i| format!("{name}.{i}"));
            numbered.take_while(|name| trace.has(name)).collect()
        };
        for part in parts {
            let change = trace.conv(&part, &x, [1; 2])?;
            add(&mut x.values, &change.values);
        }
        if stage < 3 {
            x = trace.conv(&format!("{network}.down{stage}"), &x, down)?;
        }
    }
    Ok(x)
}

/// A block of attention and a feed-forward layer over rows.
fn block(trace: &mut Trace<'_>, name: &str, x: &mut [f32]) -> Result<()> {
    let normed = trace.norm(&format!("{name}.norm1"), x)?;
    let qkv = trace.linear(&format!("{name}.attention.qkv"), &normed, Activation::None)?;
    let width = trace.matrix(&format!("{name}.attention.proj"))?.shape[1];
    let part = |i: usize| -> Vec<f32> {
        qkv.chunks_exact(3 * width).flat_map(|row| &row[i * width..][..width]).copied().collect()
    };
    let gathered = attend([&part(0), &part(1), &part(2)], width, false);
    add(x, &trace.linear(&format!("{name}.attention.proj"), &gathered, Activation::None)?);
    let normed = trace.norm(&format!("{name}.norm2"), x)?;
    let inner = trace.linear(&format!("{name}.fc1"), &normed, Activation::Gelu)?;
    add(x, &trace.linear(&format!("{name}.fc2"), &inner, Activation::None)?);
    Ok(())
}

/// The mean over the cells of a picture of one thing.
fn tower(trace: &mut Trace<'_>, x: Map) -> Result<Vec<f32>> {
    let mut x = trunk(trace, "tower", x, [2; 2])?;
    block(trace, "tower.block", &mut x.values)?;
    let cells = trace.norm("tower.norm", &x.values)?;
    let [height, width, channels] = x.shape;
    let mut mean = vec![0.0; channels];
    cells.chunks_exact(channels).for_each(|cell| add(&mut mean, cell));
    mean.iter_mut().for_each(|value| *value /= (height * width) as f32);
    Ok(mean)
}

/// The scores of a strip's cells.
fn reader(trace: &mut Trace<'_>, strip: Map, blocks: usize) -> Result<Vec<f32>> {
    let x = trunk(trace, "reader", strip, [2, 1])?;
    let mut x = trace.conv("reader.collapse", &x, [2, 1])?.values;
    for i in 0..blocks {
        block(trace, &format!("reader.blocks.{i}"), &mut x)?;
    }
    let normed = trace.norm("reader.norm", &x)?;
    trace.linear("reader.out", &normed, Activation::None)
}

/// The scores of each token's successor.
fn decoder(trace: &mut Trace<'_>, ids: &[u32], memory: &[f32], config: &Decoder) -> Result<Vec<f32>> {
    const PLAIN: Activation = Activation::None;
    let width = config.hidden_size;
    let memory = trace.norm("decoder.memory_norm", memory)?;
    let embeddings = &trace.matrix("decoder.embed")?.weights;
    let mut x: Vec<f32> =
        ids.iter().flat_map(|id| &embeddings[*id as usize * width..][..width]).copied().collect();
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("decoder.layers.{layer}.{part}");
        let normed = trace.norm(&name("self_norm"), &x)?;
        let mut q = trace.linear(&name("q_proj"), &normed, PLAIN)?;
        let mut k = trace.linear(&name("k_proj"), &normed, PLAIN)?;
        let v = trace.linear(&name("v_proj"), &normed, PLAIN)?;
        rotate(&mut q, width, config.rope_theta);
        rotate(&mut k, width, config.rope_theta);
        let gathered = attend([&q, &k, &v], width, true);
        add(&mut x, &trace.linear(&name("o_proj"), &gathered, PLAIN)?);
        let normed = trace.norm(&name("cross_norm"), &x)?;
        let q = trace.linear(&name("cross_q"), &normed, PLAIN)?;
        let k = trace.linear(&name("cross_k"), &memory, PLAIN)?;
        let v = trace.linear(&name("cross_v"), &memory, PLAIN)?;
        let gathered = attend([&q, &k, &v], width, false);
        add(&mut x, &trace.linear(&name("cross_o"), &gathered, PLAIN)?);
        let normed = trace.norm(&name("ffn_norm"), &x)?;
        let mut inner = trace.linear(&name("gate"), &normed, Activation::Silu)?;
        let up = trace.linear(&name("up"), &normed, PLAIN)?;
        inner.iter_mut().zip(up).for_each(|(gate, up)| *gate *= up);
        add(&mut x, &trace.linear(&name("down"), &inner, PLAIN)?);
    }
    let normed = trace.norm("decoder.norm", &x)?;
    trace.linear("decoder.embed", &normed, PLAIN)
}

fn add(x: &mut [f32], change: &[f32]) {
    x.iter_mut().zip(change).for_each(|(x, change)| *x += change);
}

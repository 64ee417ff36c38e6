//! ResNets agree with the reference: the square's bytes exactly, every stage to 1e-4 of its scale.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use tiny_vlm_image::{Filter, Image, Limits, Options};
use tiny_vlm_layers::Precision;
use tiny_vlm_tensor::{Tensor, Workspace};
use tiny_vlm_vision::{
    Fit, Middle, Normalize, ResNet, ResNetConfig, ResNetNames, SquareProcessor, VisionError, global_mean,
};
use tiny_vlm_weights::{Params, Weights};

/// The largest difference over the largest magnitude that a stage may have.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct About {
    layout: String,
    square: Square,
    config: Sizes,
    pictures: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Square {
    side: usize,
    fit: String,
    size: usize,
    filter: String,
    middle: String,
    mean: [f64; 3],
    deviation: [f64; 3],
}

#[derive(Deserialize)]
struct Sizes {
    stem: usize,
    widths: Vec<usize>,
    depths: Vec<usize>,
    bottleneck: bool,
    first_stage_halves: bool,
    reduction_halves: bool,
}

struct Fixture {
    about: About,
    folder: PathBuf,
    golden: Weights,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

impl Fixture {
    fn open(name: &str) -> Self {
        let folder = fixtures().join("models").join(name);
        let about = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let golden = Weights::open(folder.join("golden.safetensors")).unwrap();
        Fixture { about: serde_json::from_str(&about).unwrap(), folder, golden }
    }

    fn config(&self) -> ResNetConfig {
        let Sizes { stem, bottleneck, first_stage_halves, reduction_halves, .. } = self.about.config;
        let (widths, depths) = (self.about.config.widths.clone(), self.about.config.depths.clone());
        ResNetConfig { stem, widths, depths, bottleneck, first_stage_halves, reduction_halves }
    }

    fn net(&self, precision: Precision) -> ResNet {
        let weights = Weights::open(&self.folder).unwrap();
        let params = Params::new(&weights, precision);
        let (scope, names) = match self.about.layout.as_str() {
            "timm" => (params.root(), ResNetNames::Timm),
            _ => (params.scope("resnet"), ResNetNames::Transformers),
        };
        let net = ResNet::load(&scope, &self.config(), names).unwrap();
        let error = params.finish().unwrap_err();
        assert!(error.missing.is_empty() && error.misshapen.is_empty(), "{error}");
        let rest = |name: &&String| !name.ends_with("num_batches_tracked");
        assert_eq!(error.extra.iter().filter(rest).count(), 2, "all but the classifier is used: {error}");
        net
    }

    fn processor(&self) -> SquareProcessor {
        let rule = &self.about.square;
        let fit = if rule.fit == "stretch" { Fit::Stretch(rule.size) } else { Fit::Shorter(rule.size) };
        let filter = if rule.filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let middle = if rule.middle == "even" { Middle::Even } else { Middle::Lower };
        let normalize = Normalize { scale: 1.0 / 255.0, mean: rule.mean, deviation: rule.deviation };
        SquareProcessor::new(rule.side, fit, filter, middle, &normalize).unwrap()
    }

    fn image(&self, name: &str) -> Image {
        let bytes = std::fs::read(fixtures().join(&self.about.pictures[name])).unwrap();
        Image::decode_with(&bytes, &Options::pillow(Limits::default())).unwrap()
    }

    /// The values kept of a stage, and every how many-th of `len` they are.
    fn kept(&self, stage: &str, len: usize) -> (Vec<f32>, usize) {
        let kept = self.golden.get(stage).unwrap_or_else(|| panic!("no {stage}"));
        let mut values = vec![0.0; kept.elements()];
        kept.read_f32(&mut values);
        let step = len.div_ceil(values.len());
        assert_eq!(len.div_ceil(step), values.len(), "{stage}");
        (values, step)
    }

    #[track_caller]
    fn agrees(&self, stage: &str, ours: &[f32]) {
        let (kept, step) = self.kept(stage, ours.len());
        let difference = difference(ours.iter().step_by(step).copied(), &kept);
        println!("{} {stage} {difference:.1e}", self.folder.file_name().unwrap().display());
        assert!(difference < TOLERANCE, "{stage}: {difference}");
    }
}

/// The largest difference over the largest magnitude.
fn difference(ours: impl Iterator<Item = f32>, kept: &[f32]) -> f32 {
    let largest = kept.iter().fold(1e-9_f32, |most, value| most.max(value.abs()));
    let pairs = ours.zip(kept);
    pairs.map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY }).fold(0.0, f32::max)
        / largest
}

fn stages_agree(name: &str) {
    let fixture = Fixture::open(name);
    let (net, processor) = (fixture.net(Precision::F32), fixture.processor());
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    for picture in fixture.about.pictures.keys() {
        let image = fixture.image(picture);
        let square = processor.crop(&ctx, &image).unwrap();
        let (kept, step) = fixture.kept(&format!("{picture}.square"), square.data().len());
        let kept: Vec<u8> = kept.into_iter().map(|byte| byte as u8).collect();
        let ours: Vec<u8> = square.data().iter().step_by(step).copied().collect();
        assert!(ours == kept, "{name}: {picture} has other bytes");

        let pixels = processor.pixels(&ctx, &image).unwrap();
        fixture.agrees(&format!("{picture}.pixels"), pixels.data());
        let mut x = net.embed(&ctx, pixels.view()).unwrap();
        fixture.agrees(&format!("{picture}.stem"), x.data());
        for stage in 0..net.stages() {
            x = net.stage(&ctx, stage, x).unwrap();
            fixture.agrees(&format!("{picture}.stage{stage}"), x.data());
        }
        let mut features = vec![0.0; net.width()];
        global_mean(x.view(), &mut features).unwrap();
        fixture.agrees(&format!("{picture}.features"), &features);
    }
}

#[test]
fn bottlenecks_of_transformers() {
    stages_agree("resnet-bottleneck");
}

#[test]
fn basic_blocks_of_transformers() {
    stages_agree("resnet-basic");
}

#[test]
fn bottlenecks_as_in_the_paper_and_stretched_pictures() {
    stages_agree("resnet-paper");
}

#[test]
fn bottlenecks_of_timm() {
    stages_agree("resnet50-timm");
}

#[test]
fn basic_blocks_of_timm() {
    stages_agree("resnet18-timm");
}

/// Bytes move the features, which shows that they are used, but not far.
#[test]
fn narrower_weights_nearly_agree() {
    let fixture = Fixture::open("resnet-bottleneck");
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let pixels = fixture.processor().pixels(&ctx, &fixture.image("page")).unwrap();
    let features = |precision| {
        let net = fixture.net(precision);
        let mut features = vec![0.0; net.width()];
        global_mean(net.forward(&ctx, pixels.view()).unwrap().view(), &mut features).unwrap();
        features
    };
    let full = features(Precision::F32);
    for (precision, bound) in [(Precision::Bf16, 0.1), (Precision::F16, 0.03), (Precision::Int8, 0.2)] {
        let far = difference(features(precision).into_iter(), &full);
        println!("{precision} {far:.1e}");
        assert!(far > 0.0 && far < bound, "{precision}: {far}");
    }
}

#[test]
fn features_do_not_depend_on_the_number_of_threads() {
    let fixture = Fixture::open("resnet50-timm");
    let (net, processor, image) = (fixture.net(Precision::Int8), fixture.processor(), fixture.image("page"));
    let features = |threads| {
        let workspace = Workspace::new(threads);
        let ctx = workspace.context();
        let pixels = processor.pixels(&ctx, &image).unwrap();
        net.forward(&ctx, pixels.view()).unwrap().data().to_vec()
    };
    let alone = features(1);
    assert!([2, 3].into_iter().all(|threads| features(threads) == alone));
}

#[test]
fn networks_that_cannot_be_are_errors() {
    let fixture = Fixture::open("resnet-basic");
    let weights = Weights::open(&fixture.folder).unwrap();
    let load = |config: &ResNetConfig| {
        let params = Params::new(&weights, Precision::F32);
        let loaded = ResNet::load(&params.scope("resnet"), config, ResNetNames::Transformers);
        (loaded.map(drop), params.finish())
    };
    let good = fixture.config();
    for wrong in [
        ResNetConfig { widths: vec![], depths: vec![], ..good.clone() },
        ResNetConfig { depths: vec![2, 1], ..good.clone() },
        ResNetConfig { depths: vec![2, 0, 1], ..good.clone() },
        ResNetConfig { depths: vec![usize::MAX, 1, 1], ..good.clone() },
        ResNetConfig { stem: 0, ..good.clone() },
        ResNetConfig { stem: usize::MAX, ..good.clone() },
        ResNetConfig { widths: vec![3, 8, 8], bottleneck: true, ..good.clone() },
    ] {
        assert!(matches!(load(&wrong).0, Err(VisionError::Config(_))), "{wrong:?}");
    }
    // All that is missing or of another shape is told at once, however much it is.
    let (loaded, told) = load(&ResNetConfig { widths: vec![16, 24, 9000], depths: vec![2, 1, 1000], ..good });
    assert!(loaded.is_ok());
    let told = told.unwrap_err();
    assert!(told.misshapen.len() >= 12 && told.missing.len() > 9000, "{told}");
}

#[test]
fn a_stopped_context_stops_the_work() {
    let fixture = Fixture::open("resnet-basic");
    let net = fixture.net(Precision::F32);
    let workspace = Workspace::inline();
    workspace.stop().cancel();
    let pixels = Tensor::<f32, 3>::zeroed([51, 51, 3]);
    let stopped = net.forward(&workspace.context(), pixels.view());
    assert!(matches!(stopped, Err(VisionError::Stopped(_))));
    assert!(fixture.processor().pixels(&workspace.context(), &fixture.image("page")).is_err());
}

//! Every stage of FastViT agrees with `timm` to 1e-4 of its scale in f32, whether its branches are folded here or were
//! folded there. `fixtures/golden/fastvit.py` makes the checkpoints.
//!
//! `cargo test -p tiny-vlm-vision --test fastvit -- --nocapture` prints by how much.

use std::path::PathBuf;

use serde::Deserialize;
use tiny_vlm_layers::Precision;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Tensor, Workspace};
use tiny_vlm_vision::{FastVit, FastVitConfig, FastVitSizes, VisionError};
use tiny_vlm_weights::{LoadError, Params, Weights};

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Config {
    architecture: String,
    model_args: FastVitSizes,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

fn config(name: &str) -> FastVitConfig {
    let json = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
    let config: Config = serde_json::from_str(&json).unwrap();
    FastVitConfig::named(&config.architecture, &config.model_args).unwrap()
}

fn load(
    weights: &Weights,
    config: &FastVitConfig,
    precision: Precision,
) -> (Result<FastVit, VisionError>, Result<(), LoadError>) {
    let params = Params::new(weights, precision);
    params.ignore(|name| name.ends_with("num_batches_tracked") || name.starts_with("head."));
    let network = FastVit::load(&params.root(), config);
    (network, params.finish())
}

/// What the reference made of its picture.
struct Golden(Weights);

impl Golden {
    fn tensor(&self, name: &str) -> Tensor<f32, 1> {
        let stored = self.0.get(name).unwrap();
        let mut values = Tensor::zeroed([stored.elements()]);
        stored.read_f32(values.data_mut());
        values
    }

    fn pixels(&self) -> Tensor<f32, 3> {
        let shape: [usize; 3] = self.0.info("pixels").unwrap().shape[..].try_into().unwrap();
        let bytes = self.tensor("pixels");
        Tensor::from_fn(shape, |[y, x, c]| bytes.data()[(y * shape[1] + x) * shape[2] + c] / 255.0)
    }

    /// The largest difference over the largest magnitude.
    fn difference(&self, name: &str, ours: &[f32]) -> f32 {
        let expected = self.tensor(name);
        assert_eq!(ours.len(), expected.len(), "{name}");
        assert!(ours.iter().all(|value| value.is_finite()), "{name}");
        let most = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
        let scale = most(&mut expected.data().iter().copied());
        most(&mut ours.iter().zip(expected.data()).map(|(a, b)| a - b)) / scale
    }
}

/// Compares each stage, and what the last one gives with a tolerance of its own.
fn compare(name: &str, precision: Precision, [tolerance, last]: [f32; 2]) {
    let config = config(name);
    let weights = Weights::open(folder(name)).unwrap();
    let golden = Golden(Weights::open(folder(name).join("golden.safetensors")).unwrap());
    let (network, report) = load(&weights, &config, precision);
    report.unwrap();
    let network = network.unwrap();
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let agree = |stage: &str, ours: &[f32]| {
        let difference = golden.difference(stage, ours);
        println!("{name} {precision} {stage}: {difference:.1e}");
        let tolerance = if stage == "features" { last } else { tolerance };
        assert!(difference < tolerance, "{name} {stage}: {difference}");
    };
    let mut names = vec!["stem".to_owned()];
    names.extend((0..config.widths.len()).map(|stage| format!("stage.{stage}")));
    names.push("features".to_owned());
    let mut names = names.into_iter();
    let mut observe = |x: tiny_vlm_tensor::View<'_, f32, 3>| {
        agree(&names.next().unwrap(), x.data().unwrap());
    };
    network.features_observed(&ctx, golden.pixels().view(), &mut observe).unwrap();
    assert!(names.next().is_none());
}

#[test]
fn branches_of_training_are_folded() {
    compare("fastvit-t8", Precision::F32, [TOLERANCE; 2]);
}

#[test]
fn folded_checkpoints_are_read() {
    compare("fastvit-t8-folded", Precision::F32, [TOLERANCE; 2]);
}

#[test]
fn attention_positions_and_layer_norms() {
    compare("fastvit-hd", Precision::F32, [TOLERANCE; 2]);
}

/// What bytes may cost networks this small and random, where errors hardly average out. They may move one of the gates of
/// the last layer, which are steep where weights are random, and its channel by a quarter; by half where the machine's dot
/// product takes seven bits of activations.
#[test]
fn bytes_are_near() {
    let last = if Level::detect().activation_max() == 255 { 0.25 } else { 0.5 };
    for name in ["fastvit-t8", "fastvit-hd"] {
        compare(name, Precision::Int8, [0.1, last]);
    }
}

#[test]
fn any_number_of_threads_makes_the_same() {
    let name = "fastvit-hd";
    let weights = Weights::open(folder(name)).unwrap();
    let golden = Golden(Weights::open(folder(name).join("golden.safetensors")).unwrap());
    let network = load(&weights, &config(name), Precision::Int8).0.unwrap();
    let made = |threads: usize| {
        let workspace = Workspace::new(threads);
        network.features(&workspace.context(), golden.pixels().view()).unwrap().data().to_vec()
    };
    assert_eq!(made(1), made(3));
}

#[test]
fn all_that_is_missing_is_listed() {
    let weights = Weights::open(folder("fastvit-t8")).unwrap();
    let other = FastVitConfig { stem_scale_branch: false, ..config("fastvit-t8") };
    let report = load(&weights, &other, Precision::F32).1.unwrap_err();
    assert!(report.extra.iter().any(|name| name == "stem.0.conv_scale.conv.weight"));
    let other =
        FastVitConfig { depths: vec![1, 3, 1, 1], widths: vec![8, 16, 16, 16], ..config("fastvit-t8") };
    let report = load(&weights, &other, Precision::F32).1.unwrap_err();
    let missing = |name: &str| report.missing.iter().any(|missing| missing.name == name);
    assert!(missing("stages.1.blocks.2.mlp.fc2.weight"));
    assert!(missing("stages.1.blocks.2.token_mixer.mixer.conv_kxk.0.bn.running_var"));
    assert!(report.misshapen.iter().any(|wrong| wrong.name == "final_conv.se.fc1.weight"));
}

#[test]
fn pictures_of_any_size_and_stopped_work() {
    let network =
        load(&Weights::open(folder("fastvit-hd")).unwrap(), &config("fastvit-hd"), Precision::F32).0;
    let network = network.unwrap();
    let workspace = Workspace::inline();
    for [height, width] in [[1, 1], [1, 200], [130, 3]] {
        let x = Tensor::<f32, 3>::zeroed([height, width, 3]);
        let shape = network.features(&workspace.context(), x.view()).unwrap().shape();
        assert_eq!(shape, [height.div_ceil(64), width.div_ceil(64), 64]);
    }
    let grey = Tensor::<f32, 3>::zeroed([64, 64, 1]);
    assert!(matches!(network.features(&workspace.context(), grey.view()), Err(VisionError::Layer(_))));
    workspace.stop().cancel();
    let x = Tensor::<f32, 3>::zeroed([64, 64, 3]);
    assert!(matches!(network.features(&workspace.context(), x.view()), Err(VisionError::Stopped(_))));
}

//! Reads what `training/nano/golden.py` writes, and makes the weights that it names.

use std::{collections::BTreeMap, path::PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use serde::Deserialize;
use tiny_vlm_image::Image;
use tiny_vlm_weights::Weights;

/// The largest difference over the largest magnitude that an f32 stage may have.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// A fixture: weights, and what each stage makes of each picture with them.
pub(crate) struct Fixture<Case> {
    pub(crate) about: About<Case>,
    outputs: Weights,
}

#[derive(Deserialize)]
pub(crate) struct About<Case> {
    pub(crate) config: serde_json::Value,
    /// Most tokens of an answer.
    #[allow(dead_code, reason = "not every test that reads fixtures answers")]
    pub(crate) limit: usize,
    #[serde(default)]
    salt: String,
    #[serde(default)]
    tensors: BTreeMap<String, Recipe>,
    stages: BTreeMap<String, Stage>,
    pub(crate) images: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Recipe {
    shape: Vec<usize>,
    #[serde(default)]
    gain: f64,
    values: Option<Vec<f32>>,
}

/// An output of which every `step`th element was kept.
#[derive(Deserialize)]
struct Stage {
    shape: Vec<usize>,
    step: usize,
    largest: f64,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/nano")
}

/// The master that nano's other precisions are made of.
pub(crate) fn master() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../training/export")
}

impl<Case: for<'a> Deserialize<'a>> Fixture<Case> {
    /// The fixture with made-up weights.
    pub(crate) fn random() -> Self {
        Self::open("random")
    }

    /// The fixture with the trained master's weights, if both are there: a package has neither.
    pub(crate) fn trained() -> Option<Self> {
        (master().is_dir() && folder().join("trained.json").is_file()).then(|| Self::open("trained"))
    }

    fn open(name: &str) -> Self {
        let json = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let outputs = Weights::open(folder().join(format!("{name}.safetensors"))).unwrap();
        Fixture { about: serde_json::from_str(&json).unwrap(), outputs }
    }

    /// Whether its weights are made up from their names.
    pub(crate) fn is_made_up(&self) -> bool {
        !self.about.tensors.is_empty()
    }

    /// The checkpoint, made up or trained.
    pub(crate) fn checkpoint(&self) -> Vec<u8> {
        if !self.is_made_up() {
            return std::fs::read(master().join("model.safetensors")).unwrap();
        }
        let data: BTreeMap<&String, Vec<u8>> = (self.about.tensors.iter())
            .map(|(name, recipe)| {
                let values = recipe.values.clone().unwrap_or_else(|| recipe.make(&self.about.salt, name));
                (name, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views = data.iter().map(|(name, data)| {
            (name, TensorView::new(Dtype::F32, self.about.tensors[*name].shape.clone(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// The largest difference of an output from the reference's, over the largest magnitude there.
    pub(crate) fn difference(&self, stage: &str, shape: &[usize], data: &[f32]) -> f64 {
        let about = &self.about.stages[stage];
        assert_eq!(shape, about.shape, "{stage}");
        let kept = self.outputs.get(stage).unwrap();
        let mut expected = vec![0.0; kept.elements()];
        kept.read_f32(&mut expected);
        let ours = data.iter().step_by(about.step);
        assert_eq!(ours.len(), expected.len(), "{stage}");
        let pairs = ours.zip(&expected);
        let most = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        assert!(data.iter().all(|v| v.is_finite()), "{stage}");
        most / about.largest.max(1e-9)
    }

    pub(crate) fn image(&self, name: &str) -> Image {
        Image::open(folder().join(format!("images/{name}.png"))).unwrap()
    }
}

impl Recipe {
    /// The rule of `made_up` in `training/nano/export.py`.
    fn make(&self, salt: &str, name: &str) -> Vec<f32> {
        let seed = salt.bytes().chain(name.bytes()).fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        let count: usize = self.shape.iter().product();
        let amplitude = (self.gain * (3.0 * self.shape[0] as f64 / count as f64).sqrt()) as f32;
        let norm = if name.ends_with(".weight") { 1.0 } else { 0.0 };
        (1..=count as u64)
            .map(|i| {
                let mut x = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                x ^= x >> 31;
                let unit = ((x >> 40) as i64 - (1 << 23)) as f32 / (1 << 23) as f32;
                if self.shape.len() > 1 { unit * amplitude } else { norm + unit * 0.1 }
            })
            .collect()
    }
}

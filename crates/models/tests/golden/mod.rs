//! A checkpoint folder against what the reference makes of it: `golden.json` and `golden.safetensors`, written by
//! `fixtures/golden/FAMILY.py`. One implementation for every family that places images in a prompt.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::SafeTensors;
use serde::Deserialize;
use tiny_vlm_image::{Image, Limits, Options};
use tiny_vlm_models::{Family, RequestShape, Turn};
use tiny_vlm_tensor::Workspace;

/// The largest difference over the largest magnitude that a stage in f32 may have.
pub(crate) const CLOSE: f64 = 1e-4;

mod agreement;

pub(crate) use agreement::{Answered, Conversation, Scores};

/// What the reference makes of some conversations.
pub(crate) struct Golden {
    folder: PathBuf,
    about: About,
    tensors: Vec<u8>,
}

#[derive(Deserialize)]
struct About {
    /// Elements kept of one stage.
    limit: usize,
    mean: [f64; 3],
    std: [f64; 3],
    cases: BTreeMap<String, Case>,
}

/// One conversation.
#[derive(Deserialize)]
struct Case {
    turns: Vec<Asked>,
    prompt: Vec<u32>,
    tiles: usize,
    /// FNV-1a of all tiles' bytes.
    pixels: String,
    generated: Vec<u32>,
}

#[derive(Deserialize)]
struct Asked {
    images: Vec<String>,
    question: String,
    answer: Option<String>,
}

/// How a conversation compares with the reference.
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) case: String,
    /// Whether each byte of each tile is the reference's.
    pub(crate) pixels: bool,
    /// Whether each token of the prompt is.
    pub(crate) prompt: bool,
    /// Stages in the order of the computation: the largest difference over the largest magnitude.
    pub(crate) stages: Vec<(String, f64)>,
    /// Tokens of the answer that are the reference's before the first that is not, and how many there are.
    pub(crate) generated: (usize, usize),
}

impl Outcome {
    /// The stage that is farthest off.
    pub(crate) fn farthest(&self) -> (&str, f64) {
        let farthest = self.stages.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        farthest.map_or(("none", 0.0), |(name, far)| (name, *far))
    }
}

impl Golden {
    pub(crate) fn open(folder: &Path) -> Self {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let about = serde_json::from_slice(&read("golden.json")).expect("golden.json");
        Self { folder: folder.to_owned(), about, tensors: read("golden.safetensors") }
    }

    /// Compares a model with the reference, case by case.
    pub(crate) fn compare(&self, model: &dyn Family, threads: usize) -> Vec<Outcome> {
        let workspace = Workspace::new(threads);
        self.about.cases.iter().map(|(name, case)| self.compare_case(model, &workspace, name, case)).collect()
    }

    /// The conversations, each with the reference's answer.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        let cases = self.about.cases.values();
        cases
            .map(|case| Answered { conversation: self.conversation(case), answer: case.generated.clone() })
            .collect()
    }

    fn conversation(&self, case: &Case) -> Conversation {
        let last = case.turns.last().expect("a question");
        Conversation {
            images: case.turns.iter().flat_map(|turn| &turn.images).map(|path| self.image(path)).collect(),
            history: case.history(),
            new_images: last.images.len(),
            question: last.question.clone(),
        }
    }

    fn compare_case(&self, model: &dyn Family, workspace: &Workspace, name: &str, case: &Case) -> Outcome {
        let ctx = workspace.context();
        let conversation = self.conversation(case);
        let (images, parts) = (&conversation.images, conversation.parts());
        let shape = RequestShape::default();
        let (mut order, mut stages) = (Vec::new(), BTreeMap::<String, Vec<f32>>::new());
        let mut observe = |stage: &str, values: &[f32]| {
            let all = stages.entry(stage.to_owned()).or_insert_with(|| {
                order.push(stage.to_owned());
                Vec::new()
            });
            all.extend_from_slice(values);
        };
        let prompt = model.trace(&ctx, images, &parts, &shape, &mut observe).unwrap();
        let sizes = images.iter().map(|image| [image.width(), image.height()]);
        let tiles: usize = sizes.filter_map(|size| Some(model.image_cost(size, &shape)?.tiles)).sum();
        assert_eq!(tiles, case.tiles, "{name}: tiles");
        let pixels = stages.remove("pixels").expect("pixels are shown");
        order.retain(|stage| stage != "pixels");

        let golden = SafeTensors::deserialize(&self.tensors).expect("golden.safetensors");
        let far = |stage: String| {
            let expected = golden.tensor(&format!("{name}/{stage}"));
            let expected = expected.unwrap_or_else(|error| panic!("{name}/{stage}: {error}"));
            let expected =
                expected.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let far = distance(&thin(&stages[&stage], self.about.limit), expected);
            (stage, far)
        };
        let count = golden.names().iter().filter(|stage| stage.starts_with(&format!("{name}/"))).count();
        assert_eq!(order.len(), count, "{name}: stages shown: {order:?}");
        Outcome {
            case: name.to_owned(),
            pixels: self.hash(&pixels) == case.pixels,
            prompt: prompt == case.prompt,
            stages: order.into_iter().map(far).collect(),
            generated: agreeing(
                &conversation.answer(model, workspace, case.generated.len()),
                &case.generated,
            ),
        }
    }

    fn image(&self, path: &str) -> Image {
        let path = self.folder.join(path);
        // The reference takes pictures of any shape.
        let limits = Limits::default().with_max_ratio(u32::MAX);
        let image = Image::open_with(&path, &Options::with_limits(limits));
        image.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// FNV-1a of pixels as the bytes they were.
    fn hash(&self, pixels: &[f32]) -> String {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (i, &value) in pixels.iter().enumerate() {
            let byte = ((f64::from(value) * self.about.std[i % 3] + self.about.mean[i % 3]) * 255.0).round();
            hash = (hash ^ u64::from(byte as u8)).wrapping_mul(0x100_0000_01b3);
        }
        format!("{hash:016x}")
    }
}

impl Case {
    fn history(&self) -> Vec<Turn> {
        let answered = |asked: &Asked| {
            let (images, question) = (asked.images.len(), asked.question.clone());
            Some(Turn { images, question, answer: asked.answer.clone()? })
        };
        self.turns.iter().filter_map(answered).collect()
    }
}

fn agreeing(actual: &[u32], expected: &[u32]) -> (usize, usize) {
    let same = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
    (same, expected.len())
}

/// As the scripts keep what is large: every nth element.
fn thin(values: &[f32], limit: usize) -> Vec<f32> {
    values.iter().copied().step_by(values.len().div_ceil(limit).max(1)).collect()
}

/// The largest difference over the largest magnitude.
fn distance(actual: &[f32], expected: Vec<f32>) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |most, &x| most.max(f64::from(x.abs())));
    let off = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    let most =
        actual.iter().zip(&expected).map(off).fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
    most / scale
}

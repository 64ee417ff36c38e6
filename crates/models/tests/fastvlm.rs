//! From a picture and a question to an answer, FastVLM agrees with the reference in both layouts: pixels, prompts and
//! answers exactly, every stage to 1e-4 of its scale in f32. `fixtures/golden/fastvlm.py` makes the checkpoints.
//!
//! `cargo test -p tiny-vlm-models --test fastvlm -- --nocapture` prints by how much.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_models::{
    Family, Features, ModelOptions, Precision, PreparedPrompt, PromptParts, RequestShape, Source, Special,
    Step, Task, Turn, load, open,
};
use tiny_vlm_tensor::{Tensor, Workspace};
use tiny_vlm_vision::{Fit, Middle, Normalize, SquareProcessor};
use tiny_vlm_weights::Weights;

const TOLERANCE: f32 = 1e-4;
const LAYOUTS: [&str; 2] = ["fastvlm", "fastvlm-apple"];
/// The processor of FastVLM: nothing is subtracted.
const PLAIN: Normalize = Normalize { scale: 1.0 / 255.0, mean: [0.0; 3], deviation: [1.0; 3] };

#[derive(Deserialize)]
struct About {
    cases: Vec<Case>,
    #[serde(default)]
    pictures: Vec<Picture>,
    image_token: u32,
}

#[derive(Deserialize)]
struct Case {
    image: String,
    question: String,
    ids: Vec<u32>,
    generated: Vec<u32>,
    text: String,
}

#[derive(Deserialize)]
struct Picture {
    image: String,
    side: usize,
    pads: bool,
    crc: u32,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn folder(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}

fn about(name: &str) -> About {
    serde_json::from_slice(&std::fs::read(folder(name).join("golden.json")).unwrap()).unwrap()
}

fn image(name: &str) -> Image {
    Image::open(fixtures().join("image").join(name)).unwrap()
}

fn exact(name: &str) -> Arc<dyn Family> {
    open(&folder(name), &ModelOptions::default().with_precision(Precision::F32)).unwrap()
}

/// What the reference computed.
struct Golden(Weights);

impl Golden {
    fn open(name: &str) -> Self {
        Self(Weights::open(folder(name).join("golden.safetensors")).unwrap())
    }

    fn values(&self, stage: &str) -> Vec<f32> {
        let stored = self.0.get(stage).unwrap_or_else(|| panic!("{stage}"));
        let mut values = vec![0.0; stored.elements()];
        stored.read_f32(&mut values);
        values
    }

    /// Compares what was kept of a stage, every nth value of it.
    fn agree(&self, stage: &str, ours: &[f32]) {
        let expected = self.values(stage);
        let step = ours.len().div_ceil(expected.len());
        let kept: Vec<f32> = ours.iter().copied().step_by(step).collect();
        assert_eq!(kept.len(), expected.len(), "{stage}");
        assert!(ours.iter().all(|value| value.is_finite()), "{stage}");
        let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let off = kept.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / scale;
        println!("{stage}: {off:.1e}");
        assert!(off < TOLERANCE, "{stage}: {off}");
    }
}

fn question(text: &str) -> PromptParts<'_> {
    PromptParts { history: &[], images: 1, task: Task::Question(text), lang: None }
}

fn seen(model: &dyn Family, workspace: &Workspace, name: &str) -> Arc<Features> {
    Arc::new(model.encode(&workspace.context(), &image(name), &RequestShape::default()).unwrap())
}

/// The scores behind the prompt and behind each of the tokens that are said after it, but the last.
fn scores(
    model: &dyn Family,
    workspace: &Workspace,
    prompt: &PreparedPrompt,
    features: &[Arc<Features>],
    said: &[u32],
) -> Vec<Vec<f32>> {
    let ctx = workspace.context();
    let mut sequence = model.begin(&ctx, prompt, features).unwrap();
    let mut entering = prompt.ids.clone();
    let mut all = Vec::new();
    for &id in said {
        let mut scores = vec![0.0; model.info().vocab];
        model.step(&ctx, &mut [Step { sequence: &mut *sequence, ids: &entering }], &mut scores).unwrap();
        all.push(scores);
        entering = vec![id];
    }
    all
}

fn best(scores: &[f32]) -> u32 {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap() as u32
}

/// IEEE's CRC-32.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn pixels_are_the_reference_s() {
    let (workspace, pictures) = (Workspace::new(2), about("fastvlm").pictures);
    assert!(pictures.len() >= 16);
    for picture in pictures {
        let fit = if picture.pads { Fit::Padded(picture.side) } else { Fit::Shorter(picture.side) };
        let processor = SquareProcessor::new(picture.side, fit, Filter::Bicubic, Middle::Lower, &PLAIN);
        let square = processor.unwrap().crop(&workspace.context(), &image(&picture.image)).unwrap();
        let (name, side, pads) = (&picture.image, picture.side, picture.pads);
        assert_eq!(crc32(square.data()), picture.crc, "{name} to {side}, padded: {pads}");
    }
}

#[test]
fn answers_are_the_reference_s() {
    let workspace = Workspace::new(2);
    for name in LAYOUTS {
        let (model, about, golden) = (exact(name), about(name), Golden::open(name));
        for (number, case) in about.cases.iter().enumerate() {
            let features = [seen(&*model, &workspace, &case.image)];
            let rows = features[0].get::<Tensor<f32, 2>>().unwrap();
            golden.agree(&format!("{number}.features"), rows.data());
            let prompt = model.prompt(&question(&case.question), &features).unwrap();
            assert_eq!(
                words(&prompt.ids, features[0].tokens),
                words(&case.ids, features[0].tokens),
                "{name}"
            );
            assert_eq!(prompt.image_ids, features[0].tokens);
            let scores = scores(&*model, &workspace, &prompt, &features, &case.generated);
            for (step, scores) in scores.iter().enumerate() {
                golden.agree(&format!("{number}.logits.{step}"), scores);
                assert_eq!(best(scores), case.generated[step], "{name} {number} {step}");
            }
            assert_eq!(model.tokenizer().decode_with_specials(&case.generated), case.text);
        }
    }
}

/// A prompt without the placeholders, which lie together and need not be the reference's, and where they begin.
fn words(ids: &[u32], placeholders: usize) -> (Vec<u32>, usize) {
    let alike = |window: &[u32]| window.iter().all(|id| *id == window[0]);
    let first = ids.windows(placeholders).position(alike).unwrap();
    ([&ids[..first], &ids[first + placeholders..]].concat(), first)
}

#[test]
fn every_stage_agrees() {
    let workspace = Workspace::new(2);
    for name in LAYOUTS {
        let (model, about, golden) = (exact(name), about(name), Golden::open(name));
        for (number, case) in about.cases.iter().enumerate() {
            let mut shown = Vec::new();
            let mut observe = |stage: &str, values: &[f32]| {
                shown.push(stage.to_owned());
                let stage = match stage.split_once('.') {
                    // The reference has the stem within its first stage.
                    Some(("vision", "0")) => return,
                    Some(("vision", stage)) => format!("stage.{}", stage.parse::<usize>().unwrap() - 1),
                    // Of the last layer it keeps what the norm makes.
                    Some(("decoder", "2")) => return,
                    Some(("decoder", layer)) => format!("hidden.{layer}"),
                    None if stage == "projector" => "features".to_owned(),
                    None if stage == "logits" => "logits.0".to_owned(),
                    _ => return assert_eq!((stage, values.len()), ("pixels", 192 * 192 * 3)),
                };
                golden.agree(&format!("{number}.{stage}"), values);
            };
            let images = [image(&case.image)];
            let (ctx, shape) = (workspace.context(), RequestShape::default());
            let ids = model.trace(&ctx, &images, &question(&case.question), &shape, &mut observe).unwrap();
            assert_eq!(ids.len(), case.ids.len());
            assert_eq!(shown.len(), 13, "{shown:?}");
            let cost = model.image_cost([97, 61], &shape).unwrap();
            assert_eq!((cost.tiles, cost.tokens), (1, 9));
        }
    }
}

/// A prompt that enters in parts, two sequences in one batch, and a second that goes on from a prefix.
#[test]
fn however_a_prompt_enters() {
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let (model, about) = (exact("fastvlm"), about("fastvlm"));
    let features: Vec<_> = about.cases.iter().map(|case| seen(&*model, &workspace, &case.image)).collect();
    let prompt = |number: usize| {
        let asked = question(&about.cases[number].question);
        model.prompt(&asked, &features[number..=number]).unwrap()
    };
    let prompts = [prompt(0), prompt(1)];
    let alone = [0, 1].map(|number| {
        scores(&*model, &workspace, &prompts[number], &features[number..=number], &[0]).remove(0)
    });
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);

    let begin = |number: usize| model.begin(&ctx, &prompts[number], &features[number..=number]).unwrap();
    let vocab = model.info().vocab;
    let mut sequence = begin(0);
    let mut last = vec![0.0; vocab];
    for part in prompts[0].ids.chunks(5) {
        model.step(&ctx, &mut [Step { sequence: &mut *sequence, ids: part }], &mut last).unwrap();
    }
    assert!(near(&last, &alone[0]));
    let cut = prompts[0].ids.len() - 30;
    sequence.truncate(cut);
    let mut fork = sequence.fork();
    let rest = &prompts[0].ids[cut..];
    model.step(&ctx, &mut [Step { sequence: &mut *fork, ids: rest }], &mut last).unwrap();
    assert!(near(&last, &alone[0]) && sequence.len() == cut);

    // A sequence that saw another picture is of no use, one that saw the same goes on.
    assert!(model.resume(sequence.fork(), cut, &prompts[0], &features[1..=1]).is_none());
    let mut resumed = model.resume(sequence, cut, &prompts[0], &features[..1]).unwrap();
    model.step(&ctx, &mut [Step { sequence: &mut *resumed, ids: rest }], &mut last).unwrap();
    assert!(near(&last, &alone[0]));

    let (mut first, mut second, mut both) = (begin(0), begin(1), vec![0.0; 2 * vocab]);
    let mut batch = [
        Step { sequence: &mut *first, ids: &prompts[0].ids },
        Step { sequence: &mut *second, ids: &prompts[1].ids },
    ];
    model.step(&ctx, &mut batch, &mut both).unwrap();
    assert!(near(&both[..vocab], &alone[0]) && near(&both[vocab..], &alone[1]));
}

/// What a decoder says is a token, be it the placeholder's.
#[test]
fn placeholders_are_the_prompt_s_alone() {
    let workspace = Workspace::new(2);
    let (model, about) = (exact("fastvlm"), about("fastvlm"));
    let features = [seen(&*model, &workspace, &about.cases[0].image)];
    let prompt = model.prompt(&question("What is it?"), &features).unwrap();
    let said = [about.image_token, 5, 6];
    let scores = scores(&*model, &workspace, &prompt, &features, &said);
    assert!(scores.iter().flatten().all(|score| score.is_finite()));
    assert!(model.begin(&workspace.context(), &prompt, &[]).is_err());
}

#[test]
fn turns_and_captions_have_their_images() {
    let workspace = Workspace::new(2);
    let history = [Turn { images: 1, question: "What is it?".to_owned(), answer: "A cat.".to_owned() }];
    for name in LAYOUTS {
        let (model, about) = (exact(name), about(name));
        assert!(model.info().converses && model.info().parameters > 50_000);
        let features = seen(&*model, &workspace, &about.cases[0].image);
        let two = [Arc::clone(&features), Arc::clone(&features)];
        let parts =
            PromptParts { history: &history, images: 1, task: Task::Question("And this?"), lang: None };
        let prompt = model.prompt(&parts, &two).unwrap();
        assert_eq!(prompt.image_ids, 18);
        let text = model.tokenizer().decode(&prompt.ids);
        assert!(text.contains("A cat.") && text.contains("And this?"), "{text}");
        assert!(text.starts_with("system\nYou are"), "{text}");
        assert!(model.prompt(&parts, &two[..1]).is_err());
        let caption =
            PromptParts { history: &[], images: 1, task: Task::Caption(Default::default()), lang: None };
        let ids = model.prompt(&caption, &two[..1]).unwrap().ids;
        assert!(model.tokenizer().decode(&ids).contains("Describe the image."));
        let end = model.tokenizer().token_id("<|im_end|>").unwrap();
        assert_eq!((model.special(end), model.special(end - 1)), (Special::End, Special::None));
    }
}

#[test]
fn bytes_answer_nearly_the_same() {
    let workspace = Workspace::new(2);
    for name in LAYOUTS {
        let model = open(&folder(name), &ModelOptions::default()).unwrap();
        assert_eq!(model.info().precision, "int8");
        let (about, golden) = (about(name), Golden::open(name));
        let case = &about.cases[0];
        let features = [seen(&*model, &workspace, &case.image)];
        let prompt = model.prompt(&question(&case.question), &features).unwrap();
        let ours = scores(&*model, &workspace, &prompt, &features, &[0]).remove(0);
        let expected = golden.values("0.logits.0");
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&ours, &expected) / (dot(&ours, &ours) * dot(&expected, &expected)).sqrt();
        println!("{name}: cosine {cosine:.4}");
        assert!(cosine > 0.97, "{name}: {cosine}");
    }
}

#[test]
fn broken_checkpoints_say_what_is_wrong() {
    let read = |file: &str| std::fs::read(folder("fastvlm").join(file)).unwrap();
    let config = String::from_utf8(read("config.json")).unwrap();
    let error = |config: String, weights: Vec<u8>| {
        let source = Source::bytes(config, read("tokenizer.json"), weights)
            .with_file("preprocessor_config.json", read("preprocessor_config.json"));
        load(&source, &ModelOptions::default()).err().expect("an error").to_string()
    };
    let weights = read("model.safetensors");
    let wider = config.replacen("\"hidden_size\": 32", "\"hidden_size\": 48", 1);
    let report = error(wider, weights.clone());
    assert!(report.contains("model.multi_modal_projector.linear_1.weight"), "{report}");
    assert!(report.contains("lm_head.weight"), "{report}");
    let deeper = config.replacen("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", 1);
    assert!(error(deeper, weights.clone()).contains("model.language_model.layers.2"));
    assert!(error(config.replace("fastvit_mci3", "fastvit_t8"), weights.clone()).contains("depths"));
    let cut = error(config, weights[..weights.len() / 2].to_vec());
    assert!(cut.contains("memory"), "{cut}");
    let source = Source::folder("no/such/folder");
    assert_eq!(load(&source, &ModelOptions::default()).err().map(|error| error.code()), Some("model-read"));
}

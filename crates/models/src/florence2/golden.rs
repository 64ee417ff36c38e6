//! A small random Florence-2 against `transformers`, stage by stage, in both layouts of checkpoints; its answers by beams
//! and without; and what places are found in texts of every shape. `fixtures/golden/florence2.py` made the values.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tiny_vlm_decoder::sampling::{BeamOptions, BeamSearch, Sampler, SamplingOptions};
use tiny_vlm_decoder::{DecoderStage, Input, Sequence as Entering};
use tiny_vlm_image::Image;
use tiny_vlm_tensor::{Tensor, Workspace};

use super::model::Florence2;
use super::parse;
use super::tasks::{TASKS, prepare};
use crate::{
    EarlyStopping, Family, Generation, ModelOptions, Precision, PromptParts, Region, RegionShape,
    RequestShape, Source, Step, Task,
};

/// The largest difference over the largest magnitude that an f32 stage may have.
const TOLERANCE: f32 = 1e-4;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn folder() -> PathBuf {
    fixtures().join("models/florence2")
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder().join(name)).unwrap()).unwrap()
}

fn open(folder: &Path) -> Florence2 {
    let source = Source::folder(folder);
    let options = ModelOptions::default().with_precision(Precision::F32);
    Florence2::open(&source.config().unwrap(), &source, &options).unwrap()
}

fn picture() -> Image {
    Image::open(fixtures().join("images").join(json("golden.json")["picture"].as_str().unwrap())).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Every nth element of what the reference computed.
fn thin<T: Copy>(all: &[T], limit: usize) -> Vec<T> {
    all.iter().step_by(all.len().div_ceil(limit).max(1)).copied().collect()
}

fn question(question: &str) -> PromptParts<'_> {
    PromptParts { history: &[], images: 1, task: Task::Question(question), lang: None }
}

/// Every stage of a model against the reference's.
fn compare_stages(model: &Florence2) {
    let about = json("golden.json");
    let limit = about["limit"].as_u64().unwrap() as usize;
    let golden = fs::read(folder().join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let mut compared = 0;
    let mut compare = |name: &str, actual: &[f32]| {
        let Ok(expected) = golden.tensor(name) else { return };
        let expected: Vec<f32> =
            expected.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let actual = thin(actual, limit);
        assert_eq!(actual.len(), expected.len(), "{name}");
        let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let off = actual.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(off / scale < TOLERANCE, "{name} is off by {} of its scale", off / scale);
        compared += 1;
    };
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let mut watch = |name: &str, values: &[f32]| {
        if name != "pixels" {
            compare(name, values);
        }
    };
    let seen = model.see(&ctx, &picture(), &mut watch).unwrap();
    let prompt = model.prompt(&question("<OD>"), &[]).unwrap();
    let memory = model.remember(&ctx, &seen, &prompt.encoder_ids, &mut watch).unwrap();

    let entering = ids(&about["decoder_ids"]);
    let vocab = model.info().vocab;
    let (mut cache, mut layer) = (model.bart.new_cache(), 0);
    let mut logits = Tensor::zeroed([1, vocab]);
    let mut batch = [Entering::new(Input::Tokens(&entering), &mut cache).with_memory(&memory)];
    let mut states = Vec::new();
    let mut keep = |x: tiny_vlm_tensor::View<'_, f32, 2>| {
        states.push((format!("decoder.{layer}"), x.data().unwrap().to_vec()));
        layer += 1;
    };
    model.bart.step_observed(&ctx, &mut batch, logits.view_mut(), &mut keep).unwrap();
    for (name, values) in &states {
        watch(name, values);
    }
    // The logits after each token, one step a token: the cache is as good as the whole.
    let mut cache = model.bart.new_cache();
    let mut all = Vec::new();
    for id in &entering {
        let mut batch =
            [Entering::new(Input::Tokens(std::slice::from_ref(id)), &mut cache).with_memory(&memory)];
        model.bart.step(&ctx, &mut batch, logits.view_mut()).unwrap();
        all.extend_from_slice(logits.data());
    }
    watch("logits", &all);
    // Patches and two blocks a stage with one pair more, the projector, two sides of three states, the logits.
    assert_eq!(compared, 4 + 2 * 5 + 1 + 2 * 3 + 1);
}

#[test]
fn every_stage_is_the_references() {
    compare_stages(&open(&folder()));
}

/// The same weights under the names of the original layout, the projection turned, are the same model.
#[test]
#[cfg_attr(target_family = "wasm", ignore = "there is no folder for temporary files there")]
fn the_original_layout_is_the_same_model() {
    let original = std::env::temp_dir().join(format!("florence2-original-{}", std::process::id()));
    fs::create_dir_all(&original).unwrap();
    for name in ["preprocessor_config.json", "tokenizer.json"] {
        fs::copy(folder().join(name), original.join(name)).unwrap();
    }
    let about = json("golden.json");
    fs::write(original.join("config.json"), about["original"]["config"].to_string()).unwrap();
    let stored = fs::read(folder().join("model.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&stored).unwrap();
    let names: HashMap<String, String> = serde_json::from_value(about["original"]["names"].clone()).unwrap();
    let mut turned = Vec::new();
    let mut tensors = Vec::new();
    for name in stored.names() {
        let tensor = stored.tensor(name).unwrap();
        if names[name] == "image_projection" {
            assert_eq!(tensor.dtype(), Dtype::BF16);
            let [rows, columns] = tensor.shape().try_into().unwrap();
            let values = tensor.data().as_chunks::<2>().0;
            turned = (0..columns)
                .flat_map(|column| (0..rows).flat_map(move |row| values[row * columns + column]))
                .collect::<Vec<u8>>();
            tensors.push((names[name].clone(), (tensor.dtype(), vec![columns, rows], None)));
        } else {
            tensors
                .push((names[name].clone(), (tensor.dtype(), tensor.shape().to_vec(), Some(tensor.data()))));
        }
    }
    // The original has the head and what is added to its scores, too.
    let bias = vec![0; 4 * 1408];
    tensors.push(("language_model.final_logits_bias".to_owned(), (Dtype::F32, vec![1, 1408], Some(&bias))));
    let views = tensors.into_iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(dtype, shape, data.unwrap_or(&turned)).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(original.join("model.safetensors"), file).unwrap();
    compare_stages(&open(&original));
    fs::remove_dir_all(&original).unwrap();
}

#[test]
fn pixels_are_the_references_bytes() {
    let golden = fs::read(folder().join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let (workspace, model) = (Workspace::new(2), open(&folder()));
    let ctx = workspace.context();
    let small = model.processor.crop(&ctx, &picture()).unwrap();
    assert!(small.data() == golden.tensor("pixels").unwrap().data());
    let published = super::config::processor(&Source::bytes("", b"".as_slice(), b"".as_slice())).unwrap();
    let large = published.crop(&ctx, &picture()).unwrap();
    assert!(thin(large.data(), 4000) == golden.tensor("pixels768").unwrap().data());
}

/// How an answer of the fixture was asked for.
fn options(way: &Value) -> (Generation, usize) {
    let published = Generation::default().with("golden.json", way).unwrap();
    (published, way["max_new_tokens"].as_u64().unwrap() as usize)
}

#[test]
fn prompts_and_answers_are_the_references_tokens() {
    let (workspace, model) = (Workspace::new(2), open(&folder()));
    let ctx = workspace.context();
    let features = [Arc::new(model.encode(&ctx, &picture(), &RequestShape::default()).unwrap())];
    let mut answers = 0;
    for case in json("golden.json")["answers"].as_array().unwrap() {
        let asked = case["prompt"].as_str().unwrap();
        let prompt = model.prompt(&question(asked.trim()), &features).unwrap();
        assert_eq!(prompt.encoder_ids, ids(&case["ids"]), "{asked}");
        for way in case["answers"].as_array().unwrap() {
            let (generation, most) = options(way);
            let sequence = model.begin(&ctx, &prompt, &features).unwrap();
            let written = match generation.num_beams {
                1 => greedy(&model, &workspace, sequence, &prompt.ids, generation, most),
                _ => beams(&model, &workspace, sequence, &prompt.ids, generation, most),
            };
            assert_eq!(written, ids(&way["ids"]), "{asked} {generation:?}");
            let mut stream = model.decode_stream();
            let mut text: String = written.iter().map(|&id| stream.push(id).to_owned()).collect();
            text.push_str(stream.finish());
            assert_eq!(text, way["text"].as_str().unwrap());
            answers += 1;
        }
    }
    assert_eq!(answers, 10);
}

fn greedy(
    model: &Florence2,
    workspace: &Workspace,
    mut sequence: Box<dyn crate::Sequence>,
    prompt: &[u32],
    generation: Generation,
    most: usize,
) -> Vec<u32> {
    let vocab = model.info().vocab;
    let options =
        SamplingOptions { no_repeat_ngram: generation.no_repeat_ngram_size, ..SamplingOptions::default() };
    let mut sampler = Sampler::new(options, vocab).unwrap();
    let (mut scores, mut entering, mut written) = (vec![0.0; vocab], prompt.to_vec(), Vec::new());
    sampler.observe(prompt[0]);
    while written.len() < most && written.last() != Some(&2) {
        let step = Step { sequence: &mut *sequence, ids: &entering };
        model.step(&workspace.context(), &mut [step], &mut scores).unwrap();
        let first = generation.forced_first.filter(|_| written.is_empty());
        let forced = generation.forced_last.filter(|_| written.len() + 1 == most).or(first);
        let choice = match forced {
            Some(id) => sampler.forced(&scores, id),
            None => sampler.choose(&scores),
        };
        sampler.observe(choice.id);
        written.push(choice.id);
        entering = vec![choice.id];
    }
    written
}

fn beams(
    model: &Florence2,
    workspace: &Workspace,
    mut sequence: Box<dyn crate::Sequence>,
    prompt: &[u32],
    generation: Generation,
    most: usize,
) -> Vec<u32> {
    let vocab = model.info().vocab;
    let options = BeamOptions {
        beams: generation.num_beams,
        length_penalty: generation.length_penalty,
        early_stopping: generation.early_stopping,
        no_repeat_ngram: generation.no_repeat_ngram_size,
        forced_first: generation.forced_first,
        forced_last: generation.forced_last,
        ends: vec![2],
        max_tokens: most,
        ..BeamOptions::default()
    };
    let mut search = BeamSearch::new(options, prompt, vocab).unwrap();
    let mut scores = vec![0.0; vocab];
    let step = Step { sequence: &mut *sequence, ids: prompt };
    model.step(&workspace.context(), &mut [step], &mut scores).unwrap();
    search.advance(&scores);
    let mut running: Vec<_> = search.beams().iter().map(|_| sequence.fork()).collect();
    scores.resize(vocab * running.len(), 0.0);
    while !search.ended() {
        let tokens: Vec<[u32; 1]> = search.beams().iter().map(|beam| [beam.token]).collect();
        let entering = running.iter_mut().zip(&tokens);
        let mut batch: Vec<_> =
            entering.map(|(sequence, ids)| Step { sequence: &mut **sequence, ids }).collect();
        model.step(&workspace.context(), &mut batch, &mut scores).unwrap();
        search.advance(&scores);
        running = search.beams().iter().map(|beam| running[beam.parent].fork()).collect();
    }
    search.best().to_vec()
}

#[test]
fn published_ways_are_read_from_the_folder() {
    let generation = open(&folder()).info().generation;
    assert_eq!((generation.num_beams, generation.no_repeat_ngram_size), (3, 3));
    assert_eq!((generation.forced_first, generation.forced_last), (Some(0), Some(2)));
    assert_eq!(generation.early_stopping, EarlyStopping::Always);
}

/// What the reference found in a text, as regions.
fn expected(result: &Value) -> Vec<Region> {
    let region =
        |label: &Value, shape| Region { label: label.as_str().unwrap().to_owned(), shape, score: None };
    let numbers = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
    let points = |value: &Value| numbers(value).as_chunks::<2>().0.to_vec();
    let mut all = Vec::new();
    let mut add = |shapes: &str, labels: &str, shape: &dyn Fn(&Value) -> RegionShape| {
        if let (Some(shapes), Some(labels)) = (result[shapes].as_array(), result[labels].as_array()) {
            assert_eq!(shapes.len(), labels.len());
            all.extend(shapes.iter().zip(labels).map(|(value, label)| region(label, shape(value))));
        }
    };
    let boxed = |value: &Value| RegionShape::Box(numbers(value).try_into().unwrap());
    let quad = |value: &Value| RegionShape::Quad(points(value).try_into().unwrap());
    let outlines =
        |value: &Value| RegionShape::Polygons(value.as_array().unwrap().iter().map(points).collect());
    add("bboxes", "labels", &boxed);
    add("quad_boxes", "labels", &quad);
    add("polygons", "labels", &outlines);
    add("bboxes", "bboxes_labels", &boxed);
    add("polygons", "polygons_labels", &outlines);
    all
}

#[test]
fn places_are_the_references() {
    let banned = super::config::banned_phrases(&Source::folder(folder())).unwrap();
    assert_eq!(banned.len(), 6);
    let mut found = 0;
    for case in json("parsing.json").as_array().unwrap() {
        let task = TASKS.iter().find(|task| case["task"] == task.token).unwrap();
        let size: [usize; 2] = serde_json::from_value(case["size"].clone()).unwrap();
        let regions = parse::regions(task.form, case["text"].as_str().unwrap(), size, &banned);
        assert_eq!(regions, expected(&case["result"]), "{case}");
        found += regions.len();
    }
    assert!(found > 100, "{found}");
}

#[test]
fn tokens_in_a_question_are_text_but_for_places() {
    let model = open(&folder());
    let asked = "<REGION_TO_OCR><loc_7></s><loc_1000><loc_";
    let ids = model.prompt(&question(asked), &[]).unwrap().encoder_ids;
    let special = |id: &&u32| model.tokenizer().is_special(**id);
    let places: Vec<u32> = ids.iter().filter(special).copied().collect();
    let place = model.tokenizer().token_id("<loc_7>").unwrap();
    // Ten of the picture, the two around a sentence, and one place.
    assert_eq!(places.len(), 13);
    assert_eq!((places[10], places[11], places[12]), (0, place, 2));
    assert!(prepare("<OCR> now").is_err());
    let error = model.prompt(&question("<OCR> now"), &[]).unwrap_err();
    assert_eq!(error.code(), "task-alone");
}

//! The engine on the host gives the answers of `answers.json`. `node.mjs` asks the compiled module for the same, so that
//! what a browser says is what the native library says.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use tiny_vlm_wasm::{Engine, Failure, Host, Silence};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn put(engine: &mut Engine, bytes: &[u8]) -> u32 {
    let buffer = engine.buffer(bytes.len()).unwrap();
    engine.bytes(buffer).unwrap().copy_from_slice(bytes);
    buffer
}

fn reply(engine: &Engine) -> Value {
    serde_json::from_slice(engine.last_reply()).unwrap()
}

fn nano() -> Engine {
    let mut engine = Engine::default();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let bytes = fs::read(root().join("crates/nano/model").join(name)).unwrap();
        let (name, bytes) = (put(&mut engine, name.as_bytes()), put(&mut engine, &bytes));
        engine.file(name, bytes).unwrap();
    }
    let options = put(&mut engine, b"{}");
    engine.open(options).unwrap();
    engine
}

fn run(engine: &mut Engine, request: &Value, host: &(impl Host + Clone + 'static)) -> Result<Value, Failure> {
    let request = put(engine, request.to_string().as_bytes());
    engine.run(request, host).map(|()| reply(engine))
}

fn show(engine: &mut Engine, image: &str) {
    let bytes = fs::read(root().join("fixtures/images").join(image)).unwrap();
    let file = put(engine, &bytes);
    engine.image(file).unwrap();
}

#[test]
fn the_answers_are_those_of_the_file() {
    let text = fs::read_to_string(root().join("crates/wasm/tests/answers.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 10, "{}", cases.len());
    let mut engine = nano();
    assert_eq!(reply(&engine)["family"], "tiny-vlm-nano");
    for case in cases {
        show(&mut engine, case["image"].as_str().unwrap());
        let mut request = json!({ "task": case["task"] });
        for name in ["question", "lang"] {
            if let Some(value) = case.get(name) {
                request[name] = value.clone();
            }
        }
        let answer = run(&mut engine, &request, &Silence).unwrap();
        assert_eq!(answer["text"], case["text"], "{case}");
        assert_eq!(
            answer["lines"].as_array().map(Vec::len),
            case["lines"].as_u64().map(|n| n as usize),
            "{case}"
        );
    }
}

/// A model of `fixtures/models` with all its files.
fn family(name: &str, options: &Value) -> Engine {
    let mut engine = Engine::default();
    for file in fs::read_dir(root().join("fixtures/models").join(name)).unwrap() {
        let path = file.unwrap().path();
        let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
        let (name, bytes) = (put(&mut engine, name.as_bytes()), put(&mut engine, &bytes));
        engine.file(name, bytes).unwrap();
    }
    let options = put(&mut engine, options.to_string().as_bytes());
    engine.open(options).unwrap();
    engine
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn every_family_answers_as_the_file_says() {
    let text = fs::read_to_string(root().join("crates/wasm/tests/families.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 5, "{}", cases.len());
    for case in cases {
        let mut engine = family(case["model"].as_str().unwrap(), &case["open"]);
        let picture = fs::read(root().join("fixtures").join(case["image"].as_str().unwrap())).unwrap();
        let picture = put(&mut engine, &picture);
        engine.image(picture).unwrap();
        let answer = run(&mut engine, &case["request"], &Silence).unwrap();
        let expected = &case["reply"];
        for field in ["text", "regions"] {
            assert_eq!(expected.get(field).unwrap_or(&answer[field]), &answer[field], "{case}");
        }
        if let Some(values) = expected.get("values") {
            let (values, found) = (numbers(values), numbers(&answer["values"]));
            let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            assert_eq!(values.len(), found.len(), "{case}");
            assert!(values.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-3 * scale), "{case}");
        }
        if let Some(classes) = expected.get("classes") {
            let labels: Vec<&Value> =
                answer["classes"].as_array().unwrap().iter().map(|c| &c["label"]).collect();
            assert_eq!(classes.as_array().unwrap().iter().collect::<Vec<_>>(), labels, "{case}");
        }
    }
}

#[test]
fn what_a_model_cannot_do_has_a_code() {
    let mut resnet = family("resnet-basic", &json!({}));
    assert_eq!(reply(&resnet)["kind"], "images");
    assert_eq!(run(&mut resnet, &json!({"task": "embed"}), &Silence).unwrap_err().code(), "no-image");
    show(&mut resnet, "penguin.png");
    let ask = json!({"task": "ask", "question": "What is this?"});
    assert_eq!(run(&mut resnet, &ask, &Silence).unwrap_err().code(), "model-no-words");
    let top = run(&mut resnet, &json!({"task": "classify", "top": 100}), &Silence).unwrap();
    assert_eq!(top["classes"].as_array().map(Vec::len), Some(7));
    resnet.cache().unwrap();
    assert_eq!(reply(&resnet)["entries"], 0);
    let late = json!({"task": "embed", "deadline": 0});
    assert_eq!(run(&mut resnet, &late, &Silence).unwrap_err().code(), "deadline");

    let mut fastvit = family("fastvit-t8", &json!({"precision": "f32"}));
    show(&mut fastvit, "penguin.png");
    let mut nano = nano();
    assert_eq!(reply(&nano)["kind"], "answers");
    show(&mut nano, "penguin.png");
    for task in ["embed", "classify"] {
        assert_eq!(run(&mut nano, &json!({"task": task}), &Silence).unwrap_err().code(), "model-no-vector");
    }
    let mut smolvlm = family("smolvlm-tiny", &json!({}));
    show(&mut smolvlm, "penguin.png");
    assert_eq!(
        run(&mut smolvlm, &json!({"task": "detect"}), &Silence).unwrap_err().code(),
        "model-no-detector"
    );
}

#[derive(Clone)]
struct Ears(std::sync::Arc<Mutex<String>>);

impl Host for Ears {
    fn piece(&self, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }

    fn progress(&self, _stage: &str, done: usize, total: usize) {
        assert!(done <= total, "{done} of {total}");
    }
}

#[test]
fn the_pieces_make_the_answer() {
    let mut engine = nano();
    show(&mut engine, "market.png");
    let heard = Ears(Default::default());
    let answer = run(&mut engine, &json!({"task": "caption", "lang": "de"}), &heard).unwrap();
    assert_eq!(answer["text"].as_str().unwrap(), *heard.0.lock().unwrap());
}

#[test]
fn pixels_are_laid_on_white() {
    let mut engine = nano();
    let clear = put(&mut engine, &[9; 4 * 4 * 4]);
    let error = engine.pixels(clear, 4, 5).unwrap_err();
    assert_eq!(error.code(), "request");
    // Red of no opacity is white: nothing is there.
    let clear = put(&mut engine, &[255, 0, 0, 0].repeat(64 * 64));
    engine.pixels(clear, 64, 64).unwrap();
    assert_eq!(reply(&engine), json!({"width": 64, "height": 64}));
    let answer = run(&mut engine, &json!({"task": "detect"}), &Silence).unwrap();
    assert_eq!(answer["things"], json!([]));
}

#[test]
fn what_is_wrong_has_a_code() {
    let mut engine = Engine::default();
    assert_eq!(engine.buffer(usize::MAX).unwrap_err().code(), "memory");
    assert_eq!(engine.bytes(7).unwrap_err().code(), "request");
    let options = put(&mut engine, b"{}");
    let failure = engine.open(options).unwrap_err();
    assert_eq!(failure.code(), "model-read");
    engine.fail(&failure);
    assert_eq!(reply(&engine)["details"]["path"], "config.json");
    let file = put(&mut engine, b"no picture");
    assert_eq!(engine.image(file).unwrap_err().code(), "no-model");

    let mut engine = nano();
    let request = json!({"task": "ask", "question": "What is this?"});
    assert_eq!(run(&mut engine, &request, &Silence).unwrap_err().code(), "no-image");
    let file = put(&mut engine, b"no picture");
    assert_eq!(engine.image(file).unwrap_err().code(), "image-unknown-format");
    show(&mut engine, "penguin.png");
    let empty = json!({"task": "ask", "question": " "});
    assert_eq!(run(&mut engine, &empty, &Silence).unwrap_err().code(), "question-empty");
    assert_eq!(run(&mut engine, &request, &Silence).unwrap()["text"], "penguin");
}

#[test]
fn checksums_are_sha_256() {
    let mut engine = Engine::default();
    let buffer = put(&mut engine, b"abc");
    engine.checksum(buffer).unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(reply(&engine), expected);
    engine.release(buffer);
    assert!(engine.checksum(buffer).is_err());
}

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

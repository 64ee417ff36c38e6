//! Any bytes as what a browser's page asks for: of the model that is carried along, and as options to open one with.
#![no_main]
#![forbid(unsafe_code)]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use tiny_vlm_wasm::{Engine, Failure, Silence};

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(engine().expect("the model that is carried along"));
}

/// An engine with a model, and a picture before it.
fn engine() -> Result<Engine, Failure> {
    let mut engine = Engine::default();
    let files = [
        ("config.json", tiny_vlm_nano::CONFIG.as_bytes()),
        ("tokenizer.json", tiny_vlm_nano::TOKENIZER),
        ("model.safetensors", tiny_vlm_nano::MODEL),
    ];
    for (name, bytes) in files {
        let (name, bytes) = (buffer(&mut engine, name.as_bytes())?, buffer(&mut engine, bytes)?);
        engine.file(name, bytes)?;
    }
    let options = buffer(&mut engine, b"{}")?;
    engine.open(options)?;
    let pixels = buffer(&mut engine, &[90; 16 * 16 * 4])?;
    engine.pixels(pixels, 16, 16)?;
    Ok(engine)
}

fn buffer(engine: &mut Engine, bytes: &[u8]) -> Result<u32, Failure> {
    let buffer = engine.buffer(bytes.len())?;
    engine.bytes(buffer)?.copy_from_slice(bytes);
    Ok(buffer)
}

fuzz_target!(|bytes: &[u8]| {
    ENGINE.with_borrow_mut(|engine| {
        let request = buffer(engine, bytes).expect("a few kilobytes");
        if let Err(failure) = engine.run(request, &Silence) {
            assert!(!failure.to_string().is_empty());
        }
    });
    let mut empty = Engine::default();
    let options = buffer(&mut empty, bytes).expect("a few kilobytes");
    // There are no files to open.
    assert!(empty.open(options).is_err());
});

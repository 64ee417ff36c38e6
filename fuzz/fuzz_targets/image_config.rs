//! Any text as the `config.json` beside the weights of an image model: a model, or an error that says why not.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, Source, load_images};

const WEIGHTS: &[u8] = include_bytes!("../../fixtures/models/resnet18-timm/model.safetensors");

fuzz_target!(|config: &str| {
    let source = Source::bytes(config.to_owned(), b"".as_slice(), WEIGHTS);
    match load_images(&source, &ModelOptions::default()) {
        Ok(model) => assert!(model.info().features > 0 && model.info().side > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

//! Any text as the `config.json` beside the weights of the image model that it names: a model, or an error that says why
//! not.
#![no_main]
#![forbid(unsafe_code)]

mod checkpoints;

use checkpoints::IMAGES;
use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, load_images};

fuzz_target!(|config: &str| {
    let named = IMAGES.iter().find(|checkpoint| config.contains(checkpoint.kind));
    let source = named.unwrap_or(&IMAGES[0]).with(&["config.json"], config.as_bytes());
    match load_images(&source, &ModelOptions::default()) {
        Ok(model) => assert!(model.info().features > 0 && model.info().side > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

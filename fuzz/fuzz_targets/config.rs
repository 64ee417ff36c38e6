//! Any text as the `config.json` beside the tokenizer and weights of the family that it names, or of nano: a model, or an
//! error that says why not.
#![no_main]
#![forbid(unsafe_code)]

mod checkpoints;

use checkpoints::ANSWERING;
use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, RequestShape, Source, load};

fuzz_target!(|config: &str| {
    let named = ANSWERING.iter().find(|checkpoint| config.contains(checkpoint.kind));
    let source = match named {
        Some(checkpoint) => checkpoint.with(&["config.json"], config.as_bytes()),
        None => Source::bytes(config.to_owned(), tiny_vlm_nano::TOKENIZER, tiny_vlm_nano::MODEL),
    };
    match load(&source, &ModelOptions::default()) {
        Ok(model) => {
            assert!(model.info().vocab > 0);
            model.image_cost([3000, 2], &RequestShape::default());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

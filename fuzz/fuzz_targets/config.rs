//! Any text as the `config.json` beside nano's tokenizer and weights: a model, or an error that says why not.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, Source, load};

fuzz_target!(|config: &str| {
    let source = Source::bytes(config.to_owned(), tiny_vlm_nano::TOKENIZER, tiny_vlm_nano::MODEL);
    match load(&source, &ModelOptions::default()) {
        Ok(model) => assert!(model.info().vocab > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

//! Any bytes as each of the files that lie beside a checkpoint's configuration, tokenizer and weights, and are read if they
//! are there: a model, or an error that says why not.
#![no_main]
#![forbid(unsafe_code)]

mod checkpoints;

use checkpoints::{ANSWERING, IMAGES};
use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, PromptParts, RequestShape, Task, load, load_images};

/// The template and the rest are apart, so that each is reached where the other is broken.
const FILES: [&[&str]; 2] = [
    &["preprocessor_config.json", "generation_config.json", "processor_config.json"],
    &["chat_template.json", "chat_template.jinja", "tokenizer_config.json"],
];

fuzz_target!(|bytes: &[u8]| {
    for files in FILES {
        for checkpoint in ANSWERING {
            let model = match load(&checkpoint.with(files, bytes), &ModelOptions::default()) {
                Ok(model) => model,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    continue;
                }
            };
            for size in [[1, 1], [3000, 2], [640, 480]] {
                model.image_cost(size, &RequestShape::default());
            }
            let parts = PromptParts { history: &[], images: 0, task: Task::Question("What?"), lang: None };
            if let Err(error) = model.prompt(&parts, &[]) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
    for checkpoint in IMAGES {
        if let Err(error) = load_images(&checkpoint.with(FILES[0], bytes), &ModelOptions::default()) {
            assert!(!error.to_string().is_empty());
        }
    }
});

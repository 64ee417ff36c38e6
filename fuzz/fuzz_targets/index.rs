//! Any bytes as the `model.safetensors.index.json` of a folder with two shards: weights, or an error that says why not.
#![no_main]
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tiny_vlm_weights::Weights;

const SHARDS: [(&str, &[u8]); 2] = [
    ("a.safetensors", include_bytes!("../../fixtures/models/smolvlm-tiny/model-00001-of-00004.safetensors")),
    ("b.safetensors", include_bytes!("../../fixtures/models/smolvlm-tiny/model-00002-of-00004.safetensors")),
];

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("tiny-vlm-fuzz-index-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    for (name, bytes) in SHARDS {
        std::fs::write(folder.join(name), bytes).expect("room for temporary files");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.join("model.safetensors.index.json"), bytes).expect("room for temporary files");
    match Weights::open(&*FOLDER) {
        Ok(weights) => {
            for name in weights.names() {
                let tensor = weights.get(name).expect("a name that it gave");
                tensor.read_f32(&mut vec![0.0; tensor.elements()]);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

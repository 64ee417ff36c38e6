//! Small checkpoints of every family, file by file, for targets that put other bytes in place of one.

use std::collections::BTreeMap;

use tiny_vlm_models::Source;
use tiny_vlm_weights::SharedBytes;

/// A checkpoint of a family.
pub struct Checkpoint {
    /// What its `config.json` says that no other family's does.
    #[allow(dead_code, reason = "not every target goes by it")]
    pub kind: &'static str,
    /// Its files by their names.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// The named files of a folder of `fixtures/models`.
macro_rules! checkpoint {
    ($kind:literal, $folder:literal: $($file:literal)*) => {
        Checkpoint {
            kind: $kind,
            files: &[$(($file, include_bytes!(concat!("../../../fixtures/models/", $folder, "/", $file)))),*],
        }
    };
}

/// Those that answer.
#[allow(dead_code, reason = "not every target has a use for them")]
pub const ANSWERING: &[Checkpoint] = &[
    checkpoint!("smolvlm", "smolvlm-tiny-tied": "config.json" "tokenizer.json" "model.safetensors"
        "preprocessor_config.json" "generation_config.json" "chat_template.jinja"),
    checkpoint!("granite", "smolvlm-tiny-granite": "config.json" "tokenizer.json" "model.safetensors"
        "preprocessor_config.json" "generation_config.json" "tokenizer_config.json"),
    checkpoint!("fast_vlm", "fastvlm": "config.json" "tokenizer.json" "model.safetensors" "preprocessor_config.json"
        "generation_config.json" "tokenizer_config.json" "chat_template.jinja"),
    checkpoint!("llava_qwen2", "fastvlm-apple": "config.json" "vocab.json" "merges.txt" "tokenizer_config.json"
        "model.safetensors"),
    checkpoint!("florence2", "florence2": "config.json" "tokenizer.json" "model.safetensors" "preprocessor_config.json"
        "generation_config.json" "processor_config.json"),
];

/// Those that take an image and no words.
#[allow(dead_code, reason = "not every target has a use for them")]
pub const IMAGES: &[Checkpoint] = &[
    checkpoint!("\"resnet\"", "resnet-bottleneck": "config.json" "model.safetensors" "preprocessor_config.json"),
    checkpoint!("resnet18", "resnet18-timm": "config.json" "model.safetensors"),
    checkpoint!("fastvit_t8", "fastvit-t8": "config.json" "model.safetensors"),
];

impl Checkpoint {
    /// Its files, with `bytes` for each of `names`, whether it has that or not.
    pub fn with(&self, names: &[&str], bytes: &[u8]) -> Source {
        let own = self.files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec().into()));
        let mut files: BTreeMap<String, SharedBytes> = own.collect();
        files.extend(names.iter().map(|name| (name.to_string(), bytes.to_vec().into())));
        Source::files(files)
    }
}

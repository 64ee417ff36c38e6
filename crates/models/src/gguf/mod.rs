//! Checkpoints of the SmolVLM family in GGUF files: the decoder in one, the tower and the connector in another, whose name
//! has `mmproj` in it.
//!
//! What a folder of the hub says in several files, these say in their metadata. It is put into the words of those files
//! here ([`config`]), tensors get the names that they have there ([`names`]), and the tokenizer is made of its lists
//! ([`tokenizer`]); so a family needs to know nothing of it.

mod config;
mod names;
mod tokenizer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tiny_vlm_memory::SharedBytes;
use tiny_vlm_text::Tokenizer;
use tiny_vlm_weights::{GgufValue, Weights};

use crate::ModelError;

/// The files of a folder of the hub that are made of the metadata, besides `config.json`.
pub(crate) const FILES: [&str; 3] =
    ["preprocessor_config.json", "generation_config.json", "chat_template.jinja"];

/// What errors call the metadata.
const FILE: &str = "GGUF metadata";
/// Files of the folder with the most.
const MAX_FILES: usize = 1 << 12;

/// An opened pair of files.
#[derive(Debug)]
pub(crate) struct Gguf {
    text: Weights,
    vision: Weights,
}

impl Gguf {
    /// Opens the decoder at `path`, or that which is alone in the folder `path`, and the tower beside it.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let (vision, text): (Vec<_>, Vec<_>) = files(folder)?.into_iter().partition(|file| is_vision(file));
        let text = match &text[..] {
            [text] if path.is_dir() => text,
            _ if path.is_dir() => {
                return Err(wrong(format!("{} .gguf files of a decoder in {}", text.len(), path.display())));
            }
            _ => path,
        };
        let [vision] = &vision[..] else {
            let (count, folder) = (vision.len(), folder.display());
            return Err(wrong(format!(
                "{count} files with mmproj in their names in {folder}, where there is to be one"
            )));
        };
        let open = |path| Weights::open(path).map_err(|error| ModelError::Weights(Box::new(error)));
        Self::new(open(text)?, open(vision)?)
    }

    /// Opens the decoder and the tower that are among files in memory.
    pub(crate) fn from_files(files: &BTreeMap<String, SharedBytes>) -> Result<Self, ModelError> {
        let (vision, text): (Vec<_>, Vec<_>) = files
            .iter()
            .filter(|(name, _)| is_gguf(Path::new(name)))
            .partition(|(name, _)| is_vision(Path::new(name)));
        let ([(_, text)], [(_, vision)]) = (&text[..], &vision[..]) else {
            return Err(wrong(format!(
                "{} .gguf files of a decoder and {} with mmproj in their names, where there is to be one of each",
                text.len(),
                vision.len()
            )));
        };
        let open = |bytes: &SharedBytes| {
            Weights::from_bytes(bytes.clone()).map_err(|error| ModelError::Weights(Box::new(error)))
        };
        Self::new(open(text)?, open(vision)?)
    }

    /// Takes the decoder and the tower, if they are of the kind that is known.
    pub(crate) fn new(text: Weights, vision: Weights) -> Result<Self, ModelError> {
        let gguf = Self { text, vision };
        gguf.check()?;
        Ok(gguf)
    }

    fn check(&self) -> Result<(), ModelError> {
        let architecture = self.architecture()?;
        if !matches!(architecture, "llama" | "granite") {
            return Err(wrong(format!(
                "a decoder of kind {architecture:?} is not supported (supported: llama, granite)"
            )));
        }
        if number(&self.text, "split.count").is_some_and(|count| count > 1) {
            return Err(wrong("the decoder is split over several files, which is not supported".to_owned()));
        }
        let projector = "clip.projector_type";
        match self.vision.gguf().get(projector).and_then(GgufValue::as_str) {
            Some("idefics3") => Ok(()),
            Some(kind) => Err(wrong(format!("{projector} {kind:?} is not supported (supported: idefics3)"))),
            None => Err(wrong(format!("{projector} is missing"))),
        }
    }

    /// Which kind of decoder it is.
    fn architecture(&self) -> Result<&str, ModelError> {
        let kind = self.text.gguf().get("general.architecture").and_then(GgufValue::as_str);
        kind.ok_or_else(|| wrong("general.architecture is missing".to_owned()))
    }

    /// `config.json`.
    pub(crate) fn config(&self) -> Result<String, ModelError> {
        config::config(self).map(|config| config.to_string())
    }

    /// Another file of the folder that these files stand for.
    pub(crate) fn optional(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "preprocessor_config.json" => Some(config::preprocessor(self).to_string().into_bytes()),
            "generation_config.json" => Some(config::generation(self)?.to_string().into_bytes()),
            "chat_template.jinja" => {
                let template = self.text.gguf().get("tokenizer.chat_template")?.as_str()?;
                Some(template.as_bytes().to_vec())
            }
            _ => None,
        }
    }

    /// The tokenizer.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        tokenizer::read(self.text.gguf())
    }

    /// The tensors of both files, by the names that they have on the hub.
    pub(crate) fn weights(&self) -> Result<Weights, ModelError> {
        let heads = names::Heads::read(self)?;
        let joined = Weights::joined(&[self.text.clone(), self.vision.clone()], |name, _| heads.rename(name));
        joined.map_err(|error| ModelError::Weights(Box::new(error)))
    }
}

/// Whether a path leads to GGUF files: to one, or to a folder that has some and no `config.json`.
pub(crate) fn is_at(path: &Path) -> bool {
    match path.is_dir() {
        true => !path.join("config.json").exists() && files(path).is_ok_and(|files| !files.is_empty()),
        false => is_gguf(path),
    }
}

/// Whether files in memory are GGUF files: there are some and no `config.json`.
pub(crate) fn is_among(files: &BTreeMap<String, SharedBytes>) -> bool {
    !files.contains_key("config.json") && files.keys().any(|name| is_gguf(Path::new(name)))
}

/// The GGUF files of a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let failed = |source| ModelError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?.take(MAX_FILES);
    let files = entries.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<PathBuf> = files.collect::<Result<_, _>>().map_err(failed)?;
    Ok(files.into_iter().filter(|path| is_gguf(path)).collect())
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

fn is_vision(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("mmproj"))
}

/// A whole number of the metadata.
fn number(weights: &Weights, name: &str) -> Option<u64> {
    weights.gguf().get(name).and_then(GgufValue::as_u64)
}

fn wrong(detail: String) -> ModelError {
    ModelError::config(FILE, detail)
}

//! Where the files of a checkpoint come from.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use tiny_vlm_weights::Weights;

use crate::ModelError;

/// The files of one checkpoint: a folder, or bytes that the program carries.
#[derive(Debug)]
pub struct Source {
    files: Files,
    /// Files by name that come before those of the folder.
    extra: BTreeMap<String, Cow<'static, [u8]>>,
}

#[derive(Debug)]
enum Files {
    Folder(PathBuf),
    Bytes { config: Cow<'static, str>, tokenizer: Cow<'static, [u8]>, weights: Cow<'static, [u8]> },
}

/// Configuration files are small; one that is larger than this is none.
const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// The largest `tokenizer.json` known has 17 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

impl Source {
    /// The files of a folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { files: Files::Folder(path.into()), extra: BTreeMap::new() }
    }

    /// Files that lie in memory: `config.json`, a tokenizer in either form, and safetensors.
    pub fn bytes(
        config: impl Into<Cow<'static, str>>,
        tokenizer: impl Into<Cow<'static, [u8]>>,
        weights: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let files =
            Files::Bytes { config: config.into(), tokenizer: tokenizer.into(), weights: weights.into() };
        Self { files, extra: BTreeMap::new() }
    }

    /// The same with another of the [optional](Self::optional) files, such as `preprocessor_config.json`, in memory. It
    /// takes the place of a folder's file of that name.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        self.extra.insert(name.into(), bytes.into());
        self
    }

    /// `config.json`.
    pub fn config(&self) -> Result<Cow<'_, str>, ModelError> {
        match &self.files {
            Files::Folder(folder) => Ok(read_text(&folder.join("config.json"), MAX_CONFIG_BYTES)?.into()),
            Files::Bytes { config, .. } => Ok(Cow::Borrowed(config)),
        }
    }

    /// The bytes of `tokenizer.json`, or of whatever tokenizer the program carries.
    pub fn tokenizer(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        match &self.files {
            Files::Folder(folder) => Ok(read(&folder.join("tokenizer.json"), MAX_TOKENIZER_BYTES)?.into()),
            Files::Bytes { tokenizer, .. } => Ok(tokenizer.clone()),
        }
    }

    /// Another file by its name, if it is there.
    pub fn optional(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, ModelError> {
        if let Some(bytes) = self.extra.get(name) {
            return Ok(Some(Cow::Borrowed(&bytes[..])));
        }
        match &self.files {
            Files::Folder(folder) => match read(&folder.join(name), MAX_CONFIG_BYTES) {
                Err(ModelError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(|bytes| Some(bytes.into())),
            },
            Files::Bytes { .. } => Ok(None),
        }
    }

    /// What another file says in JSON, if it is there.
    pub fn optional_json<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, ModelError> {
        let parse = |bytes: Cow<'_, [u8]>| {
            serde_json::from_slice(&bytes).map_err(|error| ModelError::config(name, error.to_string()))
        };
        self.optional(name)?.map(parse).transpose()
    }

    /// The weights: `model.safetensors`, or the shards that an index names.
    pub fn weights(&self) -> Result<Weights, ModelError> {
        let weights = match &self.files {
            Files::Folder(folder) => Weights::open(folder),
            Files::Bytes { weights, .. } => Weights::from_bytes(weights.clone()),
        };
        weights.map_err(|error| ModelError::Weights(Box::new(error)))
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    use io::Read;
    let failed = |source| ModelError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes"))));
    }
    Ok(bytes)
}

fn read_text(path: &Path, limit: u64) -> Result<String, ModelError> {
    String::from_utf8(read(path, limit)?).map_err(|_| ModelError::Read {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_memory_come_before_those_of_a_folder() {
        let source = Source::folder("no/such/folder").with_file("a.json", br#"{"a": 1}"#.as_slice());
        let read: Option<BTreeMap<String, u32>> = source.optional_json("a.json").unwrap();
        assert_eq!(read.unwrap()["a"], 1);
        assert!(source.optional_json::<u32>("b.json").unwrap().is_none());
        assert_eq!(source.optional_json::<u32>("a.json").unwrap_err().code(), "model-config");
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let source = Source::folder("no/such/folder");
        assert!(
            matches!(source.config(), Err(ModelError::Read { path, .. }) if path.ends_with("config.json"))
        );
        assert!(
            matches!(source.tokenizer(), Err(ModelError::Read { path, .. }) if path.ends_with("tokenizer.json"))
        );
        assert_eq!(source.optional("preprocessor_config.json").unwrap(), None);
        assert_eq!(source.weights().err().map(|error| error.code()), Some("model-weights"));
    }
}

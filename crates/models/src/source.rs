//! Where the files of a checkpoint come from.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
};

use tiny_vlm_weights::Weights;

use crate::ModelError;

/// The files of one checkpoint: a folder, or bytes that the program carries.
#[derive(Debug)]
pub struct Source {
    files: Files,
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
        Self { files: Files::Folder(path.into()) }
    }

    /// Files that lie in memory: `config.json`, a tokenizer in either form, and safetensors.
    pub fn bytes(
        config: impl Into<Cow<'static, str>>,
        tokenizer: impl Into<Cow<'static, [u8]>>,
        weights: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let files =
            Files::Bytes { config: config.into(), tokenizer: tokenizer.into(), weights: weights.into() };
        Self { files }
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

    /// Another file of the folder by its name, if it is there.
    pub fn optional(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        match &self.files {
            Files::Folder(folder) => match read(&folder.join(name), MAX_CONFIG_BYTES) {
                Err(ModelError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(Some),
            },
            Files::Bytes { .. } => Ok(None),
        }
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

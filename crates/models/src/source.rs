//! Where the files of a checkpoint come from.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;
use tiny_vlm_memory::{MappedFile, SharedBytes};
use tiny_vlm_text::{OlderFiles, TextError, Tokenizer};
use tiny_vlm_weights::{Watch, Weights};

use crate::{ModelError, gguf, gguf::Gguf};

/// The files of one checkpoint: a folder, or bytes in memory.
#[derive(Clone, Debug)]
pub struct Source {
    files: Files,
    /// Files by name that come before those of the folder.
    extra: BTreeMap<String, Cow<'static, [u8]>>,
    watch: Option<Watch>,
    /// Weights that are taken instead of those in the files.
    weights: Option<Weights>,
    /// The GGUF files that the path leads to, once they were opened.
    gguf: OnceLock<Arc<Gguf>>,
}

#[derive(Clone, Debug)]
enum Files {
    Folder(PathBuf),
    Bytes {
        config: Cow<'static, str>,
        tokenizer: Cow<'static, [u8]>,
        weights: Cow<'static, [u8]>,
    },
    /// Files by their names.
    Named(BTreeMap<String, SharedBytes>),
    /// GGUF files that are open already.
    Gguf,
}

/// The tokenizer in its compiled form.
pub(crate) const COMPILED: &str = "tokenizer.bin";
/// Configuration files are small; one that is larger than this is none.
const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// The largest `tokenizer.json` known has 17 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

impl Source {
    /// The files of a folder, or GGUF files: of a folder that has no `config.json`, or the decoder's, beside which the
    /// tower's lies with `mmproj` in its name.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::of(Files::Folder(path.into()))
    }

    /// Files that lie in memory: `config.json`, a tokenizer in either form, and safetensors.
    pub fn bytes(
        config: impl Into<Cow<'static, str>>,
        tokenizer: impl Into<Cow<'static, [u8]>>,
        weights: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let files =
            Files::Bytes { config: config.into(), tokenizer: tokenizer.into(), weights: weights.into() };
        Self::of(files)
    }

    fn of(files: Files) -> Self {
        Self { files, extra: BTreeMap::new(), watch: None, weights: None, gguf: OnceLock::new() }
    }

    /// GGUF files that lie in memory: the decoder's and the tower's.
    ///
    /// # Errors
    /// If they are no such files.
    pub fn gguf(
        text: impl Into<Cow<'static, [u8]>>,
        vision: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self, ModelError> {
        let open = |bytes: Cow<'static, [u8]>| {
            Weights::from_bytes(bytes.into()).map_err(|error| ModelError::Weights(Box::new(error)))
        };
        let gguf = Gguf::new(open(text.into())?, open(vision.into())?)?;
        Ok(Self { gguf: OnceLock::from(Arc::new(gguf)), ..Self::of(Files::Gguf) })
    }

    /// The same files; what a family asks of their tensors is noted in `watch`.
    #[must_use]
    pub fn watched(&self, watch: &Watch) -> Self {
        Self { watch: Some(watch.clone()), ..self.clone() }
    }

    /// The same files, but for the weights.
    pub(crate) fn with_weights(&self, weights: Weights) -> Self {
        Self { weights: Some(weights), ..self.clone() }
    }

    /// The folder, unless the files lie in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.files {
            Files::Folder(folder) => Some(folder),
            Files::Bytes { .. } | Files::Named(_) | Files::Gguf => None,
        }
    }

    /// The GGUF files, if the path leads to some.
    fn opened(&self) -> Result<Option<&Gguf>, ModelError> {
        if let Some(open) = self.gguf.get() {
            return Ok(Some(open));
        }
        let open = match &self.files {
            Files::Folder(path) if gguf::is_at(path) => Gguf::open(path)?,
            Files::Named(files) if gguf::is_among(files) => Gguf::from_files(files)?,
            _ => return Ok(None),
        };
        Ok(Some(self.gguf.get_or_init(|| Arc::new(open))))
    }

    /// The same with another of the [optional](Self::optional) files, such as `preprocessor_config.json`, in memory. It
    /// takes the place of a folder's file of that name.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        self.extra.insert(name.into(), bytes.into());
        self
    }

    /// The files of a folder by their names, where there are no folders: a browser's downloads. Among them may be GGUF
    /// files, as in a [folder](Self::folder).
    ///
    /// Weights are used where they lie; packed ones without a copy if the bytes begin on a cache line.
    pub fn files(files: BTreeMap<String, SharedBytes>) -> Self {
        Self::of(Files::Named(files))
    }

    /// `config.json`.
    pub fn config(&self) -> Result<Cow<'_, str>, ModelError> {
        if let Some(gguf) = self.opened()? {
            return Ok(gguf.config()?.into());
        }
        match &self.files {
            Files::Folder(folder) => Ok(read_text(&folder.join("config.json"), MAX_CONFIG_BYTES)?.into()),
            Files::Bytes { config, .. } => Ok(Cow::Borrowed(config)),
            Files::Named(files) => {
                let name = Path::new("config.json");
                text(named(files, "config.json")?.to_vec(), name).map(Cow::Owned)
            }
            Files::Gguf => Err(no_file("config.json")),
        }
    }

    /// The bytes of `tokenizer.json`, or of whatever tokenizer the program carries.
    pub fn tokenizer(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        if let Some(gguf) = self.opened()? {
            return Ok(gguf.tokenizer()?.to_bytes().into());
        }
        match &self.files {
            Files::Folder(folder) => Ok(read(&folder.join("tokenizer.json"), MAX_TOKENIZER_BYTES)?.into()),
            Files::Bytes { tokenizer, .. } => Ok(tokenizer.clone()),
            Files::Named(files) => Ok(named(files, "tokenizer.json")?.to_vec().into()),
            Files::Gguf => Err(no_file("tokenizer.json")),
        }
    }

    /// The tokenizer: `tokenizer.bin`, which was compiled ahead of time and is mapped, else `tokenizer.json`. Of a format
    /// that another version of this library compiled, there must be a `tokenizer.json`, too. Where there is neither,
    /// `vocab.json` and `merges.txt` with what `tokenizer_config.json` says of them.
    pub fn open_tokenizer(&self) -> Result<Tokenizer, ModelError> {
        if let Some(gguf) = self.opened()? {
            return gguf.tokenizer();
        }
        if let Some(compiled) = self.compiled_tokenizer()? {
            match Tokenizer::from_source(Arc::new(compiled)) {
                Err(TextError::FlatVersion { .. }) if self.has("tokenizer.json") => {}
                opened => return Ok(opened?),
            }
        }
        let bytes = match self.tokenizer() {
            Err(ModelError::Read { source, path }) if source.kind() == io::ErrorKind::NotFound => {
                let missing = || ModelError::Read { source, path };
                return self.older_tokenizer()?.ok_or_else(missing);
            }
            bytes => bytes?,
        };
        Ok(match bytes.first() {
            Some(b'{') => Tokenizer::from_json(&bytes)?,
            _ => Tokenizer::from_bytes(bytes)?,
        })
    }

    /// The bytes of `tokenizer.bin`, if it is there.
    fn compiled_tokenizer(&self) -> Result<Option<SharedBytes>, ModelError> {
        match &self.files {
            Files::Folder(folder) if self.has(COMPILED) => {
                let path = folder.join(COMPILED);
                let bytes = MappedFile::open(&path);
                let read = |error| ModelError::Read { path, source: io::Error::other(error) };
                Ok(Some(bytes.map_err(read)?.into()))
            }
            Files::Named(files) => Ok(files.get(COMPILED).cloned()),
            _ => Ok(None),
        }
    }

    /// Whether there is a file of this name.
    fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Folder(folder) => folder.join(name).is_file(),
            Files::Named(files) => files.contains_key(name),
            Files::Bytes { .. } | Files::Gguf => false,
        }
    }

    fn older_tokenizer(&self) -> Result<Option<Tokenizer>, ModelError> {
        let (Some(vocab), Some(merges)) = (self.optional("vocab.json")?, self.optional("merges.txt")?) else {
            return Ok(None);
        };
        let config = self.optional("tokenizer_config.json")?;
        let added = self.optional("added_tokens.json")?;
        let files = OlderFiles {
            vocab: &vocab,
            merges: &merges,
            config: config.as_deref().unwrap_or(b"{}"),
            added: added.as_deref(),
        };
        Ok(Some(Tokenizer::from_older_files(files)?))
    }

    /// Another file by its name, if it is there.
    pub fn optional(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, ModelError> {
        if let Some(bytes) = self.extra.get(name) {
            return Ok(Some(Cow::Borrowed(&bytes[..])));
        }
        if let Some(gguf) = self.opened()? {
            return Ok(gguf.optional(name).map(Cow::Owned));
        }
        match &self.files {
            Files::Folder(folder) => match read(&folder.join(name), MAX_CONFIG_BYTES) {
                Err(ModelError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(|bytes| Some(bytes.into())),
            },
            Files::Bytes { .. } | Files::Gguf => Ok(None),
            Files::Named(files) => Ok(files.get(name).map(|bytes| Cow::Borrowed(&bytes[..]))),
        }
    }

    /// Copies to `folder` what there is besides the weights and the compiled tokenizer: configurations, vocabularies,
    /// templates, the licence.
    pub(crate) fn copy_beside(&self, folder: &Path) -> Result<(), ModelError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|source| ModelError::Write { path, source })
        };
        if let Some(gguf) = self.opened()? {
            for name in gguf::FILES {
                gguf.optional(name).map_or(Ok(()), |bytes| write(name, &bytes))?;
            }
            return write("config.json", gguf.config()?.as_bytes());
        }
        for (name, bytes) in &self.extra {
            write(name, bytes)?;
        }
        let from = match &self.files {
            Files::Bytes { config, tokenizer, .. } => {
                write("config.json", config.as_bytes())?;
                return if tokenizer.first() == Some(&b'{') {
                    write("tokenizer.json", tokenizer)
                } else {
                    Ok(())
                };
            }
            Files::Folder(from) => from,
            Files::Named(files) => {
                let beside = |name: &str| !name.ends_with(".safetensors") && !name.contains('/');
                let mut beside = files.iter().filter(|(name, _)| beside(name));
                return beside.try_for_each(|(name, bytes)| write(name, bytes));
            }
            Files::Gguf => return Ok(()),
        };
        let failed = |source| ModelError::Read { path: from.clone(), source };
        for entry in fs::read_dir(from).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            let is_text = matches!(kind, "" | "json" | "jinja" | "txt" | "md" | "model");
            if path.is_file()
                && !self.extra.contains_key(name)
                && is_text
                && !name.ends_with(".index.json")
                && !name.starts_with('.')
            {
                write(name, &read(&path, MAX_TOKENIZER_BYTES)?)?;
            }
        }
        Ok(())
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
        if let Some(weights) = &self.weights {
            return Ok(weights.clone());
        }
        let weights = match (self.opened()?, &self.files) {
            (Some(gguf), _) => Ok(gguf.weights()?),
            (None, Files::Folder(folder)) => Weights::open(folder),
            (None, Files::Bytes { weights, .. }) => Weights::from_bytes(weights.clone().into()),
            (None, Files::Named(files)) => Weights::from_files(files),
            (None, Files::Gguf) => return Err(no_file("model.safetensors")),
        };
        let weights = weights.map_err(|error| ModelError::Weights(Box::new(error)))?;
        Ok(match &self.watch {
            Some(watch) => weights.watched(watch),
            None => weights,
        })
    }
}

/// A file that a source does not have.
fn no_file(name: &str) -> ModelError {
    ModelError::Read { path: name.into(), source: io::Error::from(io::ErrorKind::NotFound) }
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

fn named<'a>(files: &'a BTreeMap<String, SharedBytes>, name: &str) -> Result<&'a SharedBytes, ModelError> {
    files.get(name).ok_or_else(|| no_file(name))
}

fn read_text(path: &Path, limit: u64) -> Result<String, ModelError> {
    text(read(path, limit)?, path)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, ModelError> {
    String::from_utf8(bytes).map_err(|_| ModelError::Read {
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
    fn files_in_memory_have_the_names_of_a_folder() {
        let files = |names: &[&str]| {
            let file = |name: &&str| (name.to_string(), name.as_bytes().to_vec().into());
            Source::files(names.iter().map(file).collect())
        };
        let source = files(&["config.json", "tokenizer.json", "preprocessor_config.json"]);
        assert_eq!(source.config().unwrap(), "config.json");
        assert_eq!(*source.tokenizer().unwrap(), *b"tokenizer.json");
        assert_eq!(
            source.optional("preprocessor_config.json").unwrap().as_deref(),
            Some(&b"preprocessor_config.json"[..])
        );
        assert_eq!(source.optional("other.json").unwrap(), None);
        assert_eq!(source.weights().err().map(|error| error.code()), Some("model-weights"));
        assert!(matches!(files(&[]).config(), Err(ModelError::Read { .. })));
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

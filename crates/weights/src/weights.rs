//! The tensors of a checkpoint, from one file, several, or memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tiny_vlm_memory::{MappedFile, MemoryError, SharedBytes};
use tiny_vlm_quant::Matrix;

use crate::gguf::{self, GgufValue};
use crate::shard::{Contents, Shard};
use crate::{Dtype, TensorRef, Watch, WeightsError, words};

const ONE_FILE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of the longest index that is read.
const MAX_INDEX: usize = 64 << 20;
/// Files of the largest checkpoint.
const MAX_SHARDS: usize = 1024;

/// The tensors of a checkpoint by name. Cloning shares them.
///
/// Opening reads headers only; with the feature `mmap`, a tensor's bytes are read from the file when they are first
/// looked at.
#[derive(Clone)]
pub struct Weights {
    pub(crate) inner: Arc<Inner>,
    watch: Option<Watch>,
    /// A matrix that is taken instead of the stored one of its name.
    instead: Option<Arc<(String, Matrix)>>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) shards: Vec<Shard>,
    pub(crate) tensors: BTreeMap<String, Place>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) gguf: BTreeMap<String, GgufValue>,
}

/// Where a tensor lies.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) info: TensorInfo,
    pub(crate) bytes: std::ops::Range<usize>,
}

/// Type and shape of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Length of each axis, outermost first.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Weights {
    /// Opens a safetensors or GGUF file, an index of shards (`*.index.json`), or a folder that has `model.safetensors` or
    /// `model.safetensors.index.json`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        if path.is_dir() {
            let (one, index) = (path.join(ONE_FILE), path.join(INDEX));
            return if one.is_file() {
                Self::open_one(&one)
            } else if index.is_file() {
                Self::open_index(&index)
            } else {
                Err(WeightsError::NoWeights { folder: path.to_path_buf() })
            };
        }
        if path.extension() == Some(OsStr::new("json")) {
            Self::open_index(path)
        } else {
            Self::open_one(path)
        }
    }

    /// A safetensors or GGUF file that is in memory already, be it part of the program or owned.
    ///
    /// ```
    /// use tiny_vlm_weights::Weights;
    ///
    /// let mut file = 61u64.to_le_bytes().to_vec();
    /// file.extend(br#"{"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}    "#);
    /// file.extend([1.0f32, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    /// let weights = Weights::from_bytes(file.into())?;
    /// assert_eq!(weights.info("bias").unwrap().shape, [2]);
    ///
    /// let error = Weights::from_bytes((&b"PK\x03\x04\0\0\0\0"[..]).into()).unwrap_err();
    /// assert_eq!(error.code(), "weights-no-header");
    /// # Ok::<(), tiny_vlm_weights::WeightsError>(())
    /// ```
    pub fn from_bytes(bytes: SharedBytes) -> Result<Self, WeightsError> {
        Self::one(Shard(bytes), "memory")
    }

    /// The weights among files in memory, by their names: `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` names.
    pub fn from_files(files: &BTreeMap<String, SharedBytes>) -> Result<Self, WeightsError> {
        if let Some(one) = files.get(ONE_FILE) {
            return Self::one(Shard(one.clone()), ONE_FILE);
        }
        let Some(index) = files.get(INDEX) else {
            return Err(WeightsError::NoWeights { folder: PathBuf::from("memory") });
        };
        Self::of_index(index, INDEX, |name| {
            let missing = || MemoryError::File { path: name.into(), source: ErrorKind::NotFound.into() };
            Ok(files.get(name).cloned().ok_or_else(missing)?)
        })
    }

    fn open_one(path: &Path) -> Result<Self, WeightsError> {
        let shard = Shard(MappedFile::open(path)?.into());
        Self::one(shard, &path.display().to_string())
    }

    /// The tensors of one file.
    fn one(shard: Shard, file: &str) -> Result<Self, WeightsError> {
        let (contents, gguf) = match gguf::is_gguf(&shard.0) {
            true => gguf::read(&shard, file)?,
            false => (shard.read(file)?, BTreeMap::new()),
        };
        let count = contents.entries.len();
        let single = Self::single(shard, contents, gguf);
        if single.len() < count {
            let detail = "two tensors have one name".to_owned();
            return Err(WeightsError::Header { file: file.to_owned(), detail });
        }
        Ok(single)
    }

    fn single(shard: Shard, contents: Contents, gguf: BTreeMap<String, GgufValue>) -> Self {
        let place = |e: crate::shard::Entry| {
            let info = TensorInfo { dtype: e.dtype, shape: e.shape };
            (e.name, Place { shard: 0, info, bytes: e.bytes })
        };
        let tensors = contents.entries.into_iter().map(place).collect();
        let metadata = contents.metadata.into_iter().collect();
        Self::of(Inner { shards: vec![shard], tensors, metadata, gguf })
    }

    fn open_index(path: &Path) -> Result<Self, WeightsError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::of_index(&MappedFile::open(path)?, &path.display().to_string(), |name| {
            Ok(MappedFile::open(folder.join(name))?.into())
        })
    }

    /// The index maps tensors to shards, which are files beside it and nowhere else: `open` gets plain names.
    fn of_index(
        index: &[u8],
        file: &str,
        open: impl Fn(&str) -> Result<SharedBytes, WeightsError>,
    ) -> Result<Self, WeightsError> {
        let file = file.to_owned();
        let listed = read_index(index, &file)?;
        let mut names: Vec<&str> = listed.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > MAX_SHARDS {
            let detail = format!("{} shards, more than the limit of {MAX_SHARDS}", names.len());
            return Err(WeightsError::Index { file, detail });
        }
        let mut inner = Inner::default();
        for &name in &names {
            if !is_plain(name) {
                return Err(WeightsError::ShardName { file, shard: words::name(name) });
            }
            let shard = Shard(open(name)?);
            let contents = shard.read(&beside(&file, name))?;
            for entry in contents.entries {
                if listed.get(&entry.name).is_some_and(|shard| shard != name) {
                    continue;
                }
                let info = TensorInfo { dtype: entry.dtype, shape: entry.shape };
                let place = Place { shard: inner.shards.len(), info, bytes: entry.bytes };
                if inner.tensors.insert(entry.name.clone(), place).is_some() {
                    return Err(WeightsError::Twice { file, tensor: words::name(&entry.name) });
                }
            }
            inner.metadata.extend(contents.metadata);
            inner.shards.push(shard);
        }
        let absent = |(tensor, shard): (&String, &String)| {
            (!inner.tensors.contains_key(tensor))
                .then(|| format!("{} in {}", words::name(tensor), words::name(shard)))
        };
        let tensors: Vec<String> = listed.iter().filter_map(absent).collect();
        if !tensors.is_empty() {
            return Err(WeightsError::NotInShard { file, tensors });
        }
        Ok(Self::of(inner))
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), watch: None, instead: None }
    }

    /// The same tensors; what is asked of them is noted in `watch`.
    #[must_use]
    pub fn watched(self, watch: &Watch) -> Self {
        Self { watch: Some(watch.clone()), ..self }
    }

    /// The same tensors, but whoever asks for the matrix `name` gets this one as it is, if it has the shape: to try what
    /// becomes of a model when one of its matrices is another.
    #[must_use]
    pub fn with_matrix(self, name: &str, matrix: Matrix) -> Self {
        Self { instead: Some(Arc::new((name.to_owned(), matrix))), ..self }
    }

    pub(crate) fn instead_of(&self, name: &str, [rows, columns]: [usize; 2]) -> Option<Matrix> {
        let (instead, matrix) = self.instead.as_deref()?;
        (instead == name && [matrix.rows(), matrix.columns()] == [rows, columns]).then(|| matrix.clone())
    }

    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.inner.tensors.keys().map(String::as_str)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.inner.tensors.len()
    }

    /// Whether there is no tensor at all.
    pub fn is_empty(&self) -> bool {
        self.inner.tensors.is_empty()
    }

    /// Type and shape of the tensor `name`.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.inner.tensors.get(name).map(|place| &place.info)
    }

    /// The tensor `name`, to be read.
    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        let place = self.inner.tensors.get(name)?;
        let bytes = &self.inner.shards[place.shard].0[place.bytes.clone()];
        Some(TensorRef::new(&place.info, bytes))
    }

    /// The bytes of the tensor `name` as stored, to be kept.
    pub fn shared(&self, name: &str) -> Option<SharedBytes> {
        let place = self.inner.tensors.get(name)?;
        self.inner.shards[place.shard].0.slice(place.bytes.clone())
    }

    /// What the files say about themselves besides their tensors: safetensors' `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.inner.metadata
    }

    /// The metadata of a GGUF file.
    pub fn gguf(&self) -> &BTreeMap<String, GgufValue> {
        &self.inner.gguf
    }

    /// Bytes of all tensors together, as stored.
    pub fn stored_bytes(&self) -> usize {
        self.inner.tensors.values().map(|place| place.bytes.len()).sum()
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weights({} tensors in {} files)", self.len(), self.inner.shards.len())
    }
}

/// What errors call the file `name` that lies beside `file`.
fn beside(file: &str, name: &str) -> String {
    Path::new(file).with_file_name(name).display().to_string()
}

/// Tensor to shard.
fn read_index(bytes: &[u8], file: &str) -> Result<BTreeMap<String, String>, WeightsError> {
    let broken = |detail: &str| WeightsError::Index { file: file.to_owned(), detail: detail.to_owned() };
    if bytes.len() > MAX_INDEX {
        return Err(broken("longer than any index"));
    }
    let json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| broken(&words::name(&e.to_string())))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| broken("it has no object weight_map"))?;
    let mut listed = BTreeMap::new();
    for (tensor, shard) in map {
        let shard = shard.as_str().ok_or_else(|| broken("weight_map has a value that is not a string"))?;
        listed.insert(tensor.clone(), shard.to_owned());
    }
    Ok(listed)
}

/// Whether `name` is a file's name and nothing more, on every system: no folders, drives, streams or parents.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
        && !name.chars().any(|c| matches!(c, '/' | '\\' | ':') || c.is_control())
}

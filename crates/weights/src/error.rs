//! What can be wrong with a weights file before any tensor is asked for. (What is wrong with the tensors themselves is
//! a [`LoadError`](crate::LoadError).)

use std::path::{Path, PathBuf};

use tiny_vlm_memory::MemoryError;

/// Why a file or folder of weights cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file is missing, unreadable or too large for memory.
    #[error(transparent)]
    File(#[from] MemoryError),
    /// A folder without weights.
    #[error("{folder} has neither model.safetensors nor model.safetensors.index.json", folder = folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The file ends before its header does, or has no header.
    #[error("{file} is no safetensors or GGUF file: it has {bytes} bytes and says its header has {header}")]
    NoHeader {
        /// The file, or `memory`.
        file: String,
        /// Bytes it has.
        bytes: usize,
        /// Bytes its header should have.
        header: u64,
    },
    /// A header longer than any real one.
    #[error("{file}: the header has {header} bytes, more than the limit of {limit}")]
    HeaderTooLarge {
        /// The file, or `memory`.
        file: String,
        /// Bytes of its header.
        header: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A header that is not what the format asks for, or that contradicts the data behind it.
    #[error("{file}: {detail}")]
    Header {
        /// The file, or `memory`.
        file: String,
        /// What does not hold.
        detail: String,
    },
    /// A broken list of shards.
    #[error("{file}: {detail}")]
    Index {
        /// The index file.
        file: String,
        /// What does not hold.
        detail: String,
    },
    /// A shard that is not simply a file beside the index.
    #[error("{file} names the shard {shard:?}, which is not the name of a file in the same folder")]
    ShardName {
        /// The index file.
        file: String,
        /// The name given, shortened.
        shard: String,
    },
    /// The index promises tensors that its shards do not have.
    #[error("{file} lists tensors that are not where it says: {}", crate::words::list(tensors))]
    NotInShard {
        /// The index file.
        file: String,
        /// All of them, with the shard each should be in.
        tensors: Vec<String>,
    },
    /// A matrix was packed by a program that knows more layouts.
    #[error(
        "{file}: {tensor} is packed as {layout:?}, which is not known here: quantize the checkpoint again"
    )]
    Layout {
        /// The file, or `memory`.
        file: String,
        /// The tensor.
        tensor: String,
        /// The name of its layout, shortened.
        layout: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Two shards have a tensor of the same name, and the index does not say which is meant.
    #[error("{file} leads to two tensors named {tensor}")]
    Twice {
        /// The index file.
        file: String,
        /// The name.
        tensor: String,
    },
}

impl WeightsError {
    /// A stable name for this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "weights-file",
            Self::NoWeights { .. } => "weights-none",
            Self::NoHeader { .. } => "weights-no-header",
            Self::HeaderTooLarge { .. } => "weights-header-too-large",
            Self::Header { .. } => "weights-header",
            Self::Index { .. } => "weights-index",
            Self::ShardName { .. } => "weights-shard-name",
            Self::NotInShard { .. } => "weights-not-in-shard",
            Self::Layout { .. } => "weights-layout",
            Self::Write { .. } => "weights-write",
            Self::Twice { .. } => "weights-twice",
        }
    }

    /// What keeps `path` from being written.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_path_buf(), source }
    }
}

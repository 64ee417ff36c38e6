//! What can go wrong when asking for memory.

use std::path::{Path, PathBuf};

/// Why memory could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The size in bytes does not fit an address.
    #[error("{len} elements of {element_bytes} bytes are more than an address can span")]
    TooLarge {
        /// Number of elements asked for.
        len: usize,
        /// Size of one element in bytes.
        element_bytes: usize,
    },
    /// The allocator refused.
    #[error("out of memory while asking for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A file could not be opened, read, mapped or created.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or the folder that was to hold it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl MemoryError {
    /// Says which file an input or output error belongs to.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> MemoryError + '_ {
        move |source| MemoryError::File { path: path.to_path_buf(), source }
    }
}

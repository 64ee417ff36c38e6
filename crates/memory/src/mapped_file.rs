//! A whole file as bytes, without copying it where the system can map it.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use crate::MemoryError;

/// The bytes of a file, read only.
///
/// With the feature `mmap` the bytes are the file's own pages: opening takes no time, and only what is looked at is
/// read. Whoever changes or shortens the file meanwhile changes these bytes or ends the process; weights files are
/// replaced by renaming, never rewritten in place. The start is aligned to a page when mapped and to
/// [`ALIGNMENT`](crate::ALIGNMENT) when read.
pub struct MappedFile {
    bytes: Bytes,
}

enum Bytes {
    #[cfg(all(feature = "mmap", any(unix, windows)))]
    Mapped(memmap2::Mmap),
    Read(crate::AlignedVec<u8>),
}

impl MappedFile {
    /// Maps or reads the file at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MemoryError> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(MemoryError::file(path))?;
        let metadata = file.metadata().map_err(MemoryError::file(path))?;
        if !metadata.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
            return Err(MemoryError::File { path: path.to_path_buf(), source });
        }
        let len = usize::try_from(metadata.len())
            .map_err(|_| MemoryError::TooLarge { len: usize::MAX, element_bytes: 1 })?;
        if len == 0 {
            return Ok(MappedFile { bytes: Bytes::Read(crate::AlignedVec::new()) });
        }
        Self::from_file(file, len).map_err(|fault| match fault {
            Fault::File(source) => MemoryError::File { path: path.to_path_buf(), source },
            Fault::Memory(error) => error,
        })
    }

    #[cfg(all(feature = "mmap", any(unix, windows)))]
    fn from_file(file: std::fs::File, _len: usize) -> Result<Self, Fault> {
        // SAFETY: the map covers the whole file from its start, without an offset, and is private to this process and
        // read only; that no one shortens the file meanwhile is what this type's documentation asks of its users, as
        // no operating system can promise it.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Fault::File)?;
        Ok(MappedFile { bytes: Bytes::Mapped(map) })
    }

    #[cfg(not(all(feature = "mmap", any(unix, windows))))]
    fn from_file(mut file: std::fs::File, len: usize) -> Result<Self, Fault> {
        let mut bytes = crate::AlignedVec::try_zeroed(len).map_err(Fault::Memory)?;
        std::io::Read::read_exact(&mut file, &mut bytes).map_err(Fault::File)?;
        Ok(MappedFile { bytes: Bytes::Read(bytes) })
    }
}

/// What kept a file from being mapped or read, before its path is added.
enum Fault {
    File(std::io::Error),
    #[cfg_attr(
        all(feature = "mmap", any(unix, windows)),
        allow(dead_code, reason = "mapping needs no memory of its own")
    )]
    Memory(MemoryError),
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            #[cfg(all(feature = "mmap", any(unix, windows)))]
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MappedFile").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_file() {
        let mapped = MappedFile::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert_eq!(*mapped, *std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap());
        assert_eq!(mapped.as_ptr().addr() % crate::ALIGNMENT, 0);
    }

    #[test]
    fn missing_files_and_folders_are_named_in_the_error() {
        for path in ["/no/such/file.safetensors", env!("CARGO_MANIFEST_DIR")] {
            let error = MappedFile::open(path).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}

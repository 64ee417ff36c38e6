//! One result, on the heap while it is small and in a temporary file when it is large.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::{AlignedVec, MemoryError};

/// Results above this many bytes are spilled unless the caller says otherwise: 10 MB.
pub const DEFAULT_SPILL_THRESHOLD: usize = 10_000_000;

/// Zero bytes to write a result to, aligned for any element type.
///
/// Above its threshold the bytes are the pages of a temporary file, which the system can move out of memory; the file
/// is gone when the buffer is dropped. Without the feature `mmap`, or where no file can be made, they stay on the heap.
pub struct OutputBuffer {
    bytes: Bytes,
}

enum Bytes {
    Heap(AlignedVec<u8>),
    // The map goes before the file, as fields are dropped in order: some systems keep a file while it is mapped.
    #[cfg(all(feature = "mmap", any(unix, windows)))]
    Spilled {
        map: memmap2::MmapMut,
        _file: crate::temporary_file::TemporaryFile,
    },
}

impl OutputBuffer {
    /// `len_bytes` zero bytes, in a file of the system's temporary folder if that is more than `threshold`.
    pub fn new(len_bytes: usize, threshold: usize) -> Result<Self, MemoryError> {
        if len_bytes <= threshold {
            return Self::on_heap(len_bytes);
        }
        #[cfg(all(feature = "mmap", any(unix, windows)))]
        return Self::spilled(&std::env::temp_dir(), len_bytes).or_else(|_| Self::on_heap(len_bytes));
        #[cfg(not(all(feature = "mmap", any(unix, windows))))]
        Self::on_heap(len_bytes)
    }

    /// `len_bytes` zero bytes in a file of `folder`.
    #[cfg(all(feature = "mmap", any(unix, windows)))]
    pub fn spilled(folder: &std::path::Path, len_bytes: usize) -> Result<Self, MemoryError> {
        if len_bytes == 0 {
            return Self::on_heap(0);
        }
        let file = crate::temporary_file::TemporaryFile::zeroed(folder, len_bytes)?;
        // SAFETY: the map covers the whole file from its start, without an offset; this process made the file under a
        // name nobody else can guess and with access for nobody else, so no one shortens or writes it meanwhile.
        let map = unsafe { memmap2::MmapMut::map_mut(file.file()) }.map_err(MemoryError::file(folder))?;
        Ok(OutputBuffer { bytes: Bytes::Spilled { map, _file: file } })
    }

    fn on_heap(len_bytes: usize) -> Result<Self, MemoryError> {
        Ok(OutputBuffer { bytes: Bytes::Heap(AlignedVec::try_zeroed(len_bytes)?) })
    }

    /// Whether the bytes lie in a temporary file.
    pub fn is_spilled(&self) -> bool {
        !matches!(self.bytes, Bytes::Heap(_))
    }
}

impl Deref for OutputBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Heap(bytes) => bytes,
            #[cfg(all(feature = "mmap", any(unix, windows)))]
            Bytes::Spilled { map, .. } => map,
        }
    }
}

impl DerefMut for OutputBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::Heap(bytes) => bytes,
            #[cfg(all(feature = "mmap", any(unix, windows)))]
            Bytes::Spilled { map, .. } => map,
        }
    }
}

impl fmt::Debug for OutputBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OutputBuffer")
            .field("len", &self.len())
            .field("is_spilled", &self.is_spilled())
            .finish()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_outputs_stay_on_the_heap() {
        for len in [0, 1, 1000] {
            let mut output = OutputBuffer::new(len, 1000).unwrap();
            assert!(!output.is_spilled());
            assert_eq!(output.len(), len);
            assert!(output.iter().all(|&byte| byte == 0));
            output.fill(7);
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(matches!(OutputBuffer::new(usize::MAX, usize::MAX), Err(MemoryError::TooLarge { .. })));
    }

    #[cfg(all(feature = "mmap", any(unix, windows)))]
    mod spilled {
        use super::*;
        use std::path::{Path, PathBuf};

        /// A folder for one test, gone with it.
        struct Folder(PathBuf);

        impl Folder {
            fn new(name: &str) -> Folder {
                let folder =
                    std::env::temp_dir().join(format!("tiny-vlm-output-{}-{name}", std::process::id()));
                std::fs::create_dir_all(&folder).unwrap();
                Folder(folder)
            }

            fn files(&self) -> usize {
                std::fs::read_dir(&self.0).unwrap().count()
            }
        }

        impl Drop for Folder {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }

        #[test]
        fn large_outputs_are_spilled_and_behave_the_same() {
            let mut output = OutputBuffer::new(300_000, 1000).unwrap();
            assert!(output.is_spilled());
            assert_eq!(output.len(), 300_000);
            assert!(output.iter().all(|&byte| byte == 0));
            assert_eq!(output.as_ptr().addr() % crate::ALIGNMENT, 0);
            for (index, byte) in output.iter_mut().enumerate() {
                *byte = index as u8;
            }
            assert!(output.iter().enumerate().all(|(index, &byte)| byte == index as u8));
        }

        #[test]
        fn the_file_is_gone_when_the_output_is() {
            let folder = Folder::new("gone");
            let outputs: Vec<_> = (0..5).map(|_| OutputBuffer::spilled(&folder.0, 70_000).unwrap()).collect();
            // Where a file can lose its name at once, nothing is left even if the process dies now.
            assert_eq!(folder.files(), if cfg!(unix) { 0 } else { outputs.len() });
            drop(outputs);
            assert_eq!(folder.files(), 0);
        }

        #[test]
        fn a_folder_that_is_not_there_is_an_error() {
            let error = OutputBuffer::spilled(Path::new("/no/such/folder"), 10).unwrap_err();
            assert!(error.to_string().contains("/no/such/folder"), "{error}");
        }
    }
}

//! A file that only this process knows and that is gone when it is dropped.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::MemoryError;

/// How many names are tried before giving up; with 64 random bits a second try is already a wonder.
const ATTEMPTS: u32 = 16;

/// A new file, open to read and write.
pub(crate) struct TemporaryFile {
    file: File,
    _name: Name,
}

/// The name of a file in its folder, until it is removed.
struct Name(Option<PathBuf>);

impl TemporaryFile {
    /// Creates a file of `len` zero bytes in `folder`.
    ///
    /// The zeros are written rather than left as a hole, so that a full disk is an error here and not a signal when
    /// the mapped bytes are touched.
    pub(crate) fn zeroed(folder: &Path, len: usize) -> Result<Self, MemoryError> {
        let (mut file, path) = create(folder).map_err(MemoryError::file(folder))?;
        let mut name = Name(Some(path));
        // Where a file may lose its name while it is open, not even a crash leaves it behind.
        if cfg!(unix) {
            name.remove();
        }
        write_zeros(&mut file, len).map_err(MemoryError::file(folder))?;
        Ok(TemporaryFile { file, _name: name })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Name {
    fn remove(&mut self) {
        if let Some(path) = self.0.take()
            && std::fs::remove_file(&path).is_err()
        {
            self.0 = Some(path);
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Creates a file that did not exist, which no other user may read.
fn create(folder: &Path) -> io::Result<(File, PathBuf)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut attempt = 0;
    loop {
        let path = folder.join(format!("tiny-vlm-{}-{:016x}.spill", std::process::id(), random()));
        match options.open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Bits nobody outside can guess: the standard library seeds its hash maps from the system's entropy.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn write_zeros(file: &mut File, len: usize) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = len;
    while left > 0 {
        let part = left.min(ZEROS.len());
        file.write_all(&ZEROS[..part])?;
        left -= part;
    }
    Ok(())
}

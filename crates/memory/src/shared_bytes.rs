//! Bytes that do not change, shared by whoever looks at them.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::{AlignedVec, MappedFile};

/// A part of a mapped file, of the program, or of a buffer in memory. Clones and [slices](Self::slice) share the bytes,
/// and keep all that they lie in.
///
/// ```
/// use tiny_vlm_memory::SharedBytes;
///
/// let bytes = SharedBytes::from(vec![1, 2, 3, 4]);
/// let tail = bytes.slice(2..4).unwrap();
/// drop(bytes);
/// assert_eq!(tail[..], [3, 4]);
/// assert!(tail.slice(1..3).is_none());
/// ```
#[derive(Clone)]
pub struct SharedBytes {
    holder: Arc<Holder>,
    range: Range<usize>,
}

/// What the bytes lie in. None of these moves them while it lives.
enum Holder {
    File(MappedFile),
    Buffer(AlignedVec<u8>),
    Memory(Cow<'static, [u8]>),
}

impl Holder {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::File(file) => file,
            Self::Buffer(buffer) => buffer,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl SharedBytes {
    /// The part `range` of these bytes, if it lies within them.
    pub fn slice(&self, range: Range<usize>) -> Option<SharedBytes> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end)
            .then(|| SharedBytes { holder: Arc::clone(&self.holder), range: start..end })
    }

    fn all_of(holder: Holder) -> Self {
        let range = 0..holder.bytes().len();
        Self { holder: Arc::new(holder), range }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.holder.bytes()[self.range.clone()]
    }
}

impl From<MappedFile> for SharedBytes {
    fn from(file: MappedFile) -> Self {
        Self::all_of(Holder::File(file))
    }
}

/// The buffer itself, which starts on a cache line as a mapped file does.
impl From<AlignedVec<u8>> for SharedBytes {
    fn from(buffer: AlignedVec<u8>) -> Self {
        Self::all_of(Holder::Buffer(buffer))
    }
}

impl From<Cow<'static, [u8]>> for SharedBytes {
    fn from(bytes: Cow<'static, [u8]>) -> Self {
        Self::all_of(Holder::Memory(bytes))
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Cow::Owned(bytes))
    }
}

impl From<&'static [u8]> for SharedBytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from(Cow::Borrowed(bytes))
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("len", &self.len()).finish_non_exhaustive()
    }
}

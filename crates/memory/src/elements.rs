//! Numbers that do not change once they are there.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use bytemuck::Pod;

use crate::{ALIGNMENT, AlignedVec, MemoryError, SharedBytes};

/// Plain elements that start on a cache line: in a buffer of their own, or where they lie in a file, mapped or read.
///
/// ```
/// use tiny_vlm_memory::{AlignedVec, Elements};
///
/// let weights = Elements::from(AlignedVec::from_slice(&[1.0_f32, 2.0]));
/// assert_eq!(weights[..], [1.0, 2.0]);
/// assert!(!weights.are_shared());
/// ```
#[derive(Clone)]
pub struct Elements<T: Pod> {
    place: Place<T>,
}

#[derive(Clone)]
enum Place<T: Pod> {
    Owned(AlignedVec<T>),
    /// The bytes of whole elements, at an aligned address.
    Shared(SharedBytes, PhantomData<T>),
}

impl<T: Pod> Elements<T> {
    /// The elements whose bytes, in this machine's order, `bytes` are: where they lie if they start on a cache line,
    /// and a copy if not. A rest that is no whole element is left out.
    pub fn from_bytes(bytes: SharedBytes) -> Result<Self, MemoryError> {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= ALIGNMENT) };
        let len = bytes.len() / size_of::<T>();
        let whole = bytes.slice(0..len * size_of::<T>()).unwrap_or(bytes);
        if whole.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Ok(Self { place: Place::Shared(whole, PhantomData) });
        }
        let mut copy = AlignedVec::try_zeroed(len)?;
        bytemuck::cast_slice_mut(copy.as_mut_slice()).copy_from_slice(&whole);
        Ok(Self { place: Place::Owned(copy) })
    }

    /// Whether they lie in memory that is not theirs alone.
    pub fn are_shared(&self) -> bool {
        matches!(self.place, Place::Shared(..))
    }
}

impl<T: Pod> Deref for Elements<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.place {
            Place::Owned(elements) => elements,
            Place::Shared(bytes, _) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T: Pod> From<AlignedVec<T>> for Elements<T> {
    fn from(elements: AlignedVec<T>) -> Self {
        Self { place: Place::Owned(elements) }
    }
}

impl<T: Pod> Default for Elements<T> {
    fn default() -> Self {
        AlignedVec::new().into()
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Elements<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MappedFile;

    #[test]
    fn aligned_bytes_stay_where_they_are_and_others_are_copied() {
        let file = MappedFile::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let buffer = AlignedVec::from_slice(&file);
        let places = [SharedBytes::from(file), SharedBytes::from(buffer)];
        for (bytes, start) in places.iter().flat_map(|bytes| [0, 1, 4, 63, 64, 128].map(|at| (bytes, at))) {
            let part = bytes.slice(start..start + 15).unwrap();
            let elements = Elements::<u32>::from_bytes(part.clone()).unwrap();
            assert_eq!(elements.are_shared(), start % ALIGNMENT == 0, "from {start}");
            assert_eq!(bytemuck::cast_slice::<u32, u8>(&elements), &part[..12]);
            assert_eq!(elements.as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(elements.clone()[..], elements[..]);
        }
    }

    #[test]
    fn nothing_is_no_elements() {
        let nothing = SharedBytes::from(vec![7_u8, 7, 7]);
        assert!(Elements::<u32>::from_bytes(nothing).unwrap().is_empty());
        assert!(Elements::<f32>::default().is_empty());
    }
}

//! A fixed number of elements that start on a cache line.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use crate::MemoryError;
use crate::block::{Block, bytes_of, refuse};

/// Owns `len` plain elements, the first of which lies at a multiple of [`ALIGNMENT`](crate::ALIGNMENT) bytes.
///
/// Its length is fixed at construction: what is stored here is as large as a shape says.
pub struct AlignedVec<T: Pod> {
    block: Block,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Pod> AlignedVec<T> {
    /// A buffer without elements; allocates nothing.
    pub const fn new() -> Self {
        AlignedVec { block: Block::empty(), len: 0, element: std::marker::PhantomData }
    }

    /// `len` elements of zero.
    ///
    /// Use [`try_zeroed`](Self::try_zeroed) where a file or a user decides `len`.
    ///
    /// # Panics
    ///
    /// As `Vec` does, when the size overflows; when memory runs out the allocator's error handler is called.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|error| refuse(error))
    }

    /// `len` elements of zero, or why there is no room for them.
    pub fn try_zeroed(len: usize) -> Result<Self, MemoryError> {
        let block = Block::zeroed(bytes_of::<T>(len)?)?;
        Ok(AlignedVec { block, len, element: std::marker::PhantomData })
    }

    /// A copy of `values`.
    pub fn from_slice(values: &[T]) -> Self {
        let mut copy = Self::zeroed(values.len());
        copy.copy_from_slice(values);
        copy
    }

    /// A copy of `values`, or why there is no room for it.
    pub fn try_from_slice(values: &[T]) -> Result<Self, MemoryError> {
        let mut copy = Self::try_zeroed(values.len())?;
        copy.copy_from_slice(values);
        Ok(copy)
    }

    /// `len` times `value`.
    pub fn filled(len: usize, value: T) -> Self {
        let mut all = Self::zeroed(len);
        all.fill(value);
        all
    }

    /// `len` elements, each made from its index.
    pub fn from_fn(len: usize, mut make: impl FnMut(usize) -> T) -> Self {
        let mut all = Self::zeroed(len);
        for (index, value) in all.iter_mut().enumerate() {
            *value = make(index);
        }
        all
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        self.block.typed(self.len)
    }

    /// The elements, to write.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.block.typed_mut(self.len)
    }
}

impl<T: Pod> Deref for AlignedVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Pod> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T: Pod> AsRef<[T]> for AlignedVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Pod> Clone for AlignedVec<T> {
    fn clone(&self) -> Self {
        Self::from_slice(self)
    }
}

impl<T: Pod> Default for AlignedVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for AlignedVec<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(formatter)
    }
}

impl<T: Pod + PartialEq> PartialEq for AlignedVec<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Pod> From<&[T]> for AlignedVec<T> {
    fn from(values: &[T]) -> Self {
        Self::from_slice(values)
    }
}

impl<T: Pod> FromIterator<T> for AlignedVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::from_slice(&values.into_iter().collect::<Vec<T>>())
    }
}

impl<'a, T: Pod> IntoIterator for &'a AlignedVec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Pod> IntoIterator for &'a mut AlignedVec<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ALIGNMENT;

    #[test]
    fn elements_are_aligned_and_start_at_zero() {
        for len in [0, 1, 3, 15, 16, 17, 1000] {
            let buffer = AlignedVec::<f32>::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
            assert!(buffer.iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn copies_are_equal_and_independent() {
        let original = AlignedVec::from_fn(100, |index| index as i16);
        let mut copy = original.clone();
        assert_eq!(copy, original);
        copy[7] = -1;
        assert_ne!(copy, original);
        assert_eq!(original[7], 7);
        assert_eq!((0..100).map(|index| index as i16).collect::<AlignedVec<i16>>(), original);
    }

    #[test]
    fn impossible_lengths_are_errors() {
        assert!(matches!(AlignedVec::<f64>::try_zeroed(usize::MAX), Err(MemoryError::TooLarge { .. })));
    }

    #[test]
    fn elements_without_size_need_no_memory() {
        assert_eq!(AlignedVec::<()>::zeroed(5).len(), 5);
        assert_eq!(AlignedVec::<[f32; 0]>::zeroed(usize::MAX).len(), usize::MAX);
    }

    #[test]
    fn buffers_cross_threads() {
        fn crosses<T: Send + Sync>() {}
        crosses::<AlignedVec<f32>>();
    }
}

//! Elements of a shape, owned.

use std::ops::{Index, IndexMut};

use bytemuck::Pod;
use tiny_vlm_memory::{AlignedVec, MemoryError};

use crate::layout::{Layout, element_count};
use crate::{TensorError, View, ViewMut};

/// Owns the elements of a shape of rank `R`, side by side in the order of their indices and starting on a cache line.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T: Pod, const R: usize> {
    shape: [usize; R],
    data: AlignedVec<T>,
}

impl<T: Pod, const R: usize> Tensor<T, R> {
    /// Zeros of the given shape.
    ///
    /// Use [`try_zeroed`](Self::try_zeroed) where a file or a user decides the shape.
    ///
    /// # Panics
    ///
    /// As `Vec` does, when the size overflows; when memory runs out the allocator's error handler is called.
    pub fn zeroed(shape: [usize; R]) -> Self {
        match element_count(&shape) {
            Some(count) => Tensor { shape, data: AlignedVec::zeroed(count) },
            None => panic!("{}", TensorError::TooLarge { shape: shape.to_vec() }),
        }
    }

    /// Zeros of the given shape, or why there is no room for them.
    pub fn try_zeroed(shape: [usize; R]) -> Result<Self, TensorError> {
        let count = element_count(&shape).ok_or_else(|| TensorError::TooLarge { shape: shape.to_vec() })?;
        let data = AlignedVec::try_zeroed(count).map_err(|error| match error {
            MemoryError::TooLarge { .. } => TensorError::TooLarge { shape: shape.to_vec() },
            error => error.into(),
        })?;
        Ok(Tensor { shape, data })
    }

    /// `data` under the given shape.
    pub fn from_vec(shape: [usize; R], data: AlignedVec<T>) -> Result<Self, TensorError> {
        Layout::contiguous(shape, data.len())?;
        Ok(Tensor { shape, data })
    }

    /// A copy of `data` under the given shape.
    pub fn from_slice(shape: [usize; R], data: &[T]) -> Result<Self, TensorError> {
        Layout::contiguous(shape, data.len())?;
        Ok(Tensor { shape, data: AlignedVec::try_from_slice(data)? })
    }

    /// Elements made from their indices.
    ///
    /// # Panics
    ///
    /// As [`zeroed`](Self::zeroed).
    pub fn from_fn(shape: [usize; R], mut make: impl FnMut([usize; R]) -> T) -> Self {
        let mut tensor = Self::zeroed(shape);
        let mut index = [0; R];
        for element in tensor.data.iter_mut() {
            *element = make(index);
            for axis in (0..R).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        tensor
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> [usize; R] {
        self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All elements in the order of their indices.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All elements in the order of their indices, to write.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// All elements in the order of their indices, without the shape.
    pub fn into_data(self) -> AlignedVec<T> {
        self.data
    }

    /// The elements, to read.
    pub fn view(&self) -> View<'_, T, R> {
        match View::new(self.shape, &self.data) {
            Ok(view) => view,
            Err(error) => unreachable!("a tensor has as many elements as its shape: {error}"),
        }
    }

    /// The elements, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T, R> {
        match ViewMut::new(self.shape, &mut self.data) {
            Ok(view) => view,
            Err(error) => unreachable!("a tensor has as many elements as its shape: {error}"),
        }
    }

    /// The same elements under another shape.
    pub fn reshape<const S: usize>(self, shape: [usize; S]) -> Result<Tensor<T, S>, TensorError> {
        self.view().reshape(shape)?;
        Ok(Tensor { shape, data: self.data })
    }
}

impl<T: Pod, const R: usize> Index<[usize; R]> for Tensor<T, R> {
    type Output = T;

    fn index(&self, index: [usize; R]) -> &T {
        match self.view().get(index) {
            Some(element) => element,
            None => panic!("index {index:?} leaves shape {:?}", self.shape),
        }
    }
}

impl<T: Pod, const R: usize> IndexMut<[usize; R]> for Tensor<T, R> {
    fn index_mut(&mut self, index: [usize; R]) -> &mut T {
        let offset = self.view().layout_offset(index);
        match offset {
            Some(offset) => &mut self.data[offset],
            None => panic!("index {index:?} leaves shape {:?}", self.shape),
        }
    }
}

//! Elements of a shape, borrowed to write.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut, Range};
use std::ptr::NonNull;

use crate::layout::Layout;
use crate::{TensorError, View};

/// Elements of rank `R` that somebody else owns and nobody else looks at meanwhile. No two indices share an element.
///
/// Several of these may interleave in memory, as the left and right halves of a matrix do, so they are not slices.
pub struct ViewMut<'a, T, const R: usize> {
    first: NonNull<T>,
    layout: Layout<R>,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: this is the only access to its elements, as a unique slice is.
unsafe impl<T: Send, const R: usize> Send for ViewMut<'_, T, R> {}
// SAFETY: a shared one gives away shared references only.
unsafe impl<T: Sync, const R: usize> Sync for ViewMut<'_, T, R> {}

impl<'a, T, const R: usize> ViewMut<'a, T, R> {
    /// All of `data`, in the order of its indices.
    pub fn new(shape: [usize; R], data: &'a mut [T]) -> Result<Self, TensorError> {
        let layout = Layout::contiguous(shape, data.len())?;
        Ok(ViewMut { first: NonNull::from(data).cast(), layout, borrowed: PhantomData })
    }

    /// Elements of `data` at the given strides, the last of which is one and each of which steps over all that the
    /// later dimensions reach.
    pub fn with_strides(
        shape: [usize; R],
        strides: [usize; R],
        data: &'a mut [T],
    ) -> Result<Self, TensorError> {
        let layout = Layout::strided_apart(shape, strides, data.len())?;
        Ok(ViewMut { first: NonNull::from(data).cast(), layout, borrowed: PhantomData })
    }

    /// # Safety
    ///
    /// Every element of `layout` from `first` on may be read and written throughout `'a`, by nobody else, and no two
    /// indices share an element.
    #[inline]
    pub(crate) unsafe fn from_raw(first: NonNull<T>, layout: Layout<R>) -> Self {
        ViewMut { first, layout, borrowed: PhantomData }
    }

    /// Sizes of the dimensions.
    #[inline]
    pub fn shape(&self) -> [usize; R] {
        self.layout.shape
    }

    /// Distances between neighbours along each dimension, in elements.
    #[inline]
    pub fn strides(&self) -> [usize; R] {
        self.layout.strides
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// Whether the elements lie side by side in the order of their indices.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The same elements, to read while this is not written.
    #[inline]
    pub fn view(&self) -> View<'_, T, R> {
        // SAFETY: the elements are borrowed for as long as `self` is, during which nothing can be written.
        unsafe { View::from_raw(self.first, self.layout) }
    }

    /// The same elements, to lend them out and have them back.
    #[inline]
    pub fn reborrow(&mut self) -> ViewMut<'_, T, R> {
        // SAFETY: `self` cannot be used while the new view, which borrows it uniquely, lives.
        unsafe { ViewMut::from_raw(self.first, self.layout) }
    }

    /// All elements in the order of their indices, if they lie side by side.
    #[inline]
    pub fn data(&self) -> Option<&[T]> {
        self.view().data()
    }

    /// As [`data`](Self::data), to write.
    #[inline]
    pub fn data_mut(&mut self) -> Option<&mut [T]> {
        self.reborrow().into_data()
    }

    /// As [`data_mut`](Self::data_mut), for as long as the elements are borrowed.
    #[inline]
    pub fn into_data(self) -> Option<&'a mut [T]> {
        let (first, len) = (self.first.as_ptr(), self.len());
        // SAFETY: the elements of a contiguous layout are the `len` ones from `first` on, all of them ours for `'a`.
        self.is_contiguous().then(|| unsafe { std::slice::from_raw_parts_mut(first, len) })
    }

    /// The address of the first element, for kernels that walk the strides themselves.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.first.as_ptr()
    }

    /// The element at `index`.
    pub fn get(&self, index: [usize; R]) -> Option<&T> {
        self.view().get(index)
    }

    /// The element at `index`, to write.
    pub fn get_mut(&mut self, index: [usize; R]) -> Option<&mut T> {
        let offset = self.layout.offset(index)?;
        // SAFETY: the offset of an index within the shape lies within the elements, which `self` borrows uniquely.
        Some(unsafe { self.first.add(offset).as_mut() })
    }

    /// The part of dimension `axis` that `range` selects.
    ///
    /// # Panics
    ///
    /// If there is no such dimension or the range leaves it.
    #[must_use]
    pub fn slice(self, axis: usize, range: Range<usize>) -> ViewMut<'a, T, R> {
        let (offset, layout) = self.layout.slice(axis, range);
        // SAFETY: the elements of a part are elements of the whole, which is given up here.
        unsafe { ViewMut::from_raw(self.first.add(offset), layout) }
    }

    /// What lies before and from `middle` on along dimension `axis`.
    ///
    /// # Panics
    ///
    /// If there is no such dimension or `middle` leaves it.
    pub fn split_at(self, axis: usize, middle: usize) -> (ViewMut<'a, T, R>, ViewMut<'a, T, R>) {
        let (before_offset, before) = self.layout.slice(axis, 0..middle);
        let (after_offset, after) = self.layout.slice(axis, middle..self.layout.shape[axis]);
        // SAFETY: the two parts have no index of the whole in common, hence no element; the whole is given up here.
        unsafe {
            (
                ViewMut::from_raw(self.first.add(before_offset), before),
                ViewMut::from_raw(self.first.add(after_offset), after),
            )
        }
    }

    /// The same elements under another shape; they have to lie side by side.
    pub fn reshape<const S: usize>(self, shape: [usize; S]) -> Result<ViewMut<'a, T, S>, TensorError> {
        let layout = self.layout.reshape(shape)?;
        // SAFETY: both layouts cover the same elements from `first` on without gaps; this view is given up here.
        Ok(unsafe { ViewMut::from_raw(self.first, layout) })
    }

    fn into_inner<const S: usize>(self, index: usize) -> ViewMut<'a, T, S> {
        let (offset, layout) = self.layout.at(index);
        // SAFETY: the elements at one index of the first dimension are elements of the whole, which is given up here.
        unsafe { ViewMut::from_raw(self.first.add(offset), layout) }
    }

    #[inline]
    pub(crate) fn into_raw(self) -> (NonNull<T>, Layout<R>) {
        (self.first, self.layout)
    }
}

impl<T: Copy, const R: usize> ViewMut<'_, T, R> {
    /// Sets every element to `value`.
    pub fn fill(&mut self, value: T) {
        self.for_each_row(|_, row| row.fill(value));
    }

    /// Copies the elements of `source`, which has the same shape.
    pub fn copy_from(&mut self, source: View<'_, T, R>) -> Result<(), TensorError> {
        if self.shape() != source.shape() {
            return Err(TensorError::Shape {
                expected: self.shape().to_vec(),
                actual: source.shape().to_vec(),
            });
        }
        let columns = self.shape()[R - 1];
        let first = source.as_ptr();
        let strides = source.strides();
        self.for_each_row(|index, row| {
            let offset: usize = (0..R).map(|axis| index[axis] * strides[axis]).sum();
            // SAFETY: `index` is that of a row's first element, and `source` has the same shape, so the whole row lies
            // within it.
            row.copy_from_slice(unsafe { std::slice::from_raw_parts(first.add(offset), columns) });
        });
        Ok(())
    }

    /// Calls `body` with every row along the last dimension and the index of its first element.
    fn for_each_row(&mut self, mut body: impl FnMut([usize; R], &mut [T])) {
        if self.is_empty() {
            return;
        }
        let Layout { shape, strides } = self.layout;
        let mut index = [0; R];
        loop {
            let offset: usize = (0..R).map(|axis| index[axis] * strides[axis]).sum();
            // SAFETY: the row at an index within the shape lies within the elements, which `self` borrows uniquely, and
            // the last stride is one.
            body(index, unsafe {
                std::slice::from_raw_parts_mut(self.first.add(offset).as_ptr(), shape[R - 1])
            });
            // Count up the leading dimensions, the last of them fastest.
            let Some(axis) = (0..R - 1).rev().find(|&axis| index[axis] + 1 < shape[axis]) else { return };
            index[axis] += 1;
            index[axis + 1..].fill(0);
        }
    }
}

impl<'a, T> ViewMut<'a, T, 1> {
    /// The elements.
    pub fn into_slice(self) -> &'a mut [T] {
        let [len] = self.layout.shape;
        // SAFETY: the only stride is one, so the elements are the `len` ones from `first` on, ours for `'a`.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), len) }
    }

    /// The elements as a matrix of one row.
    pub fn into_row(self) -> ViewMut<'a, T, 2> {
        let [columns] = self.layout.shape;
        let layout = Layout { shape: [1, columns], strides: [columns, 1] };
        // SAFETY: both layouts cover the same elements; this view is given up here.
        unsafe { ViewMut::from_raw(self.first, layout) }
    }
}

impl<T> ViewMut<'_, T, 2> {
    /// The row at `index`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[inline]
    pub fn row(&self, index: usize) -> &[T] {
        self.view().row(index)
    }

    /// The row at `index`, to write.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[inline]
    pub fn row_mut(&mut self, index: usize) -> &mut [T] {
        self.reborrow().into_inner::<1>(index).into_slice()
    }
}

macro_rules! outer_dimension {
    ($($rank:literal over $inner:literal),*) => {$(
        impl<'a, T> ViewMut<'a, T, $rank> {
            /// What lies at `index` of the first dimension.
            ///
            /// # Panics
            ///
            /// If the index leaves the dimension.
            pub fn at(&self, index: usize) -> View<'_, T, $inner> {
                self.view().at(index)
            }

            /// What lies at `index` of the first dimension, to write.
            ///
            /// # Panics
            ///
            /// If the index leaves the dimension.
            pub fn at_mut(&mut self, index: usize) -> ViewMut<'_, T, $inner> {
                self.reborrow().into_inner(index)
            }
        }
    )*};
}

outer_dimension!(2 over 1, 3 over 2, 4 over 3, 5 over 4, 6 over 5);

impl<T, const R: usize> Index<[usize; R]> for ViewMut<'_, T, R> {
    type Output = T;

    fn index(&self, index: [usize; R]) -> &T {
        match self.get(index) {
            Some(element) => element,
            None => panic!("index {index:?} leaves shape {:?}", self.shape()),
        }
    }
}

impl<T, const R: usize> IndexMut<[usize; R]> for ViewMut<'_, T, R> {
    fn index_mut(&mut self, index: [usize; R]) -> &mut T {
        let shape = self.shape();
        match self.get_mut(index) {
            Some(element) => element,
            None => panic!("index {index:?} leaves shape {shape:?}"),
        }
    }
}

impl<'a, T> From<&'a mut [T]> for ViewMut<'a, T, 1> {
    fn from(data: &'a mut [T]) -> Self {
        let layout = Layout { shape: [data.len()], strides: [1] };
        ViewMut { first: NonNull::from(data).cast(), layout, borrowed: PhantomData }
    }
}

impl<T: fmt::Debug, const R: usize> fmt::Debug for ViewMut<'_, T, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(formatter)
    }
}

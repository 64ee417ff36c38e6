//! Elements of a shape, borrowed to read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, Range};
use std::ptr::NonNull;

use crate::TensorError;
use crate::layout::Layout;

/// Elements of rank `R` that somebody else owns. Rows along the last dimension are slices; the strides of the others
/// may leave gaps.
pub struct View<'a, T, const R: usize> {
    first: NonNull<T>,
    layout: Layout<R>,
    borrowed: PhantomData<&'a [T]>,
}

// SAFETY: a view gives away shared references only, as the slice it was made from does.
unsafe impl<T: Sync, const R: usize> Send for View<'_, T, R> {}
// SAFETY: as above.
unsafe impl<T: Sync, const R: usize> Sync for View<'_, T, R> {}

impl<T, const R: usize> Clone for View<'_, T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const R: usize> Copy for View<'_, T, R> {}

impl<'a, T, const R: usize> View<'a, T, R> {
    /// All of `data`, in the order of its indices.
    pub fn new(shape: [usize; R], data: &'a [T]) -> Result<Self, TensorError> {
        let layout = Layout::contiguous(shape, data.len())?;
        Ok(View { first: NonNull::from(data).cast(), layout, borrowed: PhantomData })
    }

    /// Elements of `data` at the given strides, the last of which is one. Strides may be zero to repeat elements.
    pub fn with_strides(shape: [usize; R], strides: [usize; R], data: &'a [T]) -> Result<Self, TensorError> {
        let layout = Layout::strided(shape, strides, data.len())?;
        Ok(View { first: NonNull::from(data).cast(), layout, borrowed: PhantomData })
    }

    /// # Safety
    ///
    /// Every element of `layout` from `first` on may be read throughout `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(first: NonNull<T>, layout: Layout<R>) -> Self {
        View { first, layout, borrowed: PhantomData }
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

    /// All elements in the order of their indices, if they lie side by side.
    #[inline]
    pub fn data(&self) -> Option<&'a [T]> {
        // SAFETY: the elements of a contiguous layout are the `len` ones from `first` on, all of them borrowed.
        self.is_contiguous().then(|| unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len()) })
    }

    /// The address of the first element, for kernels that walk the strides themselves.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.first.as_ptr()
    }

    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: [usize; R]) -> Option<&'a T> {
        let offset = self.layout.offset(index)?;
        // SAFETY: the offset of an index within the shape lies within the borrowed elements.
        Some(unsafe { self.first.add(offset).as_ref() })
    }

    /// The part of dimension `axis` that `range` selects.
    ///
    /// # Panics
    ///
    /// If there is no such dimension or the range leaves it.
    #[must_use]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> View<'a, T, R> {
        let (offset, layout) = self.layout.slice(axis, range);
        // SAFETY: the elements of a part are elements of the whole.
        unsafe { View::from_raw(self.first.add(offset), layout) }
    }

    /// The same elements under another shape; they have to lie side by side.
    pub fn reshape<const S: usize>(&self, shape: [usize; S]) -> Result<View<'a, T, S>, TensorError> {
        let layout = self.layout.reshape(shape)?;
        // SAFETY: both layouts cover the same elements from `first` on without gaps.
        Ok(unsafe { View::from_raw(self.first, layout) })
    }

    #[inline]
    pub(crate) fn layout_offset(&self, index: [usize; R]) -> Option<usize> {
        self.layout.offset(index)
    }

    #[inline]
    fn inner<const S: usize>(&self, index: usize) -> View<'a, T, S> {
        let (offset, layout) = self.layout.at(index);
        // SAFETY: the elements at one index of the first dimension are elements of the whole.
        unsafe { View::from_raw(self.first.add(offset), layout) }
    }
}

impl<'a, T> View<'a, T, 1> {
    /// The elements.
    #[inline]
    pub fn as_slice(&self) -> &'a [T] {
        let [len] = self.layout.shape;
        // SAFETY: the only stride is one, so the elements are the `len` ones from `first` on.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), len) }
    }
}

impl<'a, T> View<'a, T, 2> {
    /// The row at `index`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[inline]
    pub fn row(&self, index: usize) -> &'a [T] {
        self.inner::<1>(index).as_slice()
    }

    /// The rows in their order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [T]> + use<'a, T> {
        let view = *self;
        (0..view.shape()[0]).map(move |index| view.row(index))
    }
}

macro_rules! outer_dimension {
    ($($rank:literal over $inner:literal),*) => {$(
        impl<'a, T> View<'a, T, $rank> {
            /// What lies at `index` of the first dimension.
            ///
            /// # Panics
            ///
            /// If the index leaves the dimension.
            #[inline]
            pub fn at(&self, index: usize) -> View<'a, T, $inner> {
                self.inner(index)
            }
        }
    )*};
}

outer_dimension!(2 over 1, 3 over 2, 4 over 3, 5 over 4, 6 over 5);

impl<T, const R: usize> Index<[usize; R]> for View<'_, T, R> {
    type Output = T;

    fn index(&self, index: [usize; R]) -> &T {
        match self.get(index) {
            Some(element) => element,
            None => panic!("index {index:?} leaves shape {:?}", self.shape()),
        }
    }
}

impl<'a, T> From<&'a [T]> for View<'a, T, 1> {
    fn from(data: &'a [T]) -> Self {
        let layout = Layout { shape: [data.len()], strides: [1] };
        View { first: NonNull::from(data).cast(), layout, borrowed: PhantomData }
    }
}

impl<T: fmt::Debug, const R: usize> fmt::Debug for View<'_, T, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("View");
        fields.field("shape", &self.shape()).field("strides", &self.strides());
        if let Some(data) = self.data() {
            fields.field("data", &data);
        }
        fields.finish()
    }
}

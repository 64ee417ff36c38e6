//! Where results go: a part of a matrix that knows its place in the whole.

use std::ops::Range;

use tiny_vlm_tensor::ViewMut;

/// A part of a row-major matrix, held exclusively, and the row and column of its first element in the whole.
///
/// Weights, bias and residual are those of the whole, so a kernel has to know which part of them it is to use.
/// `tiny_vlm_tensor::split::for_each_tile` hands out what this is made of.
#[derive(Debug)]
pub struct OutMut<'a, T = f32> {
    view: ViewMut<'a, T, 2>,
    first: [usize; 2],
}

impl<'a, T> OutMut<'a, T> {
    /// The part that begins at this row and column.
    pub fn at(first: [usize; 2], view: ViewMut<'a, T, 2>) -> Self {
        OutMut { view, first }
    }

    /// The rows of the whole matrix that it covers.
    #[inline]
    pub fn rows(&self) -> Range<usize> {
        self.first[0]..self.first[0] + self.view.shape()[0]
    }

    /// The columns of the whole matrix that it covers.
    #[inline]
    pub fn columns(&self) -> Range<usize> {
        self.first[1]..self.first[1] + self.view.shape()[1]
    }

    /// Elements from one row to the next.
    #[inline]
    pub(crate) fn stride(&self) -> usize {
        self.view.strides()[0]
    }

    /// A row of the part, counted from its own top.
    #[inline]
    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [T] {
        self.view.row_mut(i)
    }

    #[inline]
    pub(crate) fn pointer(&mut self) -> *mut T {
        self.view.as_mut_ptr()
    }
}

impl<'a, T> From<ViewMut<'a, T, 2>> for OutMut<'a, T> {
    fn from(view: ViewMut<'a, T, 2>) -> Self {
        OutMut { view, first: [0, 0] }
    }
}

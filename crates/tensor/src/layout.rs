//! Shapes and strides: where the element of an index lies.
//!
//! Strides count elements. The last stride is one, so that a row is a slice; the strides before it may leave gaps.

use crate::TensorError;

/// Shape and strides of a view; the last stride is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout<const R: usize> {
    pub(crate) shape: [usize; R],
    pub(crate) strides: [usize; R],
}

/// Number of elements of a shape, or nothing if that overflows.
///
/// A zero anywhere makes it zero, whatever the other dimensions multiply to.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}

impl<const R: usize> Layout<R> {
    /// A layout without gaps over exactly `len` elements.
    pub(crate) fn contiguous(shape: [usize; R], len: usize) -> Result<Self, TensorError> {
        const { assert!(R > 0, "a view has at least one dimension") };
        match element_count(&shape) {
            None => Err(TensorError::TooLarge { shape: shape.to_vec() }),
            Some(count) if count != len => Err(TensorError::Length { shape: shape.to_vec(), len }),
            Some(_) => Ok(Layout { shape, strides: contiguous_strides(shape) }),
        }
    }

    /// A layout with the given strides within `len` elements.
    pub(crate) fn strided(shape: [usize; R], strides: [usize; R], len: usize) -> Result<Self, TensorError> {
        const { assert!(R > 0, "a view has at least one dimension") };
        let layout = Layout { shape, strides };
        let fits = strides[R - 1] == 1 && layout.span().is_some_and(|span| span <= len);
        if fits { Ok(layout) } else { Err(layout.strides_error(len)) }
    }

    /// As [`strided`](Self::strided), and no two indices share an element.
    pub(crate) fn strided_apart(
        shape: [usize; R],
        strides: [usize; R],
        len: usize,
    ) -> Result<Self, TensorError> {
        let layout = Self::strided(shape, strides, len)?;
        if layout.is_apart() { Ok(layout) } else { Err(layout.strides_error(len)) }
    }

    fn strides_error(&self, len: usize) -> TensorError {
        TensorError::Strides { shape: self.shape.to_vec(), strides: self.strides.to_vec(), len }
    }

    /// Number of elements from the first to the last, gaps included, or nothing if that overflows.
    fn span(&self) -> Option<usize> {
        element_count(&self.shape)?;
        if self.is_empty() {
            return Some(0);
        }
        let mut last = 0_usize;
        for axis in 0..R {
            last = last.checked_add((self.shape[axis] - 1).checked_mul(self.strides[axis])?)?;
        }
        last.checked_add(1)
    }

    /// Whether each step along an axis leaves all that the later axes reach, which keeps elements apart.
    fn is_apart(&self) -> bool {
        let mut reach = 0;
        for axis in (0..R).rev().filter(|_| !self.is_empty()) {
            if self.shape[axis] > 1 {
                if self.strides[axis] <= reach {
                    return false;
                }
                reach += (self.shape[axis] - 1) * self.strides[axis];
            }
        }
        true
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Number of elements.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Construction has seen that this does not overflow, unless a zero makes up for it.
        if self.is_empty() { 0 } else { self.shape.iter().product() }
    }

    /// Whether the elements lie side by side in the order of their indices.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for axis in (0..R).rev().filter(|_| !self.is_empty()) {
            if self.shape[axis] > 1 && self.strides[axis] != expected {
                return false;
            }
            expected *= self.shape[axis];
        }
        true
    }

    /// Where the element of `index` lies, or nothing if it is outside the shape.
    #[inline]
    pub(crate) fn offset(&self, index: [usize; R]) -> Option<usize> {
        let mut offset = 0;
        for ((index, size), stride) in index.into_iter().zip(self.shape).zip(self.strides) {
            if index >= size {
                return None;
            }
            offset += index * stride;
        }
        Some(offset)
    }

    /// The layout of `range` along `axis`, and where its first element lies.
    ///
    /// # Panics
    ///
    /// If there is no such axis or the range leaves it.
    pub(crate) fn slice(&self, axis: usize, range: std::ops::Range<usize>) -> (usize, Self) {
        let size = self.shape[axis];
        assert!(
            range.start <= range.end && range.end <= size,
            "range {range:?} leaves axis {axis} of shape {:?}",
            self.shape
        );
        let mut part = *self;
        part.shape[axis] = range.len();
        // Nothing lies at the start of an empty part, and its offset might be outside the data.
        let offset = if part.is_empty() { 0 } else { range.start * self.strides[axis] };
        (offset, part)
    }

    /// The layout of one index of the first axis, and where its first element lies.
    ///
    /// # Panics
    ///
    /// If the index leaves the axis.
    #[inline]
    pub(crate) fn at<const S: usize>(&self, index: usize) -> (usize, Layout<S>) {
        const { assert!(S + 1 == R) };
        assert!(index < self.shape[0], "index {index} leaves the first axis of shape {:?}", self.shape);
        let mut inner = Layout { shape: [0; S], strides: [1; S] };
        inner.shape.copy_from_slice(&self.shape[1..]);
        inner.strides.copy_from_slice(&self.strides[1..]);
        let offset = if inner.is_empty() { 0 } else { index * self.strides[0] };
        (offset, inner)
    }

    /// The layout of the same elements under another shape.
    pub(crate) fn reshape<const S: usize>(&self, shape: [usize; S]) -> Result<Layout<S>, TensorError> {
        let refused = || TensorError::Reshape {
            from: self.shape.to_vec(),
            strides: self.strides.to_vec(),
            to: shape.to_vec(),
        };
        if !self.is_contiguous() {
            return Err(refused());
        }
        Layout::contiguous(shape, self.len()).map_err(|_| refused())
    }
}

fn contiguous_strides<const R: usize>(shape: [usize; R]) -> [usize; R] {
    let mut strides = [1_usize; R];
    for axis in (1..R).rev() {
        // Only a shape with a zero in front can overflow, and then no stride is ever used.
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_layouts_count_up() {
        let layout = Layout::contiguous([2, 3, 4], 24).unwrap();
        assert_eq!(layout.strides, [12, 4, 1]);
        assert!(layout.is_contiguous());
        assert_eq!(layout.offset([1, 2, 3]), Some(23));
        assert_eq!(layout.offset([1, 3, 0]), None);
    }

    #[test]
    fn shapes_that_do_not_match_are_errors() {
        assert!(matches!(Layout::contiguous([2, 3], 5), Err(TensorError::Length { .. })));
        assert!(matches!(Layout::contiguous([usize::MAX, 2], 0), Err(TensorError::TooLarge { .. })));
        assert!(Layout::contiguous([usize::MAX, 2, 0], 0).is_ok());
        assert!(matches!(Layout::strided([2, 3], [4, 1], 6), Err(TensorError::Strides { .. })));
        assert!(matches!(Layout::strided([2, 3], [3, 2], 20), Err(TensorError::Strides { .. })));
        assert!(matches!(Layout::strided([2, 2], [usize::MAX, 1], 6), Err(TensorError::Strides { .. })));
        assert!(Layout::strided([2, 3], [4, 1], 7).is_ok());
    }

    #[test]
    fn overlapping_elements_are_only_for_reading() {
        assert!(Layout::strided([2, 3], [0, 1], 3).is_ok());
        for strides in [[0, 1], [1, 1], [2, 1]] {
            assert!(matches!(Layout::strided_apart([2, 3], strides, 9), Err(TensorError::Strides { .. })));
        }
        assert!(Layout::strided_apart([2, 3], [3, 1], 9).is_ok());
        assert!(Layout::strided_apart([1, 3], [0, 1], 9).is_ok());
    }

    #[test]
    fn every_accepted_layout_keeps_elements_apart_and_inside() {
        for rows in 0..4 {
            for columns in 0..4 {
                for stride in 0..6 {
                    for len in 0..16 {
                        let Ok(layout) = Layout::strided_apart([rows, columns], [stride, 1], len) else {
                            continue;
                        };
                        let mut seen = vec![false; len];
                        for row in 0..rows {
                            for column in 0..columns {
                                let offset = layout.offset([row, column]).unwrap();
                                assert!(!std::mem::replace(&mut seen[offset], true));
                            }
                        }
                    }
                }
            }
        }
    }
}

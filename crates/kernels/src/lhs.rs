//! The left side of a product: rows of activations, in place.
//!
//! A row's K values are `runs` stretches of `run_len` values, `run_step` apart. For a matrix there is one run.
//! For a convolution over an NHWC image a row is an output pixel and a run is one kernel row, `kw · cin` values
//! that already lie side by side; neighbouring pixels' rows overlap, and nothing is gathered.

use std::marker::PhantomData;

use tiny_vlm_tensor::View;

use crate::product::Rows;

/// Rows of activations, addressed in place.
#[derive(Clone, Copy, Debug)]
pub struct Lhs<'a, T> {
    data: *const T,
    borrow: PhantomData<&'a [T]>,
    rows: usize,
    line: usize,
    line_step: usize,
    row_step: usize,
    runs: usize,
    run_step: usize,
    run_len: usize,
}

// SAFETY: it reads what it borrows, as a slice would.
unsafe impl<T: Sync> Send for Lhs<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Lhs<'_, T> {}

impl<'a, T> From<View<'a, T, 2>> for Lhs<'a, T> {
    fn from(view: View<'a, T, 2>) -> Self {
        let ([rows, columns], [stride, _]) = (view.shape(), view.strides());
        Lhs {
            data: view.as_ptr(),
            borrow: PhantomData,
            rows,
            line: rows.max(1),
            line_step: 0,
            row_step: stride,
            runs: 1,
            run_step: 0,
            run_len: columns,
        }
    }
}

impl<'a, T> Lhs<'a, T> {
    /// A matrix of `rows` times `columns` whose rows begin `stride` elements apart.
    ///
    /// # Panics
    /// If it does not fit the slice.
    pub fn matrix(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        Lhs::windows(data, [1, rows], [0, stride], [1, columns], 0)
    }

    /// The windows of an image: `lines × line` rows; a row begins `steps[0]` elements after the one a line above
    /// and `steps[1]` after its left neighbour, and consists of `window[0]` runs of `window[1]` elements that
    /// begin `run_step` apart.
    ///
    /// # Panics
    /// If the last window does not fit the slice.
    pub fn windows(
        data: &'a [T],
        [lines, line]: [usize; 2],
        steps: [usize; 2],
        window: [usize; 2],
        run_step: usize,
    ) -> Self {
        let rows = lines.checked_mul(line).expect("row count overflows");
        if rows > 0 && window[0] > 0 {
            let last = |n: usize, step: usize| (n - 1).checked_mul(step);
            let end = last(lines, steps[0])
                .zip(last(line, steps[1]))
                .zip(last(window[0], run_step))
                .and_then(|((a, b), c)| a.checked_add(b)?.checked_add(c)?.checked_add(window[1]));
            assert!(
                end.is_some_and(|end| end <= data.len()),
                "{lines}x{line} windows of {}x{} do not fit {} elements",
                window[0],
                window[1],
                data.len()
            );
        }
        Lhs {
            data: data.as_ptr(),
            borrow: PhantomData,
            rows,
            line: line.max(1),
            line_step: steps[0],
            row_step: steps[1],
            runs: window[0],
            run_step,
            run_len: window[1],
        }
    }

    /// How many rows there are.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has.
    #[inline]
    pub fn columns(&self) -> usize {
        self.runs * self.run_len
    }

    pub(crate) fn words(&self) -> Words {
        let size = size_of::<T>();
        debug_assert!((self.run_len * size).is_multiple_of(4) || self.rows == 0);
        Words {
            data: self.data.cast(),
            line: self.line,
            line_step: self.line_step * size,
            row_step: self.row_step * size,
            runs: self.runs,
            run_step: self.run_step * size,
            run_len: self.run_len * size / 4,
        }
    }
}

/// The same in units of the tile: steps in bytes, lengths in 4-byte words.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    data: *const u8,
    line: usize,
    line_step: usize,
    row_step: usize,
    pub(crate) runs: usize,
    pub(crate) run_step: usize,
    pub(crate) run_len: usize,
}

impl Words {
    /// Where the word `k` of each of `count` rows is, the first of them `first`.
    #[inline(always)]
    pub(crate) fn rows(&self, first: usize, count: usize, k: usize) -> Rows {
        let (mut y, mut x) =
            if first < self.line { (0, first) } else { (first / self.line, first % self.line) };
        let data = self.data.wrapping_add(4 * k);
        let mut at = data.wrapping_add(y * self.line_step + x * self.row_step);
        let mut rows = Rows::none();
        for i in 0..count {
            rows.set(i, at);
            (x, at) = (x + 1, at.wrapping_add(self.row_step));
            if x == self.line {
                (y, x) = (y + 1, 0);
                at = data.wrapping_add(y * self.line_step);
            }
        }
        rows
    }
}

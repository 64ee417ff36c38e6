//! Where results go: rectangles of a row-major matrix that can be written from several threads.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A rectangle of a row-major matrix, held exclusively. It knows where in the matrix it lies.
#[derive(Debug)]
pub struct OutMut<'a, T = f32> {
    data: *mut T,
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of its elements, as a slice would be.
unsafe impl<T: Send> Send for OutMut<'_, T> {}

impl<'a, T> OutMut<'a, T> {
    /// A whole matrix of `rows` times `columns` whose rows begin `stride` elements apart.
    ///
    /// # Panics
    /// If the rows overlap or do not fit the slice.
    pub fn new(data: &'a mut [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows <= 1 || stride >= columns, "rows of {columns} overlap at stride {stride}");
        let needed = if rows == 0 { Some(0) } else { (rows - 1).checked_mul(stride).map(|n| n + columns) };
        assert!(
            needed.is_some_and(|n| n <= data.len()),
            "{rows}x{columns} at stride {stride} does not fit {} elements",
            data.len()
        );
        OutMut { data: data.as_mut_ptr(), stride, rows: 0..rows, columns: 0..columns, borrow: PhantomData }
    }

    /// The rows of the whole matrix that it covers.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of the whole matrix that it covers.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Elements from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// A row of the rectangle, counted from its own top.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows.len(), "row {i} of {}", self.rows.len());
        // SAFETY: the rectangle's rows lie within the slice it was made from, and it is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.stride), self.columns.len()) }
    }

    /// The same rectangle for a shorter time.
    pub fn reborrow(&mut self) -> OutMut<'_, T> {
        OutMut {
            data: self.data,
            stride: self.stride,
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            borrow: PhantomData,
        }
    }

    pub(crate) fn pointer(&mut self) -> *mut T {
        self.data
    }
}

/// The most tiles that a matrix is cut into.
const MOST_TILES: usize = 1024;

/// A matrix cut into tiles, each of which can be claimed once, from any thread.
///
/// ```
/// use tiny_vlm_kernels::{OutMut, Tiles};
///
/// let mut data = [0.0_f32; 12];
/// let tiles = Tiles::new(OutMut::new(&mut data, 3, 4, 4), 2, 4);
/// assert_eq!(tiles.len(), 2);
/// let mut last = tiles.claim(1).unwrap();
/// assert_eq!(last.rows(), 2..3);
/// last.row_mut(0).fill(1.0);
/// assert!(tiles.claim(1).is_none());
/// ```
#[derive(Debug)]
pub struct Tiles<'a, T = f32> {
    whole: OutMut<'a, T>,
    tile_rows: usize,
    tile_columns: usize,
    across: usize,
    down: usize,
    claimed: [AtomicU64; MOST_TILES / 64],
}

// SAFETY: elements are reached only through tiles, which do not overlap and are each handed out once.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    /// Cuts a matrix into tiles of about this size: the same for every number of threads, and doubled until
    /// there are at most 1024.
    pub fn new(whole: OutMut<'a, T>, tile_rows: usize, tile_columns: usize) -> Self {
        let (mut tile_rows, mut tile_columns) = (tile_rows.max(1), tile_columns.max(1));
        let count = |n: usize, tile: usize| n.div_ceil(tile);
        let (rows, columns) = (whole.rows.len(), whole.columns.len());
        while count(rows, tile_rows) * count(columns, tile_columns) > MOST_TILES {
            if count(rows, tile_rows) >= count(columns, tile_columns) {
                tile_rows *= 2;
            } else {
                tile_columns *= 2;
            }
        }
        let (down, across) = (count(rows, tile_rows), count(columns, tile_columns));
        Tiles { whole, tile_rows, tile_columns, across, down, claimed: Default::default() }
    }

    /// How many tiles there are.
    pub fn len(&self) -> usize {
        self.across * self.down
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a tile, or nothing where it was taken before or does not exist.
    pub fn claim(&self, index: usize) -> Option<OutMut<'a, T>> {
        if index >= self.len() {
            return None;
        }
        let bit = 1_u64 << (index % 64);
        if self.claimed[index / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return None;
        }
        let cut = |n: usize, tile: usize, all: &Range<usize>| {
            let start = all.start + n * tile;
            start..(start + tile).min(all.end)
        };
        let rows = cut(index / self.across, self.tile_rows, &self.whole.rows);
        let columns = cut(index % self.across, self.tile_columns, &self.whole.columns);
        let offset = (rows.start - self.whole.rows.start) * self.whole.stride + columns.start
            - self.whole.columns.start;
        // SAFETY: the tile lies within the whole, whose first element this counts from.
        let data = unsafe { self.whole.data.add(offset) };
        Some(OutMut { data, stride: self.whole.stride, rows, columns, borrow: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_a_matrix_once() {
        for (rows, columns, stride) in [(0, 5, 5), (5, 0, 3), (7, 33, 40), (5000, 3, 3), (1, 40_000, 40_000)]
        {
            let mut data = vec![0_u8; rows * stride];
            let tiles = Tiles::new(OutMut::new(&mut data, rows, columns, stride), 3, 16);
            assert!(tiles.len() <= MOST_TILES);
            for i in 0..tiles.len() {
                let mut tile = tiles.claim(i).unwrap();
                assert!(tiles.claim(i).is_none());
                for r in 0..tile.rows().len() {
                    tile.row_mut(r).iter_mut().for_each(|x| *x += 1);
                }
            }
            for (i, x) in data.iter().enumerate() {
                assert_eq!(*x, u8::from(i % stride < columns), "{rows}x{columns} element {i}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "2x3 at stride 3 does not fit 5 elements")]
    fn a_matrix_must_fit() {
        OutMut::new(&mut [0.0; 5], 2, 3, 3);
    }
}

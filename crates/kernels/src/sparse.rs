//! Block-sparse weights: the 16×16 blocks that are not zero.
//!
//! A matrix of N output channels by K is cut into blocks of 16 channels by 16 values of K. What is stored is
//! the **pattern**, which of them are kept, and the kept blocks, panel after panel of 16 channels and within a panel
//! in the order of K: block compressed sparse rows (BSR).
//!
//! | id | type | a block |
//! |---|---|---|
//! | `f32-n16-b16` | f32 | `[16][16]`: 16 steps of `f32-n16` |
//! | `s8-n16k4-b16` | s8 | `[4][16][4]`: 4 steps of `s8-n16k4` |
//!
//! N and K are padded with zeros to whole blocks.
//!
//! Sums are those of the dense product, in the same order but without the zeros: the same numbers in f32, the same bits
//! in bytes.
//!
//! A block that is left out adds nothing, whatever the activations: where a dense product has NaN for a weight of
//! zero by an activation that is NaN or infinite, a sparse one has what the other blocks add. In bytes nothing differs:
//! an activation that is no number spoils its whole row, for it spoils the scale.

use std::ops::Range;

use crate::layout::{Element, PANEL};

/// Values of K of a block, and its channels.
pub const BLOCK: usize = PANEL;

/// Elements of a block.
const AREA: usize = BLOCK * BLOCK;

/// Which blocks of an N×K matrix are kept.
///
/// It is checked when it is made, so that products need not: columns are within K and ascend within their panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    n: usize,
    k: usize,
    /// For each panel the number of blocks before it, and in the end that of all blocks.
    starts: Box<[u32]>,
    /// For each block its place along K, in blocks.
    columns: Box<[u32]>,
}

impl Pattern {
    /// Takes a pattern: `starts` has for each panel the number of blocks before it, and the number of all blocks in the
    /// end; `columns` has for each block its place along K, in blocks. Nothing where they contradict the shape or
    /// one another, or columns do not ascend.
    pub fn new(starts: &[u32], columns: &[u32], n: usize, k: usize) -> Option<Pattern> {
        let whole = starts.first() == Some(&0)
            && starts.len() - 1 == n.div_ceil(PANEL)
            && starts.last().is_some_and(|end| *end as usize == columns.len())
            && starts.is_sorted()
            && columns.len().checked_mul(AREA).is_some();
        if !whole {
            return None;
        }
        let fits = |ends: &[u32]| {
            let panel = &columns[ends[0] as usize..ends[1] as usize];
            panel.is_sorted_by(|a, b| a < b)
                && panel.last().is_none_or(|last| (*last as usize) < k.div_ceil(BLOCK))
        };
        starts.windows(2).all(fits).then(|| Pattern { n, k, starts: starts.into(), columns: columns.into() })
    }

    /// The blocks of an N×K matrix that are not all zero, or nothing where there are too many to count in 32 bits.
    ///
    /// # Panics
    /// If `values` is not of N·K.
    pub fn of<T: Element + PartialEq>(values: &[T], n: usize, k: usize) -> Option<Pattern> {
        assert_eq!(values.len(), n * k, "values of {n}x{k}");
        let (mut starts, mut columns) = (vec![0], Vec::new());
        for panel in values.chunks((PANEL * k).max(1)) {
            let mut kept = vec![false; k.div_ceil(BLOCK)];
            for row in panel.chunks_exact(k) {
                for (block, kept) in row.chunks(BLOCK).zip(&mut kept) {
                    *kept |= block.iter().any(|value| *value != T::default());
                }
            }
            for (column, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
                columns.push(u32::try_from(column).ok()?);
            }
            starts.push(u32::try_from(columns.len()).ok()?);
        }
        // A matrix of no columns has panels all the same.
        starts.resize(n.div_ceil(PANEL) + 1, 0);
        Some(Pattern { n, k, starts: starts.into(), columns: columns.into() })
    }

    /// Output channels.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Values of each channel.
    pub fn k(&self) -> usize {
        self.k
    }

    /// For each panel the number of blocks before it, and in the end that of all blocks.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// For each block its place along K, in blocks.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Elements of the blocks that are kept.
    pub fn elements(&self) -> usize {
        self.columns.len() * AREA
    }

    /// The places of a panel's blocks along K but for one at `short`, where K ends within a block, and whether that is
    /// kept: it is the last.
    #[inline(always)]
    pub(crate) fn whole(&self, panel: usize, short: usize) -> (&[u32], bool) {
        match &self.columns[self.panel(panel)] {
            [whole @ .., last] if *last as usize == short => (whole, true),
            columns => (columns, false),
        }
    }

    /// The blocks of a panel.
    #[inline(always)]
    pub(crate) fn panel(&self, panel: usize) -> Range<usize> {
        self.starts[panel] as usize..self.starts[panel + 1] as usize
    }
}

/// The kept blocks of a matrix, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Sparse<'a, T> {
    pattern: &'a Pattern,
    blocks: &'a [T],
}

impl<'a, T: Element> Sparse<'a, T> {
    /// Takes the blocks of a pattern; nothing where there are not as many.
    pub fn new(pattern: &'a Pattern, blocks: &'a [T]) -> Option<Self> {
        (blocks.len() == pattern.elements()).then_some(Sparse { pattern, blocks })
    }

    /// Which blocks they are.
    pub fn pattern(&self) -> &'a Pattern {
        self.pattern
    }

    pub(crate) fn blocks(&self) -> &'a [T] {
        self.blocks
    }
}

impl<T: Element> Sparse<'_, T> {
    /// One value.
    ///
    /// # Panics
    /// If it is outside.
    pub fn get(&self, row: usize, column: usize) -> T {
        let Pattern { n, k, .. } = *self.pattern;
        assert!(row < n && column < k, "({row}, {column}) of {n}x{k}");
        let range = self.pattern.panel(row / PANEL);
        let place = (column / BLOCK) as u32;
        match self.pattern.columns[range.clone()].binary_search(&place) {
            Ok(at) => {
                self.blocks[(range.start + at) * AREA + place_in_block::<T>(row % PANEL, column % BLOCK)]
            }
            Err(_) => T::default(),
        }
    }
}

/// Where an element lies in its block.
fn place_in_block<T: Element>(lane: usize, column: usize) -> usize {
    T::LAYOUT.position(BLOCK, lane, column)
}

/// Packs the blocks of an N×K matrix that a pattern keeps.
///
/// # Panics
/// If `values` is not of N·K or `blocks` not as many as the pattern has.
pub fn pack_blocks<T: Element>(values: &[T], pattern: &Pattern, blocks: &mut [T]) {
    let Pattern { n, k, .. } = *pattern;
    assert_eq!(values.len(), n * k, "values of {n}x{k}");
    assert_eq!(blocks.len(), pattern.elements(), "elements of the blocks of {n}x{k}");
    blocks.fill(T::default());
    for panel in 0..n.div_ceil(PANEL) {
        let range = pattern.panel(panel);
        let columns = pattern.columns[range.clone()].iter();
        for (column, block) in columns.zip(blocks[range.start * AREA..].chunks_exact_mut(AREA)) {
            let first = *column as usize * BLOCK;
            for lane in 0..PANEL.min(n - panel * PANEL) {
                let row = &values[(panel * PANEL + lane) * k..][..k];
                for (i, value) in row[first..k.min(first + BLOCK)].iter().enumerate() {
                    block[place_in_block::<T>(lane, i)] = *value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix with two in five blocks.
    fn matrix(n: usize, k: usize) -> Vec<f32> {
        let kept = |row: usize, column: usize| (row / BLOCK * 3 + column / BLOCK * 2) % 5 < 2;
        let value = |at: usize| if kept(at / k, at % k) { at as f32 + 1.0 } else { -0.0 };
        (0..n * k).map(value).collect()
    }

    #[test]
    fn packing_keeps_every_element() {
        for (n, k) in [(0, 3), (3, 0), (1, 1), (15, 17), (16, 16), (33, 100), (70, 49)] {
            let values = matrix(n, k);
            let pattern = Pattern::of(&values, n, k).unwrap();
            assert_eq!(Pattern::new(pattern.starts(), pattern.columns(), n, k).as_ref(), Some(&pattern));
            let mut blocks = vec![9.0; pattern.elements()];
            pack_blocks(&values, &pattern, &mut blocks);
            let sparse = Sparse::new(&pattern, &blocks).unwrap();
            for (at, value) in values.iter().enumerate() {
                assert_eq!(sparse.get(at / k, at % k), *value, "{n}x{k} at {at}");
            }
            let zeros = blocks.iter().filter(|value| **value == 0.0).count();
            let there = values.iter().filter(|value| **value != 0.0).count();
            assert_eq!(zeros + there, blocks.len(), "{n}x{k}: padding is not zero");
            let bytes: Vec<i8> =
                values.iter().map(|value| *value as i32 as i8 | i8::from(*value != 0.0)).collect();
            let mut blocks = vec![9; pattern.elements()];
            assert_eq!(Pattern::of(&bytes, n, k).as_ref(), Some(&pattern));
            pack_blocks(&bytes, &pattern, &mut blocks);
            let sparse = Sparse::new(&pattern, &blocks).unwrap();
            assert!((0..n * k).all(|at| sparse.get(at / k, at % k) == bytes[at]), "{n}x{k}");
        }
    }

    #[test]
    fn blocks_of_zeros_are_left_out_and_no_others() {
        let mut values = vec![0.0; 40 * 40];
        (values[17 * 40 + 39], values[39 * 40], values[5]) = (1.0, f32::NAN, 1e-45);
        let pattern = Pattern::of(&values, 40, 40).unwrap();
        assert_eq!((pattern.starts(), pattern.columns()), (&[0, 1, 2, 3][..], &[0, 2, 0][..]));
        assert_eq!(Pattern::of(&[0.0; 100], 10, 10).unwrap().elements(), 0);
        assert!(Sparse::new(&pattern, &[0.0; 3 * 256]).is_some());
        assert!(Sparse::new(&pattern, &[0.0; 3 * 256 - 1]).is_none());
    }

    #[test]
    fn patterns_that_lie_are_refused() {
        let make = |starts: &[u32], columns: &[u32]| Pattern::new(starts, columns, 40, 40).is_some();
        assert!(make(&[0, 2, 2, 5], &[0, 2, 0, 1, 2]));
        for starts in [
            &[][..],
            &[0],
            &[0, 2, 2],
            &[0, 2, 2, 4],
            &[0, 2, 2, 6],
            &[1, 2, 2, 5],
            &[0, 6, 2, 5],
            &[0, 2, 2, 5, 5],
        ] {
            assert!(!make(starts, &[0, 2, 0, 1, 2]), "{starts:?}");
        }
        for columns in
            [[0, 3, 0, 1, 2], [2, 0, 0, 1, 2], [1, 1, 0, 1, 2], [0, 2, 0, 1, u32::MAX], [0, 2, 1, 0, 2]]
        {
            assert!(!make(&[0, 2, 2, 5], &columns), "{columns:?}");
        }
        assert!(Pattern::new(&[0], &[], 0, 7).is_some());
        assert!(Pattern::new(&[0, 1], &[0], 7, 0).is_none());
        assert!(Pattern::new(&[0, 0], &[], usize::MAX, usize::MAX).is_none());
    }

    #[test]
    fn no_numbers_make_a_pattern_that_points_outside() {
        // Whatever passes may be read by a product without a further look.
        let mut state = 1_u32;
        let mut next = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % most
        };
        let mut passed = 0;
        for _ in 0..20_000 {
            let (n, k) = (next(50) as usize, next(50) as usize);
            let mut starts: Vec<u32> = (0..n.div_ceil(PANEL) + 1).map(|_| next(4)).collect();
            starts[0] = next(20) / 19;
            if next(4) > 0 {
                starts.sort_unstable();
            }
            let columns: Vec<u32> = (0..starts[starts.len() - 1] + next(8) / 7).map(|_| next(4)).collect();
            if let Some(pattern) = Pattern::new(&starts, &columns, n, k) {
                passed += 1;
                for panel in 0..n.div_ceil(PANEL) {
                    let columns = &pattern.columns()[pattern.panel(panel)];
                    assert!(columns.iter().all(|column| (*column as usize) * BLOCK < k));
                    assert!(columns.is_sorted_by(|a, b| a < b));
                }
                assert_eq!(pattern.elements(), columns.len() * AREA);
            }
        }
        assert!(passed > 100, "{passed} passed, too few to tell");
    }
}

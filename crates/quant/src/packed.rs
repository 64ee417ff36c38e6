//! Packed matrices as files keep them: the parts of the packed form one after the other, each from a multiple of
//! [`ALIGNMENT`] bytes on and padded with zeros to one, little endian.
//!
//! | layout | parts |
//! |---|---|
//! | floats | weights |
//! | `s8-n16k4` | weights; the scale of each channel, f32; the sum of its bytes, f32 |
//! | `s4-…`, `s2-…` | codes; the scales of the groups, f16; the sum of each channel's weights, f32 |
//! | `f32-n16-b16` | starts and columns of the pattern, u32; blocks |
//! | `s8-n16k4-b16` | starts, columns; blocks; scales; sums |
//!
//! Scales and sums of channels go on to the end of the last panel. How long each part is follows from the layout, the
//! shape and, of a sparse matrix, the pattern; bytes of any other length are refused. The numbers themselves are not
//! looked at: a file may say what weights it likes.
//!
//! `bf16-n16` and `s8-n16`, which no product takes, are packed again.

use bytemuck::Pod;
use half::bf16;
use tiny_vlm_kernels::{Element, Layout, PANEL, Packed, Pattern, Single};
use tiny_vlm_memory::{ALIGNMENT, Elements, SharedBytes};
use tiny_vlm_simd::Level;

use crate::matrix::{Bytes, Data, Groups, Matrix};
use crate::sparse::Blocks;
use crate::{Precision, QuantError};

impl Precision {
    /// The precision of the weights that `layout` holds.
    pub fn of_layout(layout: Layout) -> Option<Precision> {
        Some(match layout {
            Layout::F32 => Precision::F32,
            Layout::Bf16 | Layout::Bf16Single => Precision::Bf16,
            Layout::F16 => Precision::F16,
            Layout::S8 | Layout::S8Single => Precision::Int8,
            Layout::S4(group) => Precision::Int4(group),
            Layout::S2(group) => Precision::Int2(group),
            Layout::F32Sparse => Precision::F32Sparse,
            Layout::S8Sparse => Precision::Int8Sparse,
            _ => return None,
        })
    }
}

impl Matrix {
    /// The packed form as files keep it, of the layout that [`layout`](Matrix::layout) says.
    ///
    /// ```
    /// use tiny_vlm_quant::{Matrix, Precision};
    ///
    /// let matrix = Matrix::from_f32(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Precision::Int8)?;
    /// let again = Matrix::from_packed(matrix.layout(), 2, 3, matrix.to_packed().into())?;
    /// let mut row = [0.0; 3];
    /// again.row(1, &mut row)?;
    /// assert_eq!(row[2], 6.0);
    /// # Ok::<(), tiny_vlm_quant::QuantError>(())
    /// ```
    pub fn to_packed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + 5 * ALIGNMENT);
        match &self.data {
            Data::F32(weights) => put(&mut out, weights),
            Data::Bf16(weights) => put(&mut out, weights),
            Data::F16(weights) => put(&mut out, weights),
            Data::Int8(bytes) => {
                put(&mut out, &bytes.weights);
                put_tables(&mut out, bytes);
            }
            Data::F32Sparse(blocks) => put_blocks(&mut out, blocks),
            Data::Int8Sparse(bytes) => {
                put_blocks(&mut out, &bytes.weights);
                put_tables(&mut out, bytes);
            }
            Data::Grouped(groups) => {
                put(&mut out, &groups.codes);
                put(&mut out, &groups.scales);
                put(&mut out, &groups.sums);
            }
        }
        out
    }

    /// The matrix of `n` rows by `k` columns that [`to_packed`](Matrix::to_packed) wrote. Parts that start on a cache
    /// line stay where they lie, so that a mapped file is used as it is; others are copied.
    ///
    /// # Errors
    /// If `bytes` are not as many as the layout and the shape need, a pattern contradicts them, or memory does not
    /// suffice.
    pub fn from_packed(layout: Layout, n: usize, k: usize, bytes: SharedBytes) -> Result<Matrix, QuantError> {
        if cfg!(target_endian = "big") {
            return Err(QuantError::Packed { layout: layout.id(), n, k, reason: "little endian" });
        }
        let mut parts = Parts { rest: bytes, layout, n, k };
        let data = match layout {
            Layout::F32 => Data::F32(parts.weights()?),
            Layout::Bf16 => Data::Bf16(parts.weights()?),
            Layout::F16 => Data::F16(parts.weights()?),
            Layout::Bf16Single => {
                let weights = parts.weights::<Single<bf16>>()?;
                parts.end()?;
                return Matrix::from_f32(n, k, &in_rows(&weights, n, k, |w| w.0.to_f32()), Precision::Bf16);
            }
            Layout::S8 => {
                let weights = parts.weights()?;
                Data::Int8(parts.with_tables(weights)?)
            }
            Layout::S8Single => {
                let weights = parts.weights::<Single<i8>>()?;
                let Bytes { scales, .. } = parts.with_tables(())?;
                parts.end()?;
                return Matrix::from_int8(n, k, &in_rows(&weights, n, k, |w| w.0), &scales[..n]);
            }
            Layout::S4(group) | Layout::S2(group) => {
                let len = layout.len(n, k).ok_or(QuantError::TooLarge { n, k })?;
                let codes = parts.take(len)?;
                let scales = Layout::F16.len(n, k.div_ceil(group.size()));
                let scales = parts.take(scales.ok_or(QuantError::TooLarge { n, k })?)?;
                let sums = parts.take(parts.channels()?)?;
                let precision = Precision::of_layout(layout).ok_or(parts.wrong("no such layout"))?;
                Data::Grouped(Groups { precision, layout, codes, scales, sums })
            }
            Layout::F32Sparse => Data::F32Sparse(parts.blocks()?),
            Layout::S8Sparse => {
                let blocks = parts.blocks()?;
                Data::Int8Sparse(parts.with_tables(blocks)?)
            }
            _ => return Err(parts.wrong("no such layout")),
        };
        parts.end()?;
        Ok(Matrix::of_data(n, k, Level::detect(), data))
    }
}

fn put<T: Pod>(out: &mut Vec<u8>, part: &[T]) {
    out.extend_from_slice(bytemuck::cast_slice(part));
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

fn put_tables<W>(out: &mut Vec<u8>, bytes: &Bytes<W>) {
    put(out, &bytes.scales);
    put(out, &bytes.sums);
}

fn put_blocks<T: Element + Pod>(out: &mut Vec<u8>, blocks: &Blocks<T>) {
    put(out, blocks.pattern.starts());
    put(out, blocks.pattern.columns());
    put(out, &blocks.values);
}

/// The weights of a matrix row after row.
fn in_rows<T: Element, R>(packed: &[T], n: usize, k: usize, read: impl Fn(T) -> R) -> Vec<R> {
    let Some(packed) = Packed::new(packed, n, k) else { return Vec::new() };
    (0..n)
        .flat_map(|row| (0..k).map(move |column| (row, column)))
        .map(|(r, c)| read(packed.get(r, c)))
        .collect()
}

/// What is left of the bytes of a matrix.
struct Parts {
    rest: SharedBytes,
    layout: Layout,
    n: usize,
    k: usize,
}

impl Parts {
    fn wrong(&self, reason: &'static str) -> QuantError {
        QuantError::Packed { layout: self.layout.id(), n: self.n, k: self.k, reason }
    }

    /// Channels to the end of the last panel.
    fn channels(&self) -> Result<usize, QuantError> {
        let too_large = QuantError::TooLarge { n: self.n, k: self.k };
        self.n.checked_next_multiple_of(PANEL).ok_or(too_large)
    }

    /// The next part, of `len` elements.
    fn take<T: Pod>(&mut self, len: usize) -> Result<Elements<T>, QuantError> {
        let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= self.rest.len());
        let bytes = bytes.ok_or(self.wrong("too few bytes"))?;
        let next = bytes.checked_next_multiple_of(ALIGNMENT).unwrap_or(bytes);
        let (part, rest) = (self.rest.slice(0..bytes), self.rest.slice(next..self.rest.len()));
        let (Some(part), Some(rest)) = (part, rest) else { return Err(self.wrong("too few bytes")) };
        self.rest = rest;
        Elements::from_bytes(part).map_err(|_| QuantError::TooLarge { n: self.n, k: self.k })
    }

    fn weights<T: Element + Pod>(&mut self) -> Result<Elements<T>, QuantError> {
        let len = T::LAYOUT.len(self.n, self.k).ok_or(QuantError::TooLarge { n: self.n, k: self.k })?;
        self.take(len)
    }

    fn with_tables<W>(&mut self, weights: W) -> Result<Bytes<W>, QuantError> {
        let channels = self.channels()?;
        Ok(Bytes { weights, scales: self.take(channels)?, sums: self.take(channels)? })
    }

    fn blocks<T: Element + Pod>(&mut self) -> Result<Blocks<T>, QuantError> {
        let starts = self.take::<u32>(self.n.div_ceil(PANEL) + 1)?;
        let count = starts.last().copied().unwrap_or(0) as usize;
        let columns = self.take::<u32>(count)?;
        let pattern = Pattern::new(&starts, &columns, self.n, self.k);
        let pattern = pattern.ok_or(self.wrong("a pattern that is none"))?;
        Ok(Blocks { values: self.take(pattern.elements())?, pattern })
    }

    /// Holds that nothing is left.
    fn end(&self) -> Result<(), QuantError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("too many bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_kernels::pack;

    const SHAPES: [(usize, usize); 6] = [(1, 1), (17, 5), (33, 70), (16, 64), (0, 4), (4, 0)];

    fn weights(n: usize, k: usize) -> Vec<f32> {
        // Every second block of 16 rows is zero.
        (0..n * k).map(|i| if i / k % 32 < 16 { ((i * 7 % 31) as f32 - 15.0) / 16.0 } else { 0.0 }).collect()
    }

    fn rows(matrix: &Matrix) -> Vec<f32> {
        let mut out = vec![0.0; matrix.rows() * matrix.columns()];
        for (i, row) in out.chunks_exact_mut(matrix.columns().max(1)).enumerate() {
            matrix.row(i, row).unwrap();
        }
        out
    }

    #[test]
    fn every_precision_comes_back_from_its_bytes() {
        for (n, k) in SHAPES {
            for precision in Precision::ALL.into_iter().chain(Precision::SPARSE) {
                let matrix = Matrix::from_f32(n, k, &weights(n, k), precision).unwrap();
                let packed = matrix.to_packed();
                assert!(packed.len().is_multiple_of(ALIGNMENT) && packed.len() >= matrix.bytes());
                let again = Matrix::from_packed(matrix.layout(), n, k, packed.clone().into()).unwrap();
                assert_eq!((again.precision(), again.bytes()), (precision, matrix.bytes()));
                assert_eq!(rows(&again), rows(&matrix), "{precision} {n}x{k}");
                assert_eq!(again.to_packed(), packed, "{precision} {n}x{k}");
                assert_eq!(Precision::of_layout(matrix.layout()), Some(precision));
            }
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        for precision in Precision::ALL.into_iter().chain(Precision::SPARSE) {
            let matrix = Matrix::from_f32(33, 70, &weights(33, 70), precision).unwrap();
            let mut packed = matrix.to_packed();
            let error = |packed: &[u8], n, k| {
                let made = Matrix::from_packed(matrix.layout(), n, k, packed.to_vec().into());
                made.expect_err("a length that does not fit").to_string()
            };
            assert!(error(&packed[..packed.len() - 64], 33, 70).contains("too few bytes"), "{precision}");
            assert!(error(&[], 33, 70).contains("too few bytes"));
            assert!(error(&packed, 1 << 20, 70).contains("too few bytes") || matrix.layout().is_sparse());
            assert!(!error(&packed, usize::MAX, usize::MAX).is_empty());
            packed.extend([0; 64]);
            assert!(error(&packed, 33, 70).contains("too many bytes"), "{precision}");
        }
    }

    #[test]
    fn patterns_that_lie_are_refused() {
        let matrix = Matrix::from_f32(40, 40, &[1.0; 1600], Precision::Int8Sparse).unwrap();
        let packed = matrix.to_packed();
        for (at, value) in [(0, 1), (4, 9), (12, 255), (64, 7), (68, 0)] {
            let mut lying = packed.clone();
            lying[at] = value;
            assert!(Matrix::from_packed(matrix.layout(), 40, 40, lying.into()).is_err(), "{value} at {at}");
        }
    }

    #[test]
    fn layouts_that_no_product_takes_are_packed_again() {
        let (n, k) = (33, 10);
        let values: Vec<f32> = weights(n, k);
        let single: Vec<Single<bf16>> = values.iter().map(|w| Single(bf16::from_f32(*w))).collect();
        let mut packed = vec![Single(bf16::ZERO); Layout::Bf16Single.len(n, k).unwrap()];
        pack(&single, n, k, k, &mut packed);
        let mut bytes = Vec::new();
        put(&mut bytes, &packed);
        let matrix = Matrix::from_packed(Layout::Bf16Single, n, k, bytes.into()).unwrap();
        assert_eq!((matrix.layout(), rows(&matrix)), (Layout::Bf16, values));

        let single: Vec<Single<i8>> = (0..n * k).map(|i| Single((i % 200) as i8)).collect();
        let mut packed = vec![Single(0_i8); Layout::S8Single.len(n, k).unwrap()];
        pack(&single, n, k, k, &mut packed);
        let mut bytes = Vec::new();
        put(&mut bytes, &packed);
        put(&mut bytes, &[0.5_f32; 48]);
        put(&mut bytes, &[0.0_f32; 48]);
        let matrix = Matrix::from_packed(Layout::S8Single, n, k, bytes.into()).unwrap();
        let expected: Vec<i8> = single.iter().map(|w| w.0).collect();
        let expected = Matrix::from_int8(n, k, &expected, &[0.5; 33]).unwrap();
        assert_eq!((matrix.layout(), matrix.to_packed()), (Layout::S8, expected.to_packed()));
    }
}

//! A matrix of weights, packed once.

use half::{bf16, f16};
use tiny_vlm_kernels::{
    Element, Epilogue, Group, Grouped, Layout, OutMut, PANEL, Packed, Panels, Quantized, bf16_kernel,
    f32_kernel, gemm_grouped, gemm_s8, gemm_s8_sparse, gemm_s8_sparse_panels, grouped_kernel, pack,
    pack_codes, s8_kernel, sparse_f32_kernel, sparse_s8_kernel, widened_kernel,
};
use tiny_vlm_memory::{AlignedVec, Elements};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::View;

use crate::quantizer::{check_finite, check_length};
use crate::sparse::Blocks;
use crate::{
    Bits, Calibration, GroupQuantized, Precision, QuantError, calibrate_groups, calibrate_rows,
    quantize_groups, quantize_rows,
};

/// The weights of a linear map: a row for each output channel, a column for each input feature.
///
/// For a convolution the columns are kernel row, kernel column and input channel, in that order.
#[derive(Clone, Debug)]
pub struct Matrix {
    n: usize,
    k: usize,
    level: Level,
    pub(crate) data: Data,
}

/// Packed weights, in memory of their own or where they lie in a file.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    F32(Elements<f32>),
    Bf16(Elements<bf16>),
    F16(Elements<f16>),
    Int8(Bytes<Elements<i8>>),
    F32Sparse(Blocks<f32>),
    Int8Sparse(Bytes<Blocks<i8>>),
    Grouped(Groups),
}

/// Bytes, and for each channel, to the end of the last panel, its scale and the sum of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bytes<W> {
    pub(crate) weights: W,
    pub(crate) scales: Elements<f32>,
    pub(crate) sums: Elements<f32>,
}

impl<W> Bytes<W> {
    /// Packs bytes and their scales.
    fn pack(
        n: usize,
        k: usize,
        weights: &[i8],
        scales: &[f32],
        pack: impl FnOnce(usize, usize, &[i8]) -> Result<W, QuantError>,
    ) -> Result<Self, QuantError> {
        let padded = n.next_multiple_of(PANEL);
        let mut padded_scales = zeroed(n, k, padded)?;
        let mut sums = zeroed(n, k, padded)?;
        padded_scales[..n].copy_from_slice(scales);
        if k > 0 {
            for (row, sum) in weights.chunks_exact(k).zip(sums.iter_mut()) {
                // Sums of parts fit 32 bits, of which vectors have more.
                let parts = row.chunks(1 << 16).map(|part| part.iter().map(|w| i32::from(*w)).sum::<i32>());
                *sum = parts.map(i64::from).sum::<i64>() as f32;
            }
        }
        Ok(Bytes { weights: pack(n, k, weights)?, scales: padded_scales.into(), sums: sums.into() })
    }

    /// Bytes of scales and sums.
    fn table_bytes(&self) -> usize {
        size_of_val(&self.scales[..]) + size_of_val(&self.sums[..])
    }
}

/// Codes, the scales of their groups, and for each channel, to the end of the last panel, the sum of its weights.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    pub(crate) precision: Precision,
    pub(crate) layout: Layout,
    pub(crate) codes: Elements<u8>,
    pub(crate) scales: Elements<f16>,
    pub(crate) sums: Elements<f32>,
}

impl Groups {
    /// Packs the values of `bits` in groups.
    fn pack(n: usize, k: usize, q: &GroupQuantized, bits: Bits, group: Group) -> Result<Groups, QuantError> {
        let (precision, layout) = match bits {
            Bits::Two => (Precision::Int2(group), Layout::S2(group)),
            Bits::Four => (Precision::Int4(group), Layout::S4(group)),
        };
        let group = group.size();
        let len = layout.len(n, k).ok_or(QuantError::TooLarge { n, k })?;
        let groups = k.div_ceil(group);
        let (mut codes, mut sums) = (zeroed(n, k, len)?, zeroed(n, k, n.next_multiple_of(PANEL))?);
        pack_codes(&q.values, n, k, layout, &mut codes);
        if k > 0 {
            let rows = q.values.chunks_exact(k).zip(q.scales.chunks_exact(groups));
            for ((values, scales), sum) in rows.zip(sums.iter_mut()) {
                let part = |(values, scale): (&[i8], &f16)| {
                    f64::from(values.iter().map(|v| i32::from(*v)).sum::<i32>()) * f64::from(scale.to_f32())
                };
                *sum = values.chunks(group).zip(scales).map(part).sum::<f64>() as f32;
            }
        }
        let scales = packed(n, groups, &q.scales)?;
        Ok(Groups { precision, layout, codes: codes.into(), scales, sums: sums.into() })
    }

    /// The matrix as kernels take it.
    fn view(&self, n: usize, k: usize) -> Grouped<'_> {
        let grouped = Grouped::new(&self.codes, &self.scales, self.layout, n, k);
        grouped.expect("a matrix holds weights of its packed length")
    }
}

impl Matrix {
    /// Packs `n` rows of `k` weights in the given precision, rounding to the nearest.
    ///
    /// # Errors
    /// If the length is not `n · k`, a weight is not finite and integers are asked for, the scale of a group is beyond an
    /// f16, or memory does not suffice.
    pub fn from_f32(n: usize, k: usize, weights: &[f32], precision: Precision) -> Result<Matrix, QuantError> {
        check_length("weights", n, k, weights.len())?;
        let data = match precision {
            Precision::F32 => Data::F32(packed(n, k, weights)?),
            Precision::Bf16 => Data::Bf16(packed(n, k, &narrowed(weights, bf16::from_f32))?),
            Precision::F16 => Data::F16(packed(n, k, &narrowed(weights, f16::from_f32))?),
            Precision::Int8 => {
                let q = quantize_rows(n, k, weights)?;
                Data::Int8(Bytes::pack(n, k, &q.bytes, &q.scales, packed)?)
            }
            Precision::F32Sparse => Data::F32Sparse(Blocks::pack(n, k, weights)?),
            Precision::Int8Sparse => {
                let q = quantize_rows(n, k, weights)?;
                Data::Int8Sparse(Bytes::pack(n, k, &q.bytes, &q.scales, Blocks::pack)?)
            }
            Precision::Int4(group) => {
                let q = quantize_groups(n, k, weights, Bits::Four, group.size())?;
                Data::Grouped(Groups::pack(n, k, &q, Bits::Four, group)?)
            }
            Precision::Int2(group) => {
                let q = quantize_groups(n, k, weights, Bits::Two, group.size())?;
                Data::Grouped(Groups::pack(n, k, &q, Bits::Two, group)?)
            }
        };
        Ok(Matrix { n, k, level: Level::detect(), data })
    }

    /// As [`from_f32`](Matrix::from_f32), with the rounding errors of integers made to cancel in the output that samples
    /// give ([`calibrate_rows`], [`calibrate_groups`]). Floats are rounded to the nearest, and so are sparse integers: what
    /// makes up for an error would fill the blocks that are left out.
    ///
    /// # Errors
    /// As for `from_f32`, or if the samples are not of `k` columns.
    pub fn calibrated(
        n: usize,
        k: usize,
        weights: &[f32],
        precision: Precision,
        calibration: &Calibration,
    ) -> Result<Matrix, QuantError> {
        let groups = |bits, group: Group| {
            let q = calibrate_groups(n, k, weights, bits, group.size(), calibration)?;
            Matrix::from_groups(n, k, &q, bits, group)
        };
        match precision {
            Precision::F32
            | Precision::F32Sparse
            | Precision::Bf16
            | Precision::F16
            | Precision::Int8Sparse => Matrix::from_f32(n, k, weights, precision),
            Precision::Int8 => {
                let q = calibrate_rows(n, k, weights, calibration)?;
                Matrix::from_int8(n, k, &q.bytes, &q.scales)
            }
            Precision::Int4(group) => groups(Bits::Four, group),
            Precision::Int2(group) => groups(Bits::Two, group),
        }
    }

    /// Packs bytes that were quantized elsewhere, `w = scale · q` with one scale a row.
    ///
    /// # Errors
    /// If a length is wrong, a scale is not finite, or memory does not suffice.
    pub fn from_int8(n: usize, k: usize, weights: &[i8], scales: &[f32]) -> Result<Matrix, QuantError> {
        check_length("weights", n, k, weights.len())?;
        if scales.len() != n {
            return Err(QuantError::Length { what: "scales", n, k, expected: n, actual: scales.len() });
        }
        check_finite("scale", scales)?;
        let data = Data::Int8(Bytes::pack(n, k, weights, scales, packed)?);
        Ok(Matrix { n, k, level: Level::detect(), data })
    }

    /// Packs values of few bits that were quantized elsewhere, `w = scale · value` with one scale a group of a row.
    ///
    /// # Errors
    /// If a length is wrong, there is no such value of these bits, a scale is not finite, or memory does not suffice.
    pub fn from_groups(
        n: usize,
        k: usize,
        weights: &GroupQuantized,
        bits: Bits,
        group: Group,
    ) -> Result<Matrix, QuantError> {
        let GroupQuantized { values, scales } = weights;
        check_length("weights", n, k, values.len())?;
        let expected = n * k.div_ceil(group.size());
        if scales.len() != expected {
            return Err(QuantError::Length { what: "scales", n, k, expected, actual: scales.len() });
        }
        if let Some(index) = values.iter().position(|value| !bits.has(*value)) {
            return Err(QuantError::Value { index, value: values[index], bits: bits.count() });
        }
        if let Some(index) = scales.iter().position(|scale| !scale.is_finite()) {
            let value = scales[index].to_f32();
            return Err(QuantError::NotFinite { what: "scale of a group", index, value });
        }
        let data = Data::Grouped(Groups::pack(n, k, weights, bits, group)?);
        Ok(Matrix { n, k, level: Level::detect(), data })
    }

    /// The matrix of weights that are packed already; their lengths fit.
    pub(crate) fn of_data(n: usize, k: usize, level: Level, data: Data) -> Matrix {
        Matrix { n, k, level, data }
    }

    /// The same matrix, to be multiplied with the instructions of `level`. The packed form is the same at all of them.
    #[must_use]
    pub fn at_level(self, level: Level) -> Matrix {
        Matrix { level, ..self }
    }

    /// Output channels.
    pub fn rows(&self) -> usize {
        self.n
    }

    /// Input features.
    pub fn columns(&self) -> usize {
        self.k
    }

    /// As [`columns`](Matrix::columns).
    pub fn cols(&self) -> usize {
        self.k
    }

    /// The number format.
    pub fn precision(&self) -> Precision {
        match &self.data {
            Data::F32(_) => Precision::F32,
            Data::Bf16(_) => Precision::Bf16,
            Data::F16(_) => Precision::F16,
            Data::Int8(_) => Precision::Int8,
            Data::F32Sparse(_) => Precision::F32Sparse,
            Data::Int8Sparse(_) => Precision::Int8Sparse,
            Data::Grouped(g) => g.precision,
        }
    }

    /// A rectangle of the product of quantized activations with a matrix of integers; of any other nothing.
    pub(crate) fn gemm_bytes<'a>(&'a self, x: &Quantized<'_>, epilogue: &Epilogue<'a>, out: OutMut<'_>) {
        let (n, k) = (self.n, self.k);
        match &self.data {
            Data::Int8(b) => {
                gemm_s8(self.level, x, view(&b.weights, n, k), &b.scales, &b.sums, epilogue, out);
            }
            Data::Int8Sparse(b) => {
                gemm_s8_sparse(self.level, x, b.weights.view(), &b.scales, &b.sums, epilogue, out);
            }
            Data::Grouped(g) => gemm_grouped(self.level, x, g.view(n, k), &g.sums, epilogue, out),
            _ => {}
        }
    }

    /// As [`gemm_bytes`](Matrix::gemm_bytes) for sparse integers and rows in panels.
    pub(crate) fn gemm_byte_panels<'a>(
        &'a self,
        x: Panels<'_>,
        params: View<'_, f32, 2>,
        epilogue: &Epilogue<'a>,
        out: OutMut<'_>,
    ) {
        if let Data::Int8Sparse(b) = &self.data {
            let weights = b.weights.view();
            gemm_s8_sparse_panels(self.level, x, params, weights, &b.scales, &b.sums, epilogue, out);
        }
    }

    /// Whether activations that were prepared for `other` serve this matrix, too.
    pub fn takes_as(&self, other: &Matrix) -> bool {
        (self.precision(), self.level) == (other.precision(), other.level)
    }

    /// The instruction set that products take.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How the weights are laid out.
    pub fn layout(&self) -> Layout {
        match &self.data {
            Data::F32(_) => Layout::F32,
            Data::Bf16(_) => Layout::Bf16,
            Data::F16(_) => Layout::F16,
            Data::Int8(_) => Layout::S8,
            Data::F32Sparse(_) => Layout::F32Sparse,
            Data::Int8Sparse(_) => Layout::S8Sparse,
            Data::Grouped(g) => g.layout,
        }
    }

    /// The name of the kernel that products take.
    pub fn kernel(&self) -> String {
        match &self.data {
            Data::F32(_) => f32_kernel(self.level),
            Data::Bf16(_) => bf16_kernel(self.level),
            Data::F16(_) => widened_kernel::<f16>(self.level),
            Data::Int8(_) => s8_kernel(self.level),
            Data::F32Sparse(_) => sparse_f32_kernel(self.level),
            Data::Int8Sparse(_) => sparse_s8_kernel(self.level),
            Data::Grouped(g) => grouped_kernel(self.level, g.layout),
        }
    }

    /// Bytes that the packed weights take, with their padding, scales and sums.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::F32(w) => size_of_val(&w[..]),
            Data::Bf16(w) => size_of_val(&w[..]),
            Data::F16(w) => size_of_val(&w[..]),
            Data::Int8(b) => size_of_val(&b.weights[..]) + b.table_bytes(),
            Data::F32Sparse(b) => b.bytes(),
            Data::Int8Sparse(b) => b.weights.bytes() + b.table_bytes(),
            Data::Grouped(g) => {
                size_of_val(&g.codes[..]) + size_of_val(&g.scales[..]) + size_of_val(&g.sums[..])
            }
        }
    }

    /// Writes the weights of an output channel, as embeddings tied to a head need them.
    ///
    /// # Errors
    /// If there is no such row or `out` is not of a row's length.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), QuantError> {
        let (n, k) = (self.n, self.k);
        if row >= n || out.len() != k {
            let (x, out) = (vec![row], vec![out.len()]);
            return Err(QuantError::Shapes { x, weights: [n, k], out });
        }
        match &self.data {
            Data::F32(w) => unpack(w, k, row, out, |w| w),
            Data::Bf16(w) => unpack(w, k, row, out, bf16::to_f32),
            Data::F16(w) => unpack(w, k, row, out, f16::to_f32),
            Data::Int8(b) => {
                let scale = b.scales[row];
                unpack(&b.weights, k, row, out, |w| f32::from(w) * scale);
            }
            Data::F32Sparse(b) => b.row(row, out, |w| w),
            Data::Int8Sparse(b) => {
                let scale = b.scales[row];
                b.weights.row(row, out, |w| f32::from(w) * scale);
            }
            Data::Grouped(g) => {
                let weights = g.view(n, k);
                out.iter_mut().enumerate().for_each(|(column, out)| *out = weights.get(row, column));
            }
        }
        Ok(())
    }
}

/// The matrix as kernels take it. Its length was made to fit, so there is always one.
pub(crate) fn view<T: Element>(data: &[T], n: usize, k: usize) -> Packed<'_, T> {
    Packed::new(data, n, k).expect("a matrix holds weights of its packed length")
}

fn unpack<T: Element>(data: &[T], k: usize, row: usize, out: &mut [f32], widen: impl Fn(T) -> f32) {
    let group = T::LAYOUT.group();
    for (i, out) in out.chunks_mut(group).enumerate() {
        let at = T::LAYOUT.position(k, row, i * group);
        for (out, w) in out.iter_mut().zip(&data[at..at + group]) {
            *out = widen(*w);
        }
    }
}

fn narrowed<T>(weights: &[f32], narrow: impl Fn(f32) -> T) -> Vec<T> {
    weights.iter().map(|w| narrow(*w)).collect()
}

fn zeroed<T: bytemuck::Pod>(n: usize, k: usize, len: usize) -> Result<AlignedVec<T>, QuantError> {
    AlignedVec::try_zeroed(len).map_err(|_| QuantError::TooLarge { n, k })
}

fn packed<T: Element + bytemuck::Pod>(n: usize, k: usize, weights: &[T]) -> Result<Elements<T>, QuantError> {
    let len = T::LAYOUT.len(n, k).ok_or(QuantError::TooLarge { n, k })?;
    let mut out = zeroed(n, k, len)?;
    pack(weights, n, k, k, &mut out);
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        for (n, k) in [(1, 1), (17, 5), (33, 8), (0, 4), (4, 0)] {
            let weights: Vec<f32> = (0..n * k).map(|i| ((i * 7 % 31) as f32 - 15.0) / 16.0).collect();
            for precision in [Precision::F32, Precision::Bf16, Precision::F16, Precision::Int8] {
                let matrix = Matrix::from_f32(n, k, &weights, precision).unwrap();
                assert_eq!((matrix.rows(), matrix.columns(), matrix.precision()), (n, k, precision));
                let mut out = vec![9.0; k];
                for i in 0..n {
                    matrix.row(i, &mut out).unwrap();
                    for (got, w) in out.iter().zip(&weights[i * k..]) {
                        let error = (got - w).abs();
                        // Sixteenths are exact in each float format.
                        assert!(error <= if precision == Precision::Int8 { 0.5 / 127.0 } else { 0.0 });
                    }
                }
                assert!(matrix.row(n, &mut out).is_err());
            }
        }
    }

    #[test]
    fn rows_of_groups_come_back_as_they_were_rounded() {
        for (n, k) in [(1, 1), (17, 70), (33, 64), (0, 4), (4, 0)] {
            let weights: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.9).sin()).collect();
            for group in [Group::Of32, Group::Of64] {
                for (precision, bits) in
                    [(Precision::Int4(group), Bits::Four), (Precision::Int2(group), Bits::Two)]
                {
                    let matrix = Matrix::from_f32(n, k, &weights, precision).unwrap();
                    assert_eq!((matrix.precision(), matrix.layout().group()), (precision, group.size()));
                    let q = quantize_groups(n, k, &weights, bits, group.size()).unwrap();
                    let mut out = vec![9.0; k];
                    for i in 0..n {
                        matrix.row(i, &mut out).unwrap();
                        for (c, got) in out.iter().enumerate() {
                            let scale = q.scales[i * k.div_ceil(group.size()) + c / group.size()].to_f32();
                            assert_eq!(*got, scale * f32::from(q.values[i * k + c]), "{precision} {n}x{k}");
                        }
                    }
                }
            }
        }
        let matrix = Matrix::from_f32(16, 64, &[0.5; 1024], Precision::Int4(Group::Of32)).unwrap();
        assert_eq!(matrix.bytes(), 512 + 64 + 64);
    }

    #[test]
    fn blocks_of_zeros_take_no_bytes() {
        // Of 3×2 blocks the second of the first panel and the first of the last are zero.
        let (n, k) = (40, 20);
        let kept = |at: usize| !matches!((at / k / 16, at % k / 16), (0, 1) | (2, 0));
        let weights: Vec<f32> =
            (0..n * k).map(|at| if kept(at) { ((at * 7 % 31) as f32 - 15.0) / 16.0 } else { 0.0 }).collect();
        let pattern = 4 * 4 + 4 * 4;
        for (sparse, dense, bytes) in [
            (Precision::F32Sparse, Precision::F32, 4 * 1024 + pattern),
            (Precision::Int8Sparse, Precision::Int8, 4 * 256 + pattern + 2 * 48 * 4),
        ] {
            let dense = Matrix::from_f32(n, k, &weights, dense).unwrap();
            let matrix = Matrix::from_f32(n, k, &weights, sparse).unwrap();
            assert_eq!((matrix.precision(), matrix.bytes()), (sparse, bytes));
            assert!(matrix.layout().is_sparse());
            let (mut row, mut expected) = (vec![9.0; k], vec![8.0; k]);
            for i in 0..n {
                matrix.row(i, &mut row).unwrap();
                dense.row(i, &mut expected).unwrap();
                assert_eq!(row, expected, "{sparse} {i}");
            }
            assert!(matrix.row(n, &mut row).is_err());
        }
        let nothing = Matrix::from_f32(0, 0, &[], Precision::Int8Sparse).unwrap();
        assert_eq!(nothing.bytes(), 4);
    }

    #[test]
    fn bytes_count_padding() {
        let matrix = Matrix::from_f32(17, 5, &[0.5; 85], Precision::Int8).unwrap();
        assert_eq!(matrix.bytes(), 32 * 8 + 2 * 32 * 4);
        assert_eq!(matrix.layout().id(), "s8-n16k4");
    }

    #[test]
    fn lengths_and_values_are_checked() {
        assert!(matches!(
            Matrix::from_f32(2, 2, &[0.0; 3], Precision::F32),
            Err(QuantError::Length { expected: 4, actual: 3, .. })
        ));
        assert!(matches!(
            Matrix::from_f32(usize::MAX, 2, &[], Precision::F32),
            Err(QuantError::TooLarge { .. })
        ));
        assert!(matches!(Matrix::from_int8(1, 1, &[3], &[f32::NAN]), Err(QuantError::NotFinite { .. })));
        assert!(matches!(Matrix::from_int8(1, 1, &[3], &[]), Err(QuantError::Length { what: "scales", .. })));
        let groups = |values: &[i8], scales: &[f16], bits| {
            let weights = GroupQuantized { values: values.to_vec(), scales: scales.to_vec() };
            Matrix::from_groups(1, 2, &weights, bits, Group::Of32).map(|matrix| matrix.precision())
        };
        let one = [f16::ONE];
        assert_eq!(groups(&[-8, 7], &one, Bits::Four), Ok(Precision::Int4(Group::Of32)));
        assert_eq!(groups(&[-3, 1], &one, Bits::Two), Ok(Precision::Int2(Group::Of32)));
        assert_eq!(
            groups(&[1, 2], &one, Bits::Two).unwrap_err().to_string(),
            "weight 1 of a matrix is 2, which is no value of 2 bits"
        );
        assert!(matches!(groups(&[0, 8], &one, Bits::Four), Err(QuantError::Value { .. })));
        assert!(matches!(groups(&[1], &one, Bits::Two), Err(QuantError::Length { what: "weights", .. })));
        assert!(matches!(groups(&[1, 1], &[], Bits::Two), Err(QuantError::Length { what: "scales", .. })));
        assert!(matches!(groups(&[1, 1], &[f16::NAN], Bits::Two), Err(QuantError::NotFinite { .. })));
    }
}

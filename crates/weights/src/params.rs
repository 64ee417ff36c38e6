//! Parameters by name and shape, with every fault remembered until the end.
//!
//! A model is built by asking for its parameters one after the other, under dotted names. What is missing or of another
//! shape is written down and zeros stand in for it, so that one attempt finds all there is to find;
//! [`Params::finish`] then says whether the model may be used.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tiny_vlm_memory::AlignedVec;
use tiny_vlm_quant::{Bits, Group, GroupQuantized, Layout, Matrix, Precision, QuantError};
use tiny_vlm_tensor::Tensor;

use crate::load_error::{Misshapen, Missing, Mistyped, Unusable};
use crate::{BlockFormat, Dtype, LoadError, TensorRef, Use, Weights, packed};

/// The suffix under which the scales of a tensor of type I8 are stored: one F32 for each index of its first axis.
const SCALE: &str = "_scale";
/// Bytes of all stand-ins together, unless the checkpoint itself is larger.
const MAX_STAND_INS: usize = 64 << 20;

/// A checkpoint while a model is built from it.
///
/// ```
/// # use std::collections::HashMap;
/// # use safetensors::{Dtype, tensor::TensorView};
/// use tiny_vlm_quant::Precision;
/// use tiny_vlm_weights::{Params, Weights};
///
/// # let bytes: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
/// # let tensors = [("norm.weight", TensorView::new(Dtype::F32, vec![2], &bytes).unwrap())];
/// # let file = safetensors::serialize(tensors, None).unwrap();
/// let weights = Weights::from_bytes(file.into())?;
/// let params = Params::new(&weights, Precision::F32);
/// let norm = params.scope("norm");
/// let weight = norm.vector("weight", 2);
/// let bias = norm.vector("bias", 2);
/// assert_eq!((&weight[..], &bias[..]), (&[1.0, 2.0][..], &[0.0, 0.0][..]));
///
/// let error = params.finish().unwrap_err();
/// assert_eq!(error.missing[0].name, "norm.bias");
/// # Ok::<(), tiny_vlm_weights::WeightsError>(())
/// ```
pub struct Params<'w> {
    weights: &'w Weights,
    precision: Precision,
    /// Beginnings of names, and the least precision of what is so called.
    least: Vec<(&'static str, Precision)>,
    /// Whether what is packed is brought to the precision, too.
    repack: bool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    asked: BTreeSet<String>,
    faults: LoadError,
    /// Elements of the stand-ins so far.
    stand_ins: usize,
}

impl<'w> Params<'w> {
    /// Begins to build a model whose matrices are to be of `precision`.
    pub fn new(weights: &'w Weights, precision: Precision) -> Self {
        Self { weights, precision, least: Vec::new(), repack: false, record: Mutex::default() }
    }

    /// The same, but matrices that the checkpoint has packed, or in GGUF's `Q4_0`, are brought to the precision, too.
    /// Otherwise they stay as they are: their precision was chosen when they were made, and what is packed takes no time.
    pub fn repacking(self, repack: bool) -> Self {
        Self { repack, ..self }
    }

    /// The same, but matrices whose names begin with `prefix` are of `precision` at least.
    pub fn at_least(mut self, prefix: &'static str, precision: Precision) -> Self {
        self.least.push((prefix, precision));
        self
    }

    /// Where names have no prefix.
    pub fn root(&self) -> Scope<'_> {
        Scope { params: self, prefix: String::new() }
    }

    /// Where names begin with `name` and a dot.
    pub fn scope(&self, name: impl Display) -> Scope<'_> {
        self.root().scope(name)
    }

    /// The checkpoint.
    pub fn weights(&self) -> &'w Weights {
        self.weights
    }

    /// The precision that the matrix `name` is made in.
    pub fn precision_of(&self, name: &str) -> Precision {
        self.kept(name).unwrap_or_else(|| self.wanted(name))
    }

    fn wanted(&self, name: &str) -> Precision {
        self.least_of(name).map_or(self.precision, |least| least.max(self.precision))
    }

    /// The precision of a matrix that stays as it is stored. Blocks of `Q4_0` are groups of four bits.
    fn kept(&self, name: &str) -> Option<Precision> {
        let info = self.weights.info(name)?;
        let stored = match info.dtype {
            Dtype::Packed(layout) => Precision::of_layout(layout)?,
            Dtype::Blocks(BlockFormat::Q4_0) if info.shape.len() == 2 => Precision::Int4(Group::Of32),
            _ => return None,
        };
        (!self.repack || stored == self.wanted(name)).then_some(stored)
    }

    /// The matrix `name` as somebody was seen to [ask](crate::Use::Matrix) for it.
    pub fn matrix(&self, name: &str, shape: &[usize]) -> Matrix {
        match *shape {
            [out, channels, height, width] => self.root().kernel(name, out, [height, width], channels),
            [rows, columns] => self.root().matrix(name, rows, columns),
            _ => {
                self.unusable(name, format!("{shape:?} is the shape of no matrix"));
                self.zeros(&[0, 0], self.precision)
            }
        }
    }

    fn least_of(&self, name: &str) -> Option<Precision> {
        self.least.iter().filter(|(prefix, _)| name.starts_with(prefix)).map(|&(_, least)| least).max()
    }

    /// Lets the tensors that `which` is true for go unused: buffers that a checkpoint carries and the model computes.
    pub fn ignore(&self, which: impl Fn(&str) -> bool) {
        let mut record = self.record();
        for name in self.weights.names().filter(|name| which(name)) {
            record.asked.insert(name.to_owned());
            self.note(name, || Use::Ignored);
        }
    }

    /// Tells whoever watches.
    fn note(&self, name: &str, what: impl FnOnce() -> Use) {
        if let Some(watch) = self.weights.watch() {
            watch.note(name, what());
        }
    }

    /// All that is wrong, or nothing: every tensor asked for was there in its shape, and every tensor there was asked for.
    pub fn finish(self) -> Result<(), LoadError> {
        let faults = self.into_faults();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// As [`finish`](Self::finish), but tensors that were not asked for are returned instead of being an error.
    pub fn finish_with_extra(self) -> Result<Vec<String>, LoadError> {
        let faults = self.into_faults();
        if faults.is_fatal() { Err(faults) } else { Ok(faults.extra) }
    }

    fn into_faults(self) -> LoadError {
        let Record { asked, mut faults, .. } =
            self.record.into_inner().unwrap_or_else(PoisonError::into_inner);
        faults.missing.sort();
        faults.misshapen.sort();
        faults.mistyped.sort_by(|a, b| a.name.cmp(&b.name));
        faults.unusable.sort();
        faults.missing.dedup();
        faults.misshapen.dedup();
        faults.mistyped.dedup();
        faults.unusable.dedup();
        faults.extra =
            self.weights.names().filter(|&name| !asked.contains(name)).map(str::to_owned).collect();
        faults
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tensor `name`, if its shape is one that `fits`; otherwise `None` and a fault.
    fn find(&self, name: &str, expected: &[usize], fits: impl Fn(&[usize]) -> bool) -> Option<TensorRef<'w>> {
        let found = self.weights.get(name);
        let mut record = self.record();
        record.asked.insert(name.to_owned());
        let Some(tensor) = found else {
            record.faults.missing.push(Missing { name: name.to_owned(), expected: expected.to_vec() });
            return None;
        };
        if !fits(tensor.shape()) {
            record.faults.misshapen.push(Misshapen {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: tensor.shape().to_vec(),
            });
            return None;
        }
        if !tensor.is_readable() && !matches!(tensor.dtype(), Dtype::Packed(_)) {
            record.faults.mistyped.push(Mistyped { name: name.to_owned(), found: tensor.dtype() });
            return None;
        }
        Some(tensor)
    }

    fn unusable(&self, name: &str, reason: String) {
        self.record().faults.unusable.push(Unusable { name: name.to_owned(), reason });
    }

    /// The scales of `tensor` if it is quantized: of type I8, with a tensor of scales beside it.
    fn scales(&self, name: &str, tensor: &TensorRef<'_>) -> Option<AlignedVec<f32>> {
        if tensor.dtype() != Dtype::I8 {
            return None;
        }
        let rows = tensor.shape().first().copied().unwrap_or(1);
        let name = format!("{name}{SCALE}");
        self.note(&name, || Use::Scales);
        let fits = |shape: &[usize]| shape.iter().product::<usize>() == rows;
        let stored = self.find(&name, &[rows], fits).and_then(|stored| {
            let mut scales = AlignedVec::try_zeroed(rows).ok()?;
            stored.read_f32(&mut scales);
            Some(scales)
        });
        // Zeros stand in for scales that are missing, like for anything else.
        stored.or_else(|| self.stand_in(&[rows]))
    }

    /// All elements as f32, by their scales where they have some.
    fn read(&self, name: &str, tensor: &TensorRef<'_>) -> Option<AlignedVec<f32>> {
        if let Dtype::Packed(layout) = tensor.dtype() {
            return self.unpack(name, layout, tensor.shape());
        }
        let mut values = AlignedVec::try_zeroed(tensor.elements()).ok()?;
        tensor.read_f32(&mut values);
        if let Some(scales) = self.scales(name, tensor) {
            let row = (values.len() / scales.len().max(1)).max(1);
            for (row, scale) in values.chunks_exact_mut(row).zip(scales.iter()) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        Some(values)
    }

    /// The matrix that a packed tensor holds.
    fn packed(&self, name: &str, layout: Layout, [rows, columns]: [usize; 2]) -> Option<Matrix> {
        let bytes = self.weights.shared(name)?;
        match Matrix::from_packed(layout, rows, columns, bytes) {
            Ok(matrix) => Some(matrix),
            Err(error) => {
                self.unusable(name, error.to_string());
                None
            }
        }
    }

    /// The elements of a packed tensor in the order of its shape.
    fn unpack(&self, name: &str, layout: Layout, shape: &[usize]) -> Option<AlignedVec<f32>> {
        let [rows, columns] = packed::sides(shape)?;
        let matrix = self.packed(name, layout, [rows, columns])?;
        // Of a matrix of zeros next to nothing is stored.
        let mut values =
            self.within_reason(rows * columns).then(|| AlignedVec::try_zeroed(rows * columns).ok())??;
        for (i, row) in values.chunks_exact_mut(columns.max(1)).enumerate() {
            matrix.row(i, row).ok()?;
        }
        let taps = shape[2..].iter().product();
        taps_outermost(&mut values, taps, shape[1]);
        Some(values)
    }

    /// Whether so many elements are no more than this checkpoint can justify.
    fn within_reason(&self, elements: usize) -> bool {
        elements <= MAX_STAND_INS.max(self.weights.stored_bytes().saturating_mul(8)) / size_of::<f32>()
    }

    /// A matrix of zeros in place of a faulty one, or of nothing where a [stand-in](Self::stand_in) would be too large.
    fn zeros(&self, shape: &[usize], precision: Precision) -> Matrix {
        let zeros = packed::sides(shape).and_then(|sides| Some((sides, self.stand_in(shape)?)));
        let zeros = zeros.and_then(|([n, k], zeros)| Matrix::from_f32(n, k, &zeros, precision).ok());
        zeros.unwrap_or_else(|| Matrix::from_f32(0, 0, &[], precision).expect("a matrix of nothing"))
    }

    /// Zeros in place of a faulty tensor. What only a broken configuration asks for, one size or the sum of many, is
    /// not honoured: `None`.
    fn stand_in(&self, shape: &[usize]) -> Option<AlignedVec<f32>> {
        let most = MAX_STAND_INS.max(self.weights.stored_bytes().saturating_mul(4)) / size_of::<f32>();
        let elements = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis))?;
        let mut record = self.record();
        let sum = record.stand_ins.checked_add(elements).filter(|&sum| sum <= most)?;
        record.stand_ins = sum;
        AlignedVec::try_zeroed(elements).ok()
    }
}

/// A place in a checkpoint: the beginning that names have in common.
///
/// Everything asked for is either as it should be or is recorded as a fault, and then zeros are returned. Where those
/// would come to several times the checkpoint, which only a broken configuration asks for, something empty is
/// returned, so code that rearranges parameters takes sizes from what it got.
#[derive(Clone)]
pub struct Scope<'p> {
    params: &'p Params<'p>,
    prefix: String,
}

impl<'p> Scope<'p> {
    /// The place `name` within this one.
    pub fn scope(&self, name: impl Display) -> Scope<'p> {
        Scope { params: self.params, prefix: self.name(name) }
    }

    /// The full name of `leaf` here.
    pub fn name(&self, leaf: impl Display) -> String {
        if self.prefix.is_empty() { leaf.to_string() } else { format!("{}.{leaf}", self.prefix) }
    }

    /// Whether the checkpoint has a tensor `leaf` here. Asking is no fault.
    pub fn contains(&self, leaf: &str) -> bool {
        self.params.weights.info(&self.name(leaf)).is_some()
    }

    /// The shape of `leaf` as stored, for models whose sizes are said nowhere else.
    pub fn shape(&self, leaf: &str) -> Option<&'p [usize]> {
        self.params.weights.info(&self.name(leaf)).map(|info| &info.shape[..])
    }

    /// `n` numbers. Axes of length one around them do not matter.
    pub fn vector(&self, leaf: &str, n: usize) -> AlignedVec<f32> {
        let name = self.name(leaf);
        let fits = |shape: &[usize]| {
            shape.iter().filter(|&&axis| axis != 1).eq(std::iter::once(&n).filter(|&&n| n != 1))
        };
        self.params.note(&name, || Use::Numbers);
        let found = self.params.find(&name, &[n], fits).and_then(|tensor| self.params.read(&name, &tensor));
        found.or_else(|| self.params.stand_in(&[n])).unwrap_or_default()
    }

    /// `n` numbers, if the checkpoint has them.
    pub fn optional_vector(&self, leaf: &str, n: usize) -> Option<AlignedVec<f32>> {
        self.contains(leaf).then(|| self.vector(leaf, n))
    }

    /// A tensor of exactly this shape.
    pub fn tensor<const R: usize>(&self, leaf: &str, shape: [usize; R]) -> Tensor<f32, R> {
        let name = self.name(leaf);
        self.params.note(&name, || Use::Numbers);
        let found = self.params.find(&name, &shape, |found| found == shape);
        let values = found.and_then(|tensor| self.params.read(&name, &tensor));
        let values = values.or_else(|| self.params.stand_in(&shape));
        values
            .and_then(|values| Tensor::from_vec(shape, values).ok())
            .unwrap_or_else(|| Tensor::zeroed([0; R]))
    }

    /// A tensor of exactly this shape, if the checkpoint has it.
    pub fn optional_tensor<const R: usize>(&self, leaf: &str, shape: [usize; R]) -> Option<Tensor<f32, R>> {
        self.contains(leaf).then(|| self.tensor(leaf, shape))
    }

    /// A matrix of `n` rows (what comes out) and `k` columns (what goes in), stored as `[n, k]`, with axes of length one
    /// behind them or not. It becomes the precision of [`Params::precision_of`], whatever it is stored in; what is stored as I8
    /// with scales beside it, and is to be int8, stays as it is, and so does what is [packed](Params::repacking).
    pub fn matrix(&self, leaf: &str, n: usize, k: usize) -> Matrix {
        let fits = |shape: &[usize]| {
            shape.len() >= 2 && shape[..2] == [n, k] && shape[2..].iter().all(|&axis| axis == 1)
        };
        self.matrix_of(leaf, &[n, k], fits, |values: &mut [f32]| _ = values, |values: &mut [i8]| _ = values)
    }

    /// The kernel of a convolution as a matrix: stored as PyTorch has it, `[out, in, height, width]`; here a row for each
    /// output with columns in the order height, width, in, as rows of NHWC patches are.
    pub fn kernel(&self, leaf: &str, out: usize, [height, width]: [usize; 2], channels: usize) -> Matrix {
        let expected = [out, channels, height, width];
        let taps = height.saturating_mul(width);
        self.matrix_of(
            leaf,
            &expected,
            |shape| shape == expected,
            |values| taps_outermost(values, channels, taps),
            |values| taps_outermost(values, channels, taps),
        )
    }

    /// A matrix of `n` rows and `k` columns of values that were computed from the checkpoint's, where several tensors
    /// are folded into one. It becomes the precision of [`Params::precision_of`] `leaf` here, which the checkpoint need
    /// not have. Values of another number are what stands in for faulty tensors and make an empty matrix.
    pub fn made_matrix(&self, leaf: &str, n: usize, k: usize, values: &[f32]) -> Matrix {
        let name = self.name(leaf);
        let precision = self.params.precision_of(&name);
        if n.checked_mul(k) == Some(values.len()) {
            match Matrix::from_f32(n, k, values, precision) {
                Ok(matrix) => return matrix,
                Err(error) => self.params.unusable(&name, error.to_string()),
            }
        }
        Matrix::from_f32(0, 0, &[], precision).expect("a matrix of nothing")
    }

    fn matrix_of(
        &self,
        leaf: &str,
        expected: &[usize],
        fits: impl Fn(&[usize]) -> bool,
        arrange: impl Fn(&mut [f32]),
        arrange_int8: impl Fn(&mut [i8]),
    ) -> Matrix {
        let name = self.name(leaf);
        let precision = self.params.precision_of(&name);
        let rows = expected[0];
        let columns = expected[1..].iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
        let least = || self.params.least_of(&name);
        self.params.note(&name, || Use::Matrix { shape: expected.to_vec(), least: least() });
        let tensor = self.params.find(&name, expected, fits);
        if let (Some(tensor), Some(columns)) = (tensor, columns) {
            if let Some(matrix) = self.params.weights.instead_of(&name, [rows, columns]) {
                return matrix;
            }
            let kept = self.params.kept(&name).map(|_| tensor.dtype());
            if let Some(Dtype::Packed(layout)) = kept {
                let matrix = self.params.packed(&name, layout, [rows, columns]);
                return matrix.unwrap_or_else(|| self.params.zeros(expected, precision));
            }
            let stored = tensor.as_i8().filter(|_| precision == Precision::Int8);
            let scales = stored.and_then(|_| self.params.scales(&name, &tensor));
            let made = if let Some(Dtype::Blocks(BlockFormat::Q4_0)) = kept {
                Some(groups_of_four_bits(rows, columns, &tensor))
            } else if let (Some(stored), Some(scales)) = (stored, scales) {
                let mut values = stored.to_vec();
                arrange_int8(&mut values);
                Some(Matrix::from_int8(rows, columns, &values, &scales))
            } else {
                self.params.read(&name, &tensor).map(|mut values| {
                    arrange(&mut values);
                    Matrix::from_f32(rows, columns, &values, precision)
                })
            };
            match made {
                Some(Ok(matrix)) => return matrix,
                Some(Err(error)) => self.params.unusable(&name, error.to_string()),
                None => self.params.unusable(&name, "no memory".to_owned()),
            }
        }
        self.params.zeros(expected, precision)
    }
}

/// The matrix of `n` rows of `k` columns whose blocks of `Q4_0` a tensor holds: nothing is rounded.
fn groups_of_four_bits(n: usize, k: usize, tensor: &TensorRef<'_>) -> Result<Matrix, QuantError> {
    let format = BlockFormat::Q4_0;
    let mut values = vec![0; tensor.elements()];
    let blocks = tensor.bytes().chunks_exact(format.bytes()).zip(values.chunks_exact_mut(format.values()));
    let scales = blocks.map(|(block, values)| BlockFormat::read_q4_0(block, values)).collect();
    Matrix::from_groups(n, k, &GroupQuantized { values, scales }, Bits::Four, Group::Of32)
}

/// Turns each row of `channels` × `taps` numbers, as PyTorch has a kernel, into one of `taps` × `channels`, as convolutions
/// take it.
pub fn taps_outermost<T: Copy>(values: &mut [T], channels: usize, taps: usize) {
    if channels == 1 || taps == 1 {
        return;
    }
    let mut row = Vec::new();
    for values in values.chunks_exact_mut((channels * taps).max(1)) {
        row.clear();
        row.extend_from_slice(values);
        for (tap, out) in values.chunks_exact_mut(channels.max(1)).enumerate() {
            for (to, from) in out.iter_mut().zip(row[tap..].iter().step_by(taps)) {
                *to = *from;
            }
        }
    }
}

//! Linear layers: activations by a matrix, shared out over threads.

use half::bf16;
use tiny_vlm_kernels::{
    Epilogue, Lhs, OutMut, PANEL, Panels, Quantized, gemm_bf16, gemm_f32, gemm_f32_sparse,
    gemm_f32_sparse_panels, gemm_widened, pack_rows, quantize_rows, quantized_stride, to_bf16,
};
use tiny_vlm_memory::ScratchBuf;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut, split};

use crate::matrix::{Data, view};
use crate::{Matrix, Precision, QuantError};

/// Activations in the form that matrices of one precision take, to be multiplied by several of them: the queries,
/// keys and values of attention, say.
pub struct Prepared<'a> {
    x: View<'a, f32, 2>,
    level: Level,
    form: Form<'a>,
}

enum Form<'a> {
    /// As they are, for f32 and f16.
    Float,
    /// Rounded, two a word.
    Bf16(ScratchBuf<'a, f32>),
    /// As bytes with their scales and zeros.
    Bytes(ScratchBuf<'a, f32>),
    /// In panels, for sparse f32.
    Panels(ScratchBuf<'a, f32>),
    /// As bytes with their scales and zeros, and the bytes again in panels, for sparse int8.
    BytePanels(ScratchBuf<'a, f32>, ScratchBuf<'a, f32>),
}

/// Up to so many rows a product takes as long as reading the weights does.
const READING_ROWS: usize = 8;

/// The least rows of a task that has all channels: fewer would wait for the weights.
const TASK_ROWS: usize = 48;

/// Words of a cache line.
pub(crate) const LINE: usize = 16;

/// Up to so many rows sparse weights are multiplied row by row. A panel of 16 rows costs as much whatever part of it is
/// filled, but reads the weights once.
const FEW_ROWS: usize = 4;

impl<'a> Prepared<'a> {
    /// Brings activations into the form that `weights` and others of its precision and level take.
    pub fn new(ctx: &Context<'a>, x: View<'a, f32, 2>, weights: &Matrix) -> Self {
        let ([rows, k], level) = (x.shape(), weights.level());
        let many = rows > FEW_ROWS;
        let form = match weights.precision() {
            Precision::F32Sparse if many => Form::Panels(panels(ctx, x, level)),
            Precision::F32Sparse => Form::Float,
            Precision::F32 | Precision::F16 => Form::Float,
            Precision::Bf16 => Form::Bf16(converted(ctx, x, weights)),
            Precision::Int8Sparse if many => {
                let buffer = converted(ctx, x, weights);
                let stride = row_words(Precision::Int8Sparse, k);
                let words = View::new([rows, stride], &buffer[..]).map(|w| w.slice(1, 2..2 + k.div_ceil(4)));
                match words {
                    Ok(words) => {
                        let panels = panels(ctx, words, level);
                        Form::BytePanels(buffer, panels)
                    }
                    Err(_) => Form::Bytes(buffer),
                }
            }
            Precision::Int8 | Precision::Int8Sparse | Precision::Int4(_) | Precision::Int2(_) => {
                Form::Bytes(converted(ctx, x, weights))
            }
        };
        Prepared { x, level, form }
    }

    /// Rows and columns of the activations.
    pub fn shape(&self) -> [usize; 2] {
        self.x.shape()
    }

    fn name(&self) -> &'static str {
        match self.form {
            Form::Float => "f32 or f16",
            Form::Bf16(_) => "bf16",
            Form::Bytes(_) => "int8, int4 or int2",
            Form::Panels(_) => "f32-sparse",
            Form::BytePanels(..) => "int8-sparse",
        }
    }
}

/// Words that a row of `k` values takes in the form that products of a precision read; none where that is f32.
pub(crate) fn row_words(precision: Precision, k: usize) -> usize {
    match precision {
        Precision::F32 | Precision::F16 | Precision::F32Sparse => 0,
        Precision::Bf16 => k.div_ceil(2),
        _ => quantized_stride(k),
    }
}

/// Brings rows of `x`, from the row `first` on, into the form that `weights` take: as many as there is room for.
pub(crate) fn convert_rows(x: View<'_, f32, 2>, first: usize, weights: &Matrix, to: &mut [f32]) {
    let (level, stride) = (weights.level(), row_words(weights.precision(), x.shape()[1]));
    if stride == 0 {
        return;
    }
    if weights.precision() == Precision::Bf16 {
        let padded = 2 * stride;
        for (i, row) in bytemuck::cast_slice_mut::<f32, bf16>(to).chunks_exact_mut(padded).enumerate() {
            to_bf16(level, x.row(first + i), row);
        }
    } else if let Ok(whole) = ViewMut::new([to.len() / stride, stride], to) {
        quantize_rows(level, x, OutMut::at([first, 0], whole));
    }
}

/// All rows of `x` in the form that `weights` take, shared out over threads.
fn converted<'a>(ctx: &Context<'a>, x: View<'_, f32, 2>, weights: &Matrix) -> ScratchBuf<'a, f32> {
    let [rows, k] = x.shape();
    let stride = row_words(weights.precision(), k);
    let mut buffer = ctx.scratch.take::<f32>(rows * stride);
    if stride > 0 {
        let count = chunk_rows(ctx, rows, k);
        split::for_each_chunk(ctx.executor, &mut buffer, count * stride, |i, part| {
            convert_rows(x, i * count, weights, part);
        });
    }
    buffer
}

/// Rows of words in panels.
fn panels<'a>(ctx: &Context<'a>, x: View<'_, f32, 2>, level: Level) -> ScratchBuf<'a, f32> {
    let [rows, columns] = x.shape();
    let mut buffer = ctx.scratch.take::<f32>(rows.next_multiple_of(PANEL) * columns);
    if columns > 0 {
        let count = chunk_rows(ctx, rows, columns).next_multiple_of(PANEL);
        split::for_each_chunk(ctx.executor, &mut buffer, count * columns, |i, part| {
            pack_rows(level, x.slice(0, i * count..rows.min((i + 1) * count)), part);
        });
    }
    buffer
}

/// Rows of a preparation task: one task where there is only one thread or little to do.
fn chunk_rows(ctx: &Context<'_>, rows: usize, k: usize) -> usize {
    let threads = ctx.executor.threads();
    if threads == 1 || rows * k < 1 << 16 { rows.max(1) } else { rows.div_ceil(4 * threads).max(1) }
}

/// Writes `epilogue(x · weightsᵀ)` to `out`.
///
/// # Errors
/// If the shapes do not fit one another; nothing is written then.
pub fn matmul(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    weights: &Matrix,
    epilogue: &Epilogue<'_>,
    out: ViewMut<'_, f32, 2>,
) -> Result<(), QuantError> {
    let ([m, k], n) = (x.shape(), weights.rows());
    check([m, k], weights, epilogue, out.shape())?;
    let (tile, words) = (tile(ctx, [m, n, k], weights.precision()), row_words(weights.precision(), k));
    let sparse = Precision::SPARSE.contains(&weights.precision());
    if tile[1] < n || words == 0 || sparse {
        return matmul_each(ctx, &Prepared::new(ctx, x, weights), [(weights, *epilogue, out)]);
    }
    // A task that has all channels is the only one to take its rows, and converts them where it multiplies them.
    let words = (tile[0] * words).next_multiple_of(LINE);
    ctx.for_each_tile_with_scratch(out, tile, words, |[start, _], out, words: &mut [f32]| {
        let rows = start..start + out.shape()[0];
        multiply_rows(x.slice(0, rows.clone()), weights, &epilogue.rows(rows), words, out);
    });
    Ok(())
}

/// A product of dense weights on the calling thread, its activations converted in `words`.
pub(crate) fn multiply_rows(
    x: View<'_, f32, 2>,
    weights: &Matrix,
    epilogue: &Epilogue<'_>,
    words: &mut [f32],
    out: ViewMut<'_, f32, 2>,
) {
    let words = &mut words[..x.shape()[0] * row_words(weights.precision(), x.shape()[1])];
    convert_rows(x, 0, weights, words);
    if let Some(operand) = weights.operand(x, words) {
        weights.multiply(&operand, epilogue, OutMut::from(out));
    }
}

/// As [`matmul`] for one or several matrices, each with its epilogue and its output, with activations that were prepared
/// before. They are shared out over threads together, so that small ones do not wait for one another.
///
/// # Errors
/// If the shapes do not fit one another or the activations were prepared for another precision or level; nothing is
/// written then.
pub fn matmul_each<const N: usize>(
    ctx: &Context<'_>,
    x: &Prepared<'_>,
    products: [(&Matrix, Epilogue<'_>, ViewMut<'_, f32, 2>); N],
) -> Result<(), QuantError> {
    let [m, k] = x.shape();
    for (weights, epilogue, out) in &products {
        check([m, k], weights, epilogue, out.shape())?;
        x.operand(weights)?;
    }
    let maps =
        products.each_ref().map(|(weights, epilogue, _)| (*weights, x.operand(weights).ok(), *epilogue));
    let outputs = products.map(|(weights, _, out)| {
        let tile = tile(ctx, [m, weights.rows(), k], weights.precision());
        (out, tile)
    });
    split::for_each_tile_of(ctx.executor, outputs, |number, first, part| {
        let (weights, operand, epilogue) = &maps[number];
        if let Some(operand) = operand {
            weights.multiply(operand, epilogue, OutMut::at(first, part));
        }
    });
    Ok(())
}

/// Activations as the kernels of one matrix take them.
pub(crate) enum Operand<'a> {
    Float(Lhs<'a, f32>),
    Bf16(Lhs<'a, bf16>),
    Bytes(Quantized<'a>),
    Panels(Panels<'a>),
    BytePanels(Panels<'a>, View<'a, f32, 2>),
}

impl Prepared<'_> {
    /// What products with `weights` take, or an error that says what the activations were prepared for.
    fn operand(&self, weights: &Matrix) -> Result<Operand<'_>, QuantError> {
        let ([m, k], level) = (self.shape(), weights.level());
        let wrong = || QuantError::Prepared {
            prepared: format!("{} at {}", self.name(), self.level),
            weights: format!("{} at {level}", weights.precision()),
        };
        // Bytes of one level may be too large for another.
        let bytes_fit = self.level.activation_max() == level.activation_max();
        let operand = match (&weights.data, &self.form) {
            (Data::F32(_) | Data::F16(_) | Data::F32Sparse(_), Form::Float) => weights.operand(self.x, &[]),
            (Data::Bf16(_), Form::Bf16(words)) => weights.operand(self.x, words),
            (Data::F32Sparse(_), Form::Panels(words)) => Panels::new(words, m, k).map(Operand::Panels),
            (Data::Int8Sparse(_), Form::BytePanels(words, panels)) if bytes_fit => {
                let params = View::with_strides([m, 2], [row_words(Precision::Int8Sparse, k), 1], words).ok();
                let panels = Panels::new(panels, m, k.div_ceil(4));
                panels.zip(params).map(|(panels, params)| Operand::BytePanels(panels, params))
            }
            (Data::Int8(_) | Data::Int8Sparse(_) | Data::Grouped(_), Form::Bytes(words)) if bytes_fit => {
                weights.operand(self.x, words)
            }
            _ => None,
        };
        operand.ok_or_else(wrong)
    }
}

impl Matrix {
    /// The rows of `x` as the kernels of this matrix take them, those for bytes and bf16 in the `words` that
    /// [`convert_rows`] made of them for it.
    pub(crate) fn operand<'a>(&self, x: View<'a, f32, 2>, words: &'a [f32]) -> Option<Operand<'a>> {
        let ([m, k], stride) = (x.shape(), row_words(self.precision(), x.shape()[1]));
        match self.data {
            Data::F32(_) | Data::F16(_) | Data::F32Sparse(_) => Some(Operand::Float(Lhs::from(x))),
            Data::Bf16(_) => {
                Some(Operand::Bf16(Lhs::matrix(bytemuck::cast_slice(words), m, 2 * stride, 2 * stride)))
            }
            Data::Int8(_) | Data::Int8Sparse(_) | Data::Grouped(_) => {
                let padded = k.next_multiple_of(self.layout().group());
                let bytes = bytemuck::cast_slice(words.get(2..).unwrap_or_default());
                let params = View::with_strides([m, 2], [stride, 1], words).ok()?;
                let lhs = Lhs::matrix(bytes, m, padded, 4 * stride);
                Some(Operand::Bytes(Quantized { lhs, params }))
            }
        }
    }

    /// A rectangle of the product with activations that are for this matrix.
    pub(crate) fn multiply<'a>(&'a self, x: &Operand<'_>, epilogue: &Epilogue<'a>, out: OutMut<'_>) {
        let (n, k, level) = (self.rows(), self.columns(), self.level());
        match (&self.data, x) {
            (Data::F32(w), Operand::Float(x)) => gemm_f32(level, x, view(w, n, k), epilogue, out),
            (Data::F16(w), Operand::Float(x)) => gemm_widened(level, x, view(w, n, k), epilogue, out),
            (Data::Bf16(w), Operand::Bf16(x)) => gemm_bf16(level, x, view(w, n, k), epilogue, out),
            (Data::F32Sparse(w), Operand::Float(x)) => gemm_f32_sparse(level, x, w.view(), epilogue, out),
            (Data::F32Sparse(w), Operand::Panels(x)) => {
                gemm_f32_sparse_panels(level, *x, w.view(), epilogue, out);
            }
            (_, Operand::BytePanels(x, params)) => self.gemm_byte_panels(*x, *params, epilogue, out),
            (_, Operand::Bytes(x)) => self.gemm_bytes(x, epilogue, out),
            _ => {}
        }
    }
}

pub(crate) fn check(
    [m, k]: [usize; 2],
    weights: &Matrix,
    epilogue: &Epilogue<'_>,
    out: [usize; 2],
) -> Result<(), QuantError> {
    let n = weights.rows();
    if weights.columns() != k || out != [m, n] {
        let weights = [n, weights.columns()];
        return Err(QuantError::Shapes { x: vec![m, k], weights, out: out.to_vec() });
    }
    epilogue.fits(m, n).map_err(QuantError::Epilogue)
}

/// Rows and columns of a task. Every choice gives the same results; this one keeps tasks above some microseconds and
/// gives every thread as many of them. It cuts rows where there are enough, so that a task reads all weights for many
/// rows, and otherwise channels, in whole groups of panels, so that each reads its own.
pub(crate) fn tile(ctx: &Context<'_>, [m, n, k]: [usize; 3], precision: Precision) -> [usize; 2] {
    let (threads, m) = (ctx.executor.threads(), m.max(1));
    let work = m.max(READING_ROWS).saturating_mul(n).saturating_mul(k);
    let least = match precision {
        Precision::Int8 | Precision::Int8Sparse | Precision::Int4(_) | Precision::Int2(_) => 1 << 20,
        Precision::Bf16 => 1 << 19,
        _ => 1 << 18,
    };
    if threads == 1 || work < 2 * least {
        return [m, n.max(1)];
    }
    let even = |tasks: usize| if tasks > threads { tasks / threads * threads } else { tasks };
    let tasks = even((work / least).clamp(2, 4 * threads));
    // Tiles of sparse weights begin with a panel of rows.
    let whole = if Precision::SPARSE.contains(&precision) { 2 * PANEL } else { 1 };
    let by_rows = even((m / TASK_ROWS).min(tasks));
    if by_rows >= threads.min(tasks) {
        return [m.div_ceil(by_rows).next_multiple_of(whole), n];
    }
    let columns = n.div_ceil(tasks).next_multiple_of(4 * PANEL);
    let by_rows = threads.min(tasks).div_ceil(n.div_ceil(columns)).clamp(1, m);
    [m.div_ceil(by_rows).next_multiple_of(whole), columns]
}

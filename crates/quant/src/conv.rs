//! Dense convolution over NHWC images, in the precision of its matrix.

use half::bf16;
use tiny_vlm_kernels::{
    ConvShape, Epilogue, Lhs, OutMut, PANEL, Panels, Quantized, StripSource, copy_strip, gather_windows,
    gemm_bf16, gemm_f32, gemm_f32_sparse_panels, gemm_widened, pack_rows, quantize_strip, to_bf16,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut, split};

use crate::matmul::matmul;
use crate::matrix::{Data, view};
use crate::{Matrix, QuantError};

/// Output pixels of a strip, about: enough for the tiles of a product, few enough that the strip stays in cache.
const STRIP_PIXELS: usize = 96;

/// Writes `epilogue(x ∗ weights)` to `out`, of the height and width that `shape` gives and a channel for each row of
/// `weights`. The epilogue's matrices have a row for each output pixel.
///
/// The image is taken in strips of output rows, cut by the shape alone. In bytes each strip has one scale and zero.
///
/// # Errors
/// If the shapes do not fit one another or the image has gaps; nothing is written then.
pub fn conv2d(
    ctx: &Context<'_>,
    x: View<'_, f32, 3>,
    weights: &Matrix,
    shape: &ConvShape,
    epilogue: &Epilogue<'_>,
    out: ViewMut<'_, f32, 3>,
) -> Result<(), QuantError> {
    let [h, w, c] = x.shape();
    let [kh, kw] = shape.kernel;
    let Some([oh, ow]) = shape.output([h, w]) else {
        return Err(QuantError::Window { kernel: shape.kernel, stride: shape.stride, image: [h, w, c] });
    };
    let (n, k) = (weights.rows(), weights.columns());
    if Some(k) != kh.checked_mul(kw).and_then(|taps| taps.checked_mul(c)) || out.shape() != [oh, ow, n] {
        return Err(QuantError::Shapes { x: vec![h, w, c], weights: [n, k], out: out.shape().to_vec() });
    }
    epilogue.fits(oh * ow, n).map_err(QuantError::Epilogue)?;
    let gaps = |strides| QuantError::Gaps { shape: [h, w, c], strides };
    let image = x.data().ok_or_else(|| gaps(x.strides()))?;
    let strides = out.strides();
    let out = out.reshape([oh * ow, n]).map_err(|_| gaps(strides))?;
    if shape.kernel == [1, 1] && !shape.is_padded() {
        // A product of the pixels that it takes.
        if shape.stride == [1, 1] {
            let x = x.reshape([h * w, c]).map_err(|_| gaps(x.strides()))?;
            return matmul(ctx, x, weights, epilogue, out);
        }
        let mut taken = ctx.scratch.take::<f32>(oh * ow * c);
        split::for_each_chunk(ctx.executor, &mut taken, (ow * c).max(1), |y, line| {
            let pixels = image[y * shape.stride[0] * w * c..].chunks_exact(c).step_by(shape.stride[1]);
            line.chunks_exact_mut(c).zip(pixels).for_each(|(to, pixel)| to.copy_from_slice(pixel));
        });
        let x = View::new([oh * ow, c], &taken).map_err(|_| gaps(x.strides()))?;
        return matmul(ctx, x, weights, epilogue, out);
    }

    let strips = Strips {
        image,
        shape: [h, w, c],
        conv: *shape,
        line: ow,
        lines: STRIP_PIXELS.div_ceil(ow).max(4).min(oh),
        weights,
        epilogue,
    };
    let tile = [strips.lines * ow, strips.columns(ctx.executor.threads(), oh)];
    ctx.for_each_tile_with_scratch(out, tile, strips.words(), |first, part, lane: &mut [f32]| {
        strips.compute(first, part, lane);
    });
    Ok(())
}

/// What the tasks of a convolution share.
struct Strips<'a> {
    image: &'a [f32],
    shape: [usize; 3],
    conv: ConvShape,
    /// Output pixels of a line.
    line: usize,
    /// Output lines of a strip.
    lines: usize,
    weights: &'a Matrix,
    epilogue: &'a Epilogue<'a>,
}

impl Strips<'_> {
    /// Output channels of a task: all, unless there are too few strips to go round evenly. Each part of a strip's channels
    /// brings the strip into its own form again.
    fn columns(&self, threads: usize, height: usize) -> usize {
        let (n, k) = (self.weights.rows().max(1), self.weights.columns());
        let strips = height.div_ceil(self.lines);
        let work = strips.saturating_mul(self.lines * self.line).saturating_mul(n).saturating_mul(k);
        let parts = if threads == 1 || work < 1 << 20 {
            1
        } else if strips < 2 * threads {
            (2 * threads).div_ceil(strips)
        } else if strips < 8 * threads && !strips.is_multiple_of(threads) {
            2
        } else {
            1
        };
        if parts == 1 { n } else { n.div_ceil(parts).next_multiple_of(2 * PANEL) }
    }

    /// Values of K a step of the product takes.
    fn group(&self) -> usize {
        self.weights.layout().group()
    }

    /// Whether windows must be gathered: a kernel row is no whole number of steps, or the weights are sparse, whose
    /// blocks know nothing of kernel rows.
    fn gathers(&self) -> bool {
        self.weights.layout().is_sparse()
            || !(self.conv.kernel[1] * self.shape[2]).is_multiple_of(self.group())
    }

    /// Words of scratch of a task: a strip in the precision of the product, the same in f32 where it is rounded from
    /// that, and gathered windows.
    fn words(&self) -> usize {
        let [rows, width] = self.conv.strip(self.lines, self.shape[1]);
        let len = rows * width * self.shape[2];
        let gathered = if self.gathers() {
            let bytes = match self.weights.data {
                Data::F32(_) | Data::F16(_) | Data::F32Sparse(_) => 4,
                Data::Bf16(_) => 2,
                Data::Int8(_) | Data::Int8Sparse(_) | Data::Grouped(_) => 1,
            };
            let (rows, k) = (self.lines * self.line, self.weights.columns().next_multiple_of(self.group()));
            // Sparse weights take them in panels.
            let panels = if self.weights.layout().is_sparse() { rows.next_multiple_of(PANEL) } else { 0 };
            (rows + panels) * k * bytes / 4
        } else {
            0
        };
        gathered
            + match self.weights.data {
                Data::F32(_) | Data::F16(_) | Data::F32Sparse(_) => len,
                Data::Bf16(_) => len.div_ceil(2) + len,
                Data::Int8(_) | Data::Int8Sparse(_) | Data::Grouped(_) => len.div_ceil(4),
            }
    }

    fn compute(&self, first: [usize; 2], out: ViewMut<'_, f32, 2>, lane: &mut [f32]) {
        let rows = first[0]..first[0] + out.shape()[0];
        let lines = rows.len() / self.line;
        let source = StripSource {
            image: self.image,
            shape: self.shape,
            conv: self.conv,
            first: first[0] / self.line,
            lines,
        };
        let epilogue = self.epilogue.rows(rows);
        let out = OutMut::at([0, first[1]], out);
        let (level, n, k) = (self.weights.level(), self.weights.rows(), self.weights.columns());
        match &self.weights.data {
            Data::F32(w) => {
                let lhs = self.floats(source, lane);
                gemm_f32(level, &lhs, view(w, n, k), &epilogue, out);
            }
            Data::F16(w) => {
                let lhs = self.floats(source, lane);
                gemm_widened(level, &lhs, view(w, n, k), &epilogue, out);
            }
            Data::Bf16(w) => {
                let (wide, rest) = lane.split_at_mut(source.len());
                copy_strip(source, wide);
                let (strip, rest) = rest.split_at_mut(source.len().div_ceil(2));
                let strip: &mut [bf16] = &mut bytemuck::cast_slice_mut(strip)[..source.len()];
                to_bf16(level, wide, strip);
                let lhs = self.windows(lines, strip, bytemuck::cast_slice_mut(rest));
                gemm_bf16(level, &lhs, view(w, n, k), &epilogue, out);
            }
            Data::F32Sparse(w) => {
                let (strip, rest) = lane.split_at_mut(source.len());
                copy_strip(source, strip);
                let (rows, rest) = rest.split_at_mut(lines * self.line * k);
                self.windows(lines, strip, rows);
                if let Some(panels) = panels(level, rows, [lines * self.line, k], rest) {
                    gemm_f32_sparse_panels(level, panels, w.view(), &epilogue, out);
                }
            }
            Data::Int8Sparse(_) => {
                let (strip, rest) = lane.split_at_mut(source.len().div_ceil(4));
                let strip: &mut [u8] = &mut bytemuck::cast_slice_mut(strip)[..source.len()];
                let params = quantize_strip(level, source, strip);
                let words = k.div_ceil(4);
                let (rows, rest) = rest.split_at_mut(lines * self.line * words);
                self.windows(lines, strip, bytemuck::cast_slice_mut::<f32, u8>(rows));
                let params = View::with_strides([lines * self.line, 2], [0, 1], &params);
                let panels = panels(level, rows, [lines * self.line, words], rest);
                if let (Ok(params), Some(panels)) = (params, panels) {
                    self.weights.gemm_byte_panels(panels, params, &epilogue, out);
                }
            }
            Data::Int8(_) | Data::Grouped(_) => {
                let (strip, rest) = lane.split_at_mut(source.len().div_ceil(4));
                let strip: &mut [u8] = &mut bytemuck::cast_slice_mut(strip)[..source.len()];
                let params = quantize_strip(level, source, strip);
                let lhs = self.windows(lines, strip, bytemuck::cast_slice_mut(rest));
                let Ok(params) = View::with_strides([lines * self.line, 2], [0, 1], &params) else { return };
                let x = Quantized { lhs, params };
                self.weights.gemm_bytes(&x, &epilogue, out);
            }
        }
    }

    /// The windows of a strip in f32, over the image itself where there is no border.
    fn floats<'b>(&'b self, source: StripSource<'_>, lane: &'b mut [f32]) -> Lhs<'b, f32> {
        let [_, w, c] = self.shape;
        if !self.conv.is_padded() {
            let from = &self.image[source.first * self.conv.stride[0] * w * c..];
            return self.conv.windows(from, [source.lines, self.line], w, c);
        }
        let strip = &mut lane[..source.len()];
        copy_strip(source, strip);
        self.windows(source.lines, strip, &mut [])
    }

    /// The windows of a strip, gathered where they must be.
    fn windows<'b, T: Copy + Default>(&self, lines: usize, strip: &'b [T], rows: &'b mut [T]) -> Lhs<'b, T> {
        let (width, c) = (self.conv.strip(lines, self.shape[1])[1], self.shape[2]);
        if !self.gathers() {
            return self.conv.windows(strip, [lines, self.line], width, c);
        }
        let (count, k) = (lines * self.line, self.weights.columns().next_multiple_of(self.group()));
        let rows = &mut rows[..count * k];
        gather_windows(&self.conv, strip, [lines, self.line], width, c, self.group(), rows);
        Lhs::matrix(rows, count, k, k)
    }
}

/// Gathered windows in panels.
fn panels<'a>(
    level: Level,
    rows: &[f32],
    [count, words]: [usize; 2],
    room: &'a mut [f32],
) -> Option<Panels<'a>> {
    let room = room.get_mut(..Panels::len(count, words)?)?;
    pack_rows(level, View::new([count, words], rows).ok()?, room);
    Panels::new(room, count, words)
}

//! Dense convolution over NHWC images, as a product of the packed kernel with windows addressed in place.
//!
//! The K values of an output pixel, `kh · kw · cin` in that order, are `kh` stretches of `kw · cin` values that
//! lie side by side in the image, so [`Lhs::windows`] is all that a convolution needs besides a border. Where there
//! is one, a **strip** of input rows is copied with its border ([`copy_strip`]), which costs one pass over the input
//! against `9 · cout` multiplications for each of its values; operators give each thread a strip of its own.
//!
//! In integers a strip is quantized while it is copied, with one scale and zero for the whole strip: the values of
//! overlapping windows can only be shared where their scale is. Strips are some rows high and cut by the shape
//! alone, so a bright region does not coarsen the rest of a picture and results do not depend on threads.

use tiny_vlm_simd::{Dot4, DotOp, Level};

use crate::lhs::Lhs;
use crate::quantize::range_of;

/// Kernel, stride and padding of a convolution or pooling; first along the height, then along the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Input rows from one output row to the next, and columns likewise.
    pub stride: [usize; 2],
    /// Rows of zeros above and below.
    pub pad_rows: [usize; 2],
    /// Columns of zeros left and right.
    pub pad_columns: [usize; 2],
}

impl ConvShape {
    /// A square kernel with one stride and the same padding on every side.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        ConvShape {
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad_rows: [padding; 2],
            pad_columns: [padding; 2],
        }
    }

    /// Height and width of the output; nothing where the kernel does not fit the padded image, or a kernel size or
    /// stride is zero.
    pub fn output(&self, [h, w]: [usize; 2]) -> Option<[usize; 2]> {
        let side = |n: usize, pad: [usize; 2], kernel: usize, stride: usize| {
            let room = n.checked_add(pad[0])?.checked_add(pad[1])?.checked_sub(kernel)?;
            if n == 0 || kernel == 0 { None } else { Some(room.checked_div(stride)? + 1) }
        };
        Some([
            side(h, self.pad_rows, self.kernel[0], self.stride[0])?,
            side(w, self.pad_columns, self.kernel[1], self.stride[1])?,
        ])
    }

    /// Whether there is a border to be added.
    pub fn is_padded(&self) -> bool {
        self.pad_rows != [0; 2] || self.pad_columns != [0; 2]
    }

    /// Height and width of the strip that `lines` output rows of an image this wide read.
    pub fn strip(&self, lines: usize, w: usize) -> [usize; 2] {
        [(lines.max(1) - 1) * self.stride[0] + self.kernel[0], w + self.pad_columns[0] + self.pad_columns[1]]
    }

    /// The windows of `lines` output rows of `line` pixels over a strip (or a whole image without padding) whose
    /// rows have `width` pixels of `channels`.
    ///
    /// # Panics
    /// If they do not fit the slice.
    pub fn windows<'a, T>(
        &self,
        strip: &'a [T],
        [lines, line]: [usize; 2],
        width: usize,
        channels: usize,
    ) -> Lhs<'a, T> {
        let row = width * channels;
        Lhs::windows(
            strip,
            [lines, line],
            [self.stride[0] * row, self.stride[1] * channels],
            [self.kernel[0], self.kernel[1] * channels],
            row,
        )
    }
}

/// An image's rows that a strip of the output reads.
#[derive(Clone, Copy, Debug)]
pub struct StripSource<'a> {
    /// The whole image, NHWC without gaps.
    pub image: &'a [f32],
    /// Its height, width and channels.
    pub shape: [usize; 3],
    /// The convolution.
    pub conv: ConvShape,
    /// The first output row.
    pub first: usize,
    /// How many output rows.
    pub lines: usize,
}

impl<'a> StripSource<'a> {
    /// The rows of the strip, from the top; those outside the image are nothing.
    fn rows(self) -> impl Iterator<Item = Option<&'a [f32]>> + Clone {
        let [h, w, c] = self.shape;
        assert!(self.image.len() >= h * w * c, "image of {h}x{w}x{c} in {} values", self.image.len());
        let top = self.first * self.conv.stride[0];
        let pad = self.conv.pad_rows[0];
        (0..self.conv.strip(self.lines, w)[0]).map(move |i| {
            let y = (top + i).checked_sub(pad).filter(|y| *y < h)?;
            Some(&self.image[y * w * c..][..w * c])
        })
    }

    /// Values of the strip.
    pub fn len(&self) -> usize {
        let [rows, width] = self.conv.strip(self.lines, self.shape[1]);
        rows * width * self.shape[2]
    }

    /// Whether the strip has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn columns(&self) -> [usize; 2] {
        self.conv.pad_columns.map(|p| p * self.shape[2])
    }
}

/// Copies a strip with its border of zeros.
///
/// # Panics
/// If `out` is not of the strip's [length](StripSource::len).
pub fn copy_strip(source: StripSource<'_>, out: &mut [f32]) {
    assert_eq!(out.len(), source.len(), "strip");
    if out.is_empty() {
        return;
    }
    let [left, right] = source.columns();
    let width = left + source.shape[1] * source.shape[2] + right;
    for (row, out) in source.rows().zip(out.chunks_exact_mut(width)) {
        match row {
            Some(row) => {
                out[..left].fill(0.0);
                out[left..width - right].copy_from_slice(row);
                out[width - right..].fill(0.0);
            }
            None => out.fill(0.0),
        }
    }
}

/// Copies a strip as bytes, the border being the byte that stands for zero. Returns scale and zero.
///
/// # Panics
/// If `out` is not of the strip's [length](StripSource::len).
pub fn quantize_strip(level: Level, source: StripSource<'_>, out: &mut [u8]) -> [f32; 2] {
    assert_eq!(out.len(), source.len(), "strip");
    if out.is_empty() {
        return [0.0; 2];
    }
    level.run_dot(QuantizeStrip { source, out })
}

struct QuantizeStrip<'a> {
    source: StripSource<'a>,
    out: &'a mut [u8],
}

impl DotOp for QuantizeStrip<'_> {
    type Output = [f32; 2];
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) -> [f32; 2] {
        let range = range_of(isa, self.source.rows().flatten());
        let zero = range.zero as u8;
        let [left, right] = self.source.columns();
        let width = left + self.source.shape[1] * self.source.shape[2] + right;
        for (row, out) in self.source.rows().zip(self.out.chunks_exact_mut(width)) {
            match row {
                Some(row) => {
                    out[..left].fill(zero);
                    range.quantize(isa, row, &mut out[left..width - right]);
                    out[width - right..].fill(zero);
                }
                None => out.fill(zero),
            }
        }
        [range.scale, range.zero]
    }
}

/// Gathers windows into rows of K rounded up to a multiple of `group`, for kernels whose window rows are no whole
/// number of the product's steps.
///
/// # Panics
/// If `strip` is too short or `out` is not `lines · line` such rows.
pub fn gather_windows<T: Copy + Default>(
    conv: &ConvShape,
    strip: &[T],
    [lines, line]: [usize; 2],
    width: usize,
    channels: usize,
    group: usize,
    out: &mut [T],
) {
    let [kh, kw] = conv.kernel;
    let run = kw * channels;
    let k = (kh * run).next_multiple_of(group);
    assert_eq!(out.len(), lines * line * k, "gathered windows");
    if k == 0 {
        return;
    }
    for (i, out) in out.chunks_exact_mut(k).enumerate() {
        let (y, x) = (i / line, i % line);
        let from = (y * conv.stride[0] * width + x * conv.stride[1]) * channels;
        for (ky, out) in out[..kh * run].chunks_exact_mut(run).enumerate() {
            out.copy_from_slice(&strip[from + ky * width * channels..][..run]);
        }
        out[kh * run..].fill(T::default());
    }
}

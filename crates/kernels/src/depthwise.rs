//! Depthwise convolution and pooling over NHWC images, tiled in registers.
//!
//! A tile is 16 channels of `T` neighbouring output pixels. For each kernel row it loads `kw` vectors of weights and
//! `(T − 1)·stride + kw` of input, for `T · kw` multiplications: at 7×7 and T = 8, 21 loads for 56. Borders need
//! no copy: rows and columns of a tile's input that fall outside the image are left out. The last tile of a line may
//! overlap the one before it, and computes the same again.

use std::hint::black_box;
use std::ops::Range;

use tiny_vlm_simd::{Isa, LANES, Level, Op};

use crate::conv::ConvShape;
use crate::epilogue::{self, Epilogue, Finish};
use crate::output::OutMut;

/// What a window is reduced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The largest value.
    Max,
    /// The mean of the values inside the image; the border does not count.
    Average,
}

/// Image and window of a depthwise operator.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseInput<'a> {
    /// The image, NHWC without gaps.
    pub image: &'a [f32],
    /// Its height, width and channels.
    pub shape: [usize; 3],
    /// Kernel, stride and padding.
    pub conv: ConvShape,
}

/// Computes some rows of `epilogue(x ∗ weights)`. `weights` is `[kh][kw][channels]`; the rectangle covers whole
/// lines of output pixels (its rows are pixels) and all channels.
///
/// # Panics
/// If the shapes do not fit one another.
pub fn depthwise(
    level: Level,
    input: &DepthwiseInput<'_>,
    weights: &[f32],
    epilogue: &Epilogue<'_>,
    out: OutMut<'_>,
) {
    let [kh, kw] = input.conv.kernel;
    assert_eq!(weights.len(), kh * kw * input.shape[2], "depthwise weights of {kh}x{kw}x{}", input.shape[2]);
    let lines = lines(input, &out);
    epilogue::check(epilogue, &out);
    level.run(Depthwise { input, weights, epilogue, lines, out });
}

/// Computes some rows of a pooling, as [`depthwise`].
///
/// # Panics
/// If the shapes do not fit one another.
pub fn pool(level: Level, input: &DepthwiseInput<'_>, kind: Pool, out: OutMut<'_>) {
    let lines = lines(input, &out);
    level.run(Pooling { input, kind, lines, out });
}

/// Checks a rectangle and returns its lines and their width.
fn lines(input: &DepthwiseInput<'_>, out: &OutMut<'_>) -> (Range<usize>, usize) {
    let [h, w, c] = input.shape;
    assert!(input.image.len() >= h * w * c, "image of {h}x{w}x{c} in {} values", input.image.len());
    let [oh, ow] = input.conv.output([h, w]).expect("the kernel fits the image");
    let rows = out.rows();
    assert!(
        rows.start.is_multiple_of(ow) && rows.end.is_multiple_of(ow) && rows.end <= oh * ow,
        "output pixels {rows:?} are not whole lines of {oh}x{ow}"
    );
    assert_eq!(out.columns(), 0..c, "output channels");
    (rows.start / ow..rows.end / ow, ow)
}

/// The kernel rows or columns whose input lies within `n`, for a window that begins at `start − pad`.
#[inline(always)]
fn inside(start: usize, pad: usize, kernel: usize, n: usize) -> Range<usize> {
    let first = pad.saturating_sub(start).min(kernel);
    let last = (n + pad).saturating_sub(start).min(kernel);
    first..last.max(first)
}

struct Depthwise<'a, 'b> {
    input: &'b DepthwiseInput<'a>,
    weights: &'a [f32],
    epilogue: &'b Epilogue<'a>,
    lines: (Range<usize>, usize),
    out: OutMut<'b>,
}

/// Pixels of a line whose sums are kept until they go through the epilogue together.
const CHUNK: usize = 64;

#[repr(align(64))]
struct Sums([f32; CHUNK * LANES]);

impl Op for Depthwise<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        match (self.input.conv.kernel, self.input.conv.stride[1]) {
            ([3, 3], 1) => self.each::<I, 3, 1>(isa),
            ([3, 3], 2) => self.each::<I, 3, 2>(isa),
            ([5, 5], 1) => self.each::<I, 5, 1>(isa),
            ([5, 5], 2) => self.each::<I, 5, 2>(isa),
            ([7, 7], 1) => self.each::<I, 7, 1>(isa),
            ([7, 7], 2) => self.each::<I, 7, 2>(isa),
            _ => self.each::<I, 0, 0>(isa),
        }
    }
}

impl Depthwise<'_, '_> {
    /// `KW` and `S` are the kernel's width and stride, or 0 where they are of no frequent size.
    #[inline(always)]
    fn each<I: Isa, const KW: usize, const S: usize>(mut self, isa: I) {
        let [h, w, c] = self.input.shape;
        let conv = self.input.conv;
        let ow = self.lines.1;
        let bias_only = Epilogue { bias: None, ..*self.epilogue }.is_nothing();
        let rest = Epilogue { bias: None, ..*self.epilogue };
        let stride = self.out.stride();
        let to = self.out.pointer();
        let mut sums = Sums([0.0; CHUNK * LANES]);
        let sums = sums.0.as_mut_ptr();
        for (i, oy) in self.lines.0.clone().enumerate() {
            let rows = inside(oy * conv.stride[0], conv.pad_rows[0], conv.kernel[0], h);
            let top = (oy * conv.stride[0] + rows.start).saturating_sub(conv.pad_rows[0]);
            for channel in (0..c).step_by(LANES) {
                let n = (c - channel).min(LANES);
                let bias = match self.epilogue.bias {
                    Some(bias) => isa.load_slice(&bias[channel..channel + n]),
                    None => isa.splat(0.0),
                };
                let window = Window {
                    image: self.input.image.as_ptr(),
                    weights: self.weights.as_ptr(),
                    c,
                    w,
                    pad: conv.pad_columns[0],
                    top,
                    rows: rows.clone(),
                    channel,
                    n,
                };
                for x in (0..ow).step_by(CHUNK) {
                    let end = (x + CHUNK).min(ow);
                    // SAFETY: line and channels lie within the rectangle, which begins at the first line.
                    let at = unsafe { to.add((i * ow + x) * stride + channel) };
                    // Sums go straight to their place unless something is left to be done to them.
                    let (keep, step) = if bias_only { (at, stride) } else { (sums, LANES) };
                    // SAFETY: these output pixels exist; `keep` has room for them, whole vectors of them where it is
                    // the buffer.
                    unsafe {
                        if KW == 0 {
                            window.pixels(isa, &conv, x..end, bias, keep, step);
                        } else {
                            window.line::<I, KW, S>(isa, x..end, bias, keep, step);
                        }
                    }
                    if !bias_only {
                        isa.call(Finish {
                            from: sums,
                            from_stride: LANES,
                            to: at,
                            to_stride: stride,
                            row: oy * ow + x,
                            column: channel,
                            rows: end - x,
                            columns: n,
                            epilogue: &rest,
                        });
                    }
                }
            }
        }
    }
}

/// What the tiles of one line and 16 channels share.
struct Window {
    image: *const f32,
    weights: *const f32,
    c: usize,
    w: usize,
    /// Columns of border to the left.
    pad: usize,
    /// The first input row that is read, and the kernel rows that are used.
    top: usize,
    rows: Range<usize>,
    channel: usize,
    n: usize,
}

impl Window {
    /// Some pixels of a line, in tiles.
    ///
    /// # Safety
    /// The pixels must exist, and `to` must have room for `n` values of each, or a vector where that is more, every
    /// `step`.
    #[inline(always)]
    unsafe fn line<I: Isa, const KW: usize, const S: usize>(
        &self,
        isa: I,
        pixels: Range<usize>,
        bias: I::F32,
        to: *mut f32,
        step: usize,
    ) {
        let mut x = pixels.start;
        while x < pixels.end {
            let (left, all) = (pixels.end - x, pixels.len());
            // Whether so many pixels from here on can be computed without a look at the borders.
            let plain = |tile: usize| {
                let windows = x * S..(x + tile - 1) * S + KW;
                tile <= left
                    && self.n == LANES
                    && windows.start >= self.pad
                    && windows.end - self.pad <= self.w
            };
            // A vector of a narrow instruction set takes several registers.
            let most = I::TILE.accumulators;
            let tile = match all {
                8.. if most >= 12 && left > 4 => 8,
                4.. => 4,
                _ => 1,
            };
            let first = x.min(pixels.end - tile);
            // SAFETY: all pixels of the tile are among those that the caller promises; where no borders are looked at,
            // its windows lie within the image and it has all channels.
            unsafe {
                let to = to.add((first - pixels.start) * step);
                match (tile, plain(tile)) {
                    (8, true) => self.tile::<I, KW, S, 8, true>(isa, first, bias, to, step),
                    (8, false) => self.tile::<I, KW, S, 8, false>(isa, first, bias, to, step),
                    (4, true) => self.tile::<I, KW, S, 4, true>(isa, first, bias, to, step),
                    (4, false) => self.tile::<I, KW, S, 4, false>(isa, first, bias, to, step),
                    _ => self.tile::<I, KW, S, 1, false>(isa, first, bias, to, step),
                }
            }
            x = first + tile;
        }
    }

    /// `T` pixels from `x` on; where `PLAIN`, all 16 channels of them, and windows that lie within the image.
    ///
    /// # Safety
    /// As [`line`](Window::line), and what `PLAIN` says must be so.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a register tile is indexed by pixel and tap")]
    unsafe fn tile<I: Isa, const KW: usize, const S: usize, const T: usize, const PLAIN: bool>(
        &self,
        isa: I,
        x: usize,
        bias: I::F32,
        to: *mut f32,
        step: usize,
    ) {
        let mut acc = [bias; T];
        // The tile's columns of input that lie in the image.
        let columns = inside(x * S, self.pad, (T - 1) * S + KW, self.w);
        let left = (x * S) as isize - self.pad as isize;
        for (i, ky) in self.rows.clone().enumerate() {
            let line = (self.top + i) * self.w;
            let row =
                self.image.wrapping_offset((line as isize + left) * self.c as isize + self.channel as isize);
            // Hidden from the compiler, which would otherwise keep a pointer for every column and move them all along.
            let row = black_box(row);
            let taps = black_box(self.weights.wrapping_add(ky * KW * self.c + self.channel));
            // SAFETY: rows and taps of the kernel exist, and only columns within the image are read, the last channels
            // with as many lanes as there are.
            unsafe {
                let mut w = [bias; KW];
                for kx in 0..KW {
                    w[kx] = self.load::<I, PLAIN>(isa, taps.add(kx * self.c));
                }
                for j in 0..(T - 1) * S + KW {
                    if PLAIN || columns.contains(&j) {
                        let v = self.load::<I, PLAIN>(isa, row.wrapping_add(j * self.c));
                        for t in 0..T {
                            if j >= t * S && j - t * S < KW {
                                acc[t] = isa.fma(v, w[j - t * S], acc[t]);
                            }
                        }
                    }
                }
            }
        }
        for t in 0..T {
            // SAFETY: the caller promises room for these values.
            unsafe {
                let to = to.add(t * step);
                if PLAIN { isa.store(to, acc[t]) } else { isa.store_first(to, self.n, acc[t]) }
            }
        }
    }

    /// Some pixels of a line, one by one, with a kernel of any width.
    ///
    /// # Safety
    /// As [`line`](Window::line).
    #[inline(always)]
    unsafe fn pixels<I: Isa>(
        &self,
        isa: I,
        conv: &ConvShape,
        pixels: Range<usize>,
        bias: I::F32,
        to: *mut f32,
        step: usize,
    ) {
        for (at, x) in pixels.enumerate() {
            let start = x * conv.stride[1];
            let columns = inside(start, self.pad, conv.kernel[1], self.w);
            let left = (start + columns.start).saturating_sub(self.pad);
            let mut acc = bias;
            for (i, ky) in self.rows.clone().enumerate() {
                for (j, kx) in columns.clone().enumerate() {
                    // SAFETY: these rows and columns of the image and these taps exist.
                    unsafe {
                        let at = ((self.top + i) * self.w + left + j) * self.c + self.channel;
                        let v = self.load::<I, false>(isa, self.image.add(at));
                        let tap = (ky * conv.kernel[1] + kx) * self.c + self.channel;
                        acc = isa.fma(v, self.load::<I, false>(isa, self.weights.add(tap)), acc);
                    }
                }
            }
            // SAFETY: the caller promises room.
            unsafe { isa.store_first(to.add(at * step), self.n, acc) };
        }
    }

    /// # Safety
    /// `n` values must be readable, and 16 of them where `WHOLE`.
    #[inline(always)]
    unsafe fn load<I: Isa, const WHOLE: bool>(&self, isa: I, from: *const f32) -> I::F32 {
        // SAFETY: the caller's promise.
        unsafe { if WHOLE { isa.load(from) } else { isa.load_first(from, self.n) } }
    }
}

struct Pooling<'a, 'b> {
    input: &'b DepthwiseInput<'a>,
    kind: Pool,
    lines: (Range<usize>, usize),
    out: OutMut<'b>,
}

impl Op for Pooling<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let [h, w, c] = self.input.shape;
        let conv = self.input.conv;
        let ow = self.lines.1;
        for (i, oy) in self.lines.0.clone().enumerate() {
            let rows = inside(oy * conv.stride[0], conv.pad_rows[0], conv.kernel[0], h);
            let top = (oy * conv.stride[0] + rows.start).saturating_sub(conv.pad_rows[0]);
            for ox in 0..ow {
                let start = ox * conv.stride[1];
                let columns = inside(start, conv.pad_columns[0], conv.kernel[1], w);
                let left = (start + columns.start).saturating_sub(conv.pad_columns[0]);
                let count = (rows.len() * columns.len()) as f32;
                let out = self.out.row_mut(i * ow + ox);
                for channel in (0..c).step_by(LANES) {
                    let n = (c - channel).min(LANES);
                    let from = match self.kind {
                        Pool::Max => f32::NEG_INFINITY,
                        Pool::Average => 0.0,
                    };
                    let mut acc = isa.splat(from);
                    for y in top..top + rows.len() {
                        for x in left..left + columns.len() {
                            let v = isa.load_slice(&self.input.image[(y * w + x) * c + channel..][..n]);
                            acc = match self.kind {
                                Pool::Max => isa.max(acc, v),
                                Pool::Average => isa.add(acc, v),
                            };
                        }
                    }
                    if self.kind == Pool::Average {
                        acc = isa.mul(acc, isa.splat(if count > 0.0 { 1.0 / count } else { 0.0 }));
                    }
                    isa.store_slice(&mut out[channel..channel + n], acc);
                }
            }
        }
    }
}

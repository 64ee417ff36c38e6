//! Depthwise convolution and pooling over NHWC images, tiled in registers.
//!
//! Of an NHWC image, the 16 channels of a vector lie far apart from pixel to pixel, and often a multiple of a power of
//! two: read again and again for every output line they would fight over a few sets of the first-level cache. So the
//! input lines under a line of output are gathered into a strip first, each once, with zeros for the border.
//!
//! A tile is `T` neighbouring output pixels of a strip. For each kernel row it loads `kw` vectors of weights and
//! `(T − 1)·stride + kw` of input, for `T · kw` multiplications: at 7×7 and T = 8, 21 loads for 56. The last tile of a
//! line may overlap the one before it, and computes the same again.

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

/// Computes a rectangle of `epilogue(x ∗ weights)`. `weights` is `[kh][kw][channels]`; the rectangle covers whole
/// lines of output pixels (its rows are pixels) of channels from a multiple of 16 on.
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

/// Computes some rows of a pooling, as [`depthwise`], of all channels.
///
/// # Panics
/// If the shapes do not fit one another.
pub fn pool(level: Level, input: &DepthwiseInput<'_>, kind: Pool, out: OutMut<'_>) {
    assert_eq!(out.columns(), 0..input.shape[2], "output channels");
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
    let channels = out.columns();
    assert!(channels.start.is_multiple_of(LANES) && channels.end <= c, "output channels {channels:?} of {c}");
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

/// Columns of input that a strip holds: with seven lines of them it stays in a first-level cache of 32 KiB.
const COLUMNS: usize = 70;
/// Pixels of a line whose sums are kept until they go through the epilogue together.
const CHUNK: usize = 64;

/// The input lines of 16 channels under a line of output: line `y` in row `y % K`.
#[repr(align(64))]
struct Strip<const K: usize>([[[f32; LANES]; COLUMNS]; K]);

#[repr(align(64))]
struct Taps<const K: usize>([[[f32; LANES]; K]; K]);

#[repr(align(64))]
struct Bias([f32; LANES]);

#[repr(align(64))]
struct Sums([f32; CHUNK * LANES]);

impl Op for Depthwise<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        match (self.input.conv.kernel, self.input.conv.stride[1]) {
            ([3, 3], 1) => self.strips::<I, 3, 1>(isa),
            ([3, 3], 2) => self.strips::<I, 3, 2>(isa),
            ([5, 5], 1) => self.strips::<I, 5, 1>(isa),
            ([5, 5], 2) => self.strips::<I, 5, 2>(isa),
            ([7, 7], 1) => self.strips::<I, 7, 1>(isa),
            ([7, 7], 2) => self.strips::<I, 7, 2>(isa),
            _ => self.pixels(isa),
        }
    }
}

impl Depthwise<'_, '_> {
    /// A square kernel of side `K` that moves `S` columns at a time.
    #[inline(always)]
    fn strips<I: Isa, const K: usize, const S: usize>(mut self, isa: I) {
        let [h, w, c] = self.input.shape;
        let conv = self.input.conv;
        let (lines, ow) = self.lines.clone();
        let mut strip = Strip([[[0.0; LANES]; COLUMNS]; K]);
        let mut taps = Taps([[[0.0; LANES]; K]; K]);
        let mut sums = Sums([0.0; CHUNK * LANES]);
        let channels = self.out.columns();
        for channel in channels.clone().step_by(LANES) {
            let n = (channels.end - channel).min(LANES);
            let weights = self.weights.chunks_exact(c);
            for (tap, weights) in taps.0.as_flattened_mut().iter_mut().zip(weights) {
                isa.store_array(tap, isa.load_slice(&weights[channel..channel + n]));
            }
            let mut bias = Bias([0.0; LANES]);
            isa.store_array(&mut bias.0, self.bias(isa, channel, n));
            let most = CHUNK.min((COLUMNS - K) / S + 1);
            for x in (0..ow).step_by(most) {
                let end = (x + most).min(ow);
                // Where the strip begins in the image with its border, and which of its columns are no border.
                let (left, columns) = (x * S, (end - 1 - x) * S + K);
                let border = inside(left, conv.pad_columns[0], columns, w);
                let mut gathered = 0;
                for (i, oy) in lines.clone().enumerate() {
                    let rows = inside(oy * conv.stride[0], conv.pad_rows[0], K, h);
                    let top = (oy * conv.stride[0] + rows.start).saturating_sub(conv.pad_rows[0]);
                    for y in gathered.max(top)..top + rows.len() {
                        let first = (left + border.start).saturating_sub(conv.pad_columns[0]);
                        let pixels = &self.input.image[((y * w + first) * c + channel).min(h * w * c)..];
                        gather(isa, pixels, c, n, border.clone(), &mut strip.0[y % K][..columns]);
                    }
                    gathered = gathered.max(top + rows.len());
                    let window = Window { strip: &strip, taps: &taps, bias: &bias, top, rows };
                    let (to, step) = self.place(i, x, channel, &mut sums);
                    // These output pixels exist, and `to` has room for them, whole vectors of them where it is the buffer.
                    isa.call(Line::<K, S> { window, pixels: end - x, n, to, step });
                    self.finish(isa, [i, oy], x..end, channel, n, &mut sums);
                }
            }
        }
    }

    /// A kernel of any size, pixel by pixel.
    #[inline(always)]
    fn pixels<I: Isa>(mut self, isa: I) {
        let [h, w, c] = self.input.shape;
        let conv = self.input.conv;
        let (lines, ow) = self.lines.clone();
        let mut sums = Sums([0.0; CHUNK * LANES]);
        let channels = self.out.columns();
        for (i, oy) in lines.enumerate() {
            let rows = inside(oy * conv.stride[0], conv.pad_rows[0], conv.kernel[0], h);
            let top = (oy * conv.stride[0] + rows.start).saturating_sub(conv.pad_rows[0]);
            for channel in channels.clone().step_by(LANES) {
                let n = (channels.end - channel).min(LANES);
                let bias = self.bias(isa, channel, n);
                for x in (0..ow).step_by(CHUNK) {
                    let end = (x + CHUNK).min(ow);
                    let (to, step) = self.place(i, x, channel, &mut sums);
                    for (at, x) in (x..end).enumerate() {
                        let start = x * conv.stride[1];
                        let columns = inside(start, conv.pad_columns[0], conv.kernel[1], w);
                        let left = (start + columns.start).saturating_sub(conv.pad_columns[0]);
                        let mut acc = bias;
                        for (y, ky) in rows.clone().enumerate() {
                            for (j, kx) in columns.clone().enumerate() {
                                let at = ((top + y) * w + left + j) * c + channel;
                                let tap = (ky * conv.kernel[1] + kx) * c + channel;
                                let v = isa.load_slice(&self.input.image[at..at + n]);
                                acc = isa.fma(v, isa.load_slice(&self.weights[tap..tap + n]), acc);
                            }
                        }
                        // SAFETY: this output pixel exists, and `to` has room for it.
                        unsafe { isa.store_first(to.add(at * step), n, acc) };
                    }
                    self.finish(isa, [i, oy], x..end, channel, n, &mut sums);
                }
            }
        }
    }

    #[inline(always)]
    fn bias<I: Isa>(&self, isa: I, channel: usize, n: usize) -> I::F32 {
        match self.epilogue.bias {
            Some(bias) => isa.load_slice(&bias[channel..channel + n]),
            None => isa.splat(0.0),
        }
    }

    /// What follows once the bias is in the sums.
    #[inline(always)]
    fn rest(&self) -> Epilogue<'_> {
        Epilogue { bias: None, ..*self.epilogue }
    }

    /// Where the sums of a line's pixels from `x` on go, and the distance from one to the next: to their place unless
    /// something is left to be done to them.
    #[inline(always)]
    fn place(&mut self, line: usize, x: usize, channel: usize, sums: &mut Sums) -> (*mut f32, usize) {
        if self.rest().is_nothing() {
            let (stride, column) = (self.out.stride(), channel - self.out.columns().start);
            (self.out.pointer().wrapping_add((line * self.lines.1 + x) * stride + column), stride)
        } else {
            (sums.0.as_mut_ptr(), LANES)
        }
    }

    /// Takes the sums of some pixels of a line, the `line[0]`-th of these and the `line[1]`-th of the image, through what is
    /// left.
    #[inline(always)]
    fn finish<I: Isa>(
        &mut self,
        isa: I,
        line: [usize; 2],
        pixels: Range<usize>,
        channel: usize,
        n: usize,
        sums: &mut Sums,
    ) {
        let (stride, first, to) = (self.out.stride(), self.out.columns().start, self.out.pointer());
        let rest = self.rest();
        if rest.is_nothing() {
            return;
        }
        isa.call(Finish {
            from: sums.0.as_mut_ptr(),
            from_stride: LANES,
            to: to.wrapping_add((line[0] * self.lines.1 + pixels.start) * stride + channel - first),
            to_stride: stride,
            row: line[1] * self.lines.1 + pixels.start,
            column: channel,
            rows: pixels.len(),
            columns: n,
            epilogue: &rest,
        });
    }
}

/// Copies `n` channels of neighbouring pixels, `c` values apart, to `inside`; the columns beside that are border.
#[inline(always)]
fn gather<I: Isa>(isa: I, pixels: &[f32], c: usize, n: usize, inside: Range<usize>, to: &mut [[f32; LANES]]) {
    to[..inside.start].fill([0.0; LANES]);
    to[inside.end..].fill([0.0; LANES]);
    let to = &mut to[inside];
    if n < LANES {
        for (to, pixel) in to.iter_mut().zip(pixels.chunks(c)) {
            isa.store_array(to, isa.load_slice(&pixel[..n]));
        }
        return;
    }
    assert!(to.is_empty() || pixels.len() >= (to.len() - 1) * c + LANES, "pixels end within a strip");
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: 16 channels of every pixel are there, as has just been checked of the last one.
        isa.store_array(to, unsafe { isa.load(pixels.as_ptr().add(i * c)) });
        // What the next 16 channels read: a line here and there, which no machine foresees.
        isa.prefetch(pixels.as_ptr().wrapping_add(i * c + LANES));
    }
}

/// What the tiles of one line and 16 channels share.
struct Window<'a, const K: usize> {
    strip: &'a Strip<K>,
    taps: &'a Taps<K>,
    bias: &'a Bias,
    /// The first input line that is read, and the kernel rows that are used.
    top: usize,
    rows: Range<usize>,
}

/// The first pixels of a strip, in tiles: in a function of its own, as compilers hand out registers badly in one that holds
/// this for every size of kernel.
struct Line<'a, const K: usize, const S: usize> {
    window: Window<'a, K>,
    pixels: usize,
    n: usize,
    /// Room for `n` values of each pixel every `step`: who makes a line promises that.
    to: *mut f32,
    step: usize,
}

impl<const K: usize, const S: usize> Op for Line<'_, K, S> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Line { window, pixels, n, to, step } = self;
        // A vector of a narrow instruction set takes several registers.
        let most = I::TILE.accumulators;
        let mut x = 0;
        while x < pixels {
            let left = pixels - x;
            let tile = match pixels {
                8.. if most >= 12 && left > 4 => 8,
                4.. if most >= 4 => 4,
                _ => 1,
            };
            let first = x.min(pixels - tile);
            // SAFETY: all pixels of the tile are among those that there is room for.
            unsafe {
                let to = to.add(first * step);
                match tile {
                    8 => window.tile::<I, S, 8>(isa, first, n, to, step),
                    4 => window.tile::<I, S, 4>(isa, first, n, to, step),
                    _ => window.tile::<I, S, 1>(isa, first, n, to, step),
                }
            }
            x = first + tile;
        }
    }
}

impl<const K: usize> Window<'_, K> {
    /// `T` pixels from `x` on.
    ///
    /// # Safety
    /// `to` must have room for `n` values of each pixel every `step`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a register tile is indexed by pixel and tap")]
    unsafe fn tile<I: Isa, const S: usize, const T: usize>(
        &self,
        isa: I,
        x: usize,
        n: usize,
        to: *mut f32,
        step: usize,
    ) {
        let mut acc = [isa.load_array(&self.bias.0); T];
        // Where the loop over a kernel row is unrolled, what is read twice is kept; and V8 multiplies only when all of an
        // iteration is read. Few registers cannot hold that.
        let taps = if I::TILE.accumulators >= 4 { K } else { black_box(K) };
        for (i, ky) in self.rows.clone().enumerate() {
            let columns = self.strip.0[(self.top + i) % K][x * S..][..(T - 1) * S + K].as_ptr();
            let row = self.taps.0[ky].as_ptr();
            for kx in 0..taps {
                // SAFETY: there are K taps of a row, and (T − 1)·S + K columns, as has just been checked.
                unsafe {
                    let w = isa.load(row.add(kx).cast());
                    for t in 0..T {
                        acc[t] = isa.fma(isa.load(columns.add(t * S + kx).cast()), w, acc[t]);
                    }
                }
            }
        }
        for t in 0..T {
            // SAFETY: the caller promises room for these values.
            unsafe {
                let to = to.add(t * step);
                if n == LANES {
                    isa.store(to, acc[t])
                } else {
                    isa.store_first(to, n, acc[t])
                }
                // Where the next 16 channels go: a store that misses has its line read first.
                isa.prefetch(to.wrapping_add(LANES));
            }
        }
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

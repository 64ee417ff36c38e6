//! Coefficients of a row of units to rows of RGB: transform, spread the coarser channels, convert.
//!
//! Where a channel has half the samples, libjpeg puts the new ones a quarter of the way between the old ("fancy
//! upsampling"), so rows need their neighbours above and below, and a row of units can be finished only when the next
//! one is there. Channels are therefore kept in rings of three rows of units.

use tiny_vlm_simd::{Isa, Op};

use super::frame::{Colours, Component, Frame};
use super::idct;
use super::scan::Block;
use crate::colour::cmyk_to_rgb;
use crate::raster::zeroed;
use crate::{Image, ImageError};

/// Rows of units that a ring holds.
const RING: usize = 3;

/// The samples of the channels, as far as they are needed, and a row of each as wide as the picture.
pub(super) struct Output {
    rings: Vec<Vec<u8>>,
    rows: Vec<Vec<u8>>,
    /// Sums of two rows, while they are spread.
    sums: Vec<u16>,
}

impl Output {
    pub(super) fn new(frame: &Frame) -> Result<Self, ImageError> {
        let rings = frame.components.iter().map(|c| zeroed(RING * c.v * 8 * stride(frame, c)));
        let width = frame.units_x * frame.h_max * 8;
        let rows = frame.components.iter().map(|_| zeroed(width));
        let mut sums = Vec::new();
        sums.try_reserve_exact(width).map_err(|_| ImageError::Memory { bytes: 2 * width })?;
        sums.resize(width, 0);
        Ok(Self { rings: rings.collect::<Result<_, _>>()?, rows: rows.collect::<Result<_, _>>()?, sums })
    }
}

/// Bytes of a row of a channel's ring.
fn stride(frame: &Frame, component: &Component) -> usize {
    frame.units_x * component.h * 8
}

/// Transforms row `y` of units: for each component its blocks, row by row.
pub(super) struct Transform<'a> {
    pub(super) frame: &'a Frame,
    pub(super) y: usize,
    pub(super) blocks: &'a [&'a [Block]],
    pub(super) output: &'a mut Output,
}

impl Op for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { frame, y, blocks, output } = self;
        for ((component, blocks), ring) in frame.components.iter().zip(blocks).zip(&mut output.rings) {
            let stride = stride(frame, component);
            let quantizers = component.quantizers.as_ref().unwrap_or(&[0; 64]);
            let from = y % RING * component.v * 8 * stride;
            let rows = ring[from..].chunks_mut(8 * stride);
            for (blocks, rows) in blocks.chunks_exact(stride / 8).zip(rows) {
                for (x, block) in blocks.iter().enumerate() {
                    idct::block(block, quantizers, &mut rows[x * 8..], stride);
                }
            }
        }
    }
}

/// Writes the rows of the picture that row `y` of units covers. The rows of units around it have been transformed.
pub(super) struct Finish<'a> {
    pub(super) frame: &'a Frame,
    pub(super) colours: Colours,
    pub(super) y: usize,
    pub(super) output: &'a mut Output,
    pub(super) image: &'a mut Image,
}

impl Op for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { frame, colours, y, output: Output { rings, rows, sums }, image } = self;
        let tall = 8 * frame.v_max;
        for y in y * tall..((y + 1) * tall).min(frame.height) {
            for ((component, ring), row) in frame.components.iter().zip(&*rings).zip(&mut *rows) {
                spread(frame, component, ring, y, sums, row);
            }
            let out = image.row_mut(y).as_chunks_mut::<3>().0;
            match (colours, &rows[..]) {
                (Colours::Grey, [grey, ..]) => {
                    for (rgb, &grey) in out.iter_mut().zip(grey) {
                        *rgb = [grey; 3];
                    }
                }
                (Colours::YCbCr, [y, cb, cr, ..]) => ycc_row(y, cb, cr, out),
                (Colours::Rgb, [r, g, b, ..]) => {
                    for (((rgb, &r), &g), &b) in out.iter_mut().zip(r).zip(g).zip(b) {
                        *rgb = [r, g, b];
                    }
                }
                (Colours::Cmyk | Colours::Ycck, [a, b, c, k]) => {
                    for ((((rgb, &a), &b), &c), &k) in out.iter_mut().zip(a).zip(b).zip(c).zip(k) {
                        // Photoshop, and everything after it, stores ink inverted: 255 is none.
                        let [c, m, y] = match colours {
                            Colours::Ycck => ycc(a, b, c),
                            _ => [a, b, c].map(|ink| 255 - ink),
                        };
                        *rgb = cmyk_to_rgb([c, m, y, 255 - k]);
                    }
                }
                // Every kind of colours has as many channels as its arm takes.
                _ => {}
            }
        }
    }
}

/// Row `y` of the picture out of a channel, at full width.
#[inline(always)]
fn spread(frame: &Frame, component: &Component, ring: &[u8], y: usize, sums: &mut [u16], out: &mut [u8]) {
    let stride = stride(frame, component);
    let (across, down) = (frame.h_max / component.h, frame.v_max / component.v);
    let line = |y: usize| {
        let y = y.min(component.height - 1) % (RING * component.v * 8);
        &ring[y * stride..][..component.width]
    };
    let near = line(y / down);
    // The neighbour on the other side of the new row.
    let far = || if y.is_multiple_of(2) { line((y / 2).saturating_sub(1)) } else { line(y / 2 + 1) };
    match (across, down) {
        (1, 1) => out[..near.len()].copy_from_slice(near),
        (2, 1) if component.width > 2 => {
            for (sum, &v) in sums.iter_mut().zip(near) {
                *sum = v.into();
            }
            wider(&sums[..near.len()], 1, [1, 2], 2, out);
        }
        (1, 2) => {
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            for ((out, &near), &far) in out.iter_mut().zip(near).zip(far()) {
                *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
            }
        }
        (2, 2) if component.width > 2 => {
            for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far()) {
                *sum = 3 * u16::from(near) + u16::from(far);
            }
            wider(&sums[..near.len()], 4, [8, 7], 4, out);
        }
        _ => {
            for (out, &v) in out.chunks_mut(across).zip(near) {
                out.fill(v);
            }
        }
    }
}

/// Two numbers for each of `values`: three parts of it and one of its neighbour on that side, plus the side's `bias`,
/// shifted. `edge` is the weight of the first and the last number, which have no neighbour.
#[inline(always)]
fn wider(values: &[u16], edge: u16, [left, right]: [u16; 2], shift: u32, out: &mut [u8]) {
    let n = values.len();
    let (pairs, _) = out.as_chunks_mut::<2>();
    let triples = values.iter().zip(&values[1..]).zip(&values[2..]);
    for (pair, ((&before, &value), &after)) in pairs[1..n - 1].iter_mut().zip(triples) {
        *pair = [((3 * value + before + left) >> shift) as u8, ((3 * value + after + right) >> shift) as u8];
    }
    let ends = |value: u16, neighbour: u16, bias: u16| ((3 * value + neighbour + bias) >> shift) as u8;
    let alone =
        |value: u16, bias: u16| if edge == 1 { value as u8 } else { ((value * edge + bias) >> shift) as u8 };
    pairs[0] = [alone(values[0], left), ends(values[0], values[1], right)];
    pairs[n - 1] = [ends(values[n - 1], values[n - 2], left), alone(values[n - 1], right)];
}

/// JFIF's full-range YCbCr in 16-bit fixed point. Red and blue are rounded on their own, as is the sum for green.
#[inline(always)]
fn ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    [
        y + ((91881 * cr + HALF) >> 16),
        y + ((-22554 * cb - 46802 * cr + HALF) >> 16),
        y + ((116130 * cb + HALF) >> 16),
    ]
    .map(|c| c.clamp(0, 255) as u8)
}

#[inline(always)]
fn ycc_row(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [[u8; 3]]) {
    // Channel by channel first, which are vectors, then woven together.
    const BLOCK: usize = 32;
    let whole = out.len() / BLOCK * BLOCK;
    let blocks =
        y.as_chunks::<BLOCK>().0.iter().zip(cb.as_chunks::<BLOCK>().0).zip(cr.as_chunks::<BLOCK>().0);
    let (pieces, rest) = out.as_chunks_mut::<BLOCK>();
    for (piece, ((y, cb), cr)) in pieces.iter_mut().zip(blocks) {
        let mut channels = [[0; BLOCK]; 3];
        for i in 0..BLOCK {
            let [r, g, b] = ycc(y[i], cb[i], cr[i]);
            (channels[0][i], channels[1][i], channels[2][i]) = (r, g, b);
        }
        for (i, rgb) in piece.iter_mut().enumerate() {
            *rgb = [channels[0][i], channels[1][i], channels[2][i]];
        }
    }
    for (((rgb, &y), &cb), &cr) in rest.iter_mut().zip(&y[whole..]).zip(&cb[whole..]).zip(&cr[whole..]) {
        *rgb = ycc(y, cb, cr);
    }
}

//! Pillow's `Image.resize`, byte for byte.
//!
//! Pillow resizes in two passes, with 8-bit pixels in between, weights of 22 fractional bits, and filters that widen when
//! shrinking. A pass that changes nothing is left out. Pillow 13 goes across first, unless the height shrinks by more
//! than twice the pixels that the width does; Pillow 12 and before always go across first ([`Passes`]).
//!
//! Here the passes are interleaved: the rows that one target row needs are made when it needs them, in a ring, so a
//! resize holds a few rows and no more.

use std::f64::consts::PI;

use crate::coefficients::Coefficients;
use crate::passes::{horizontal, vertical};
use crate::{ImageError, Raster, RasterView};

/// How a resize weighs the pixels around a place. The names are Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The pixel at that place, alone.
    Nearest,
    /// The mean of the pixels a target pixel covers.
    Box,
    /// A triangle, two pixels wide.
    Bilinear,
    /// Keys' cubic with a = -0.5, four pixels wide.
    Bicubic,
    /// A windowed sinc, six pixels wide.
    Lanczos,
}

impl Filter {
    /// Half the width of the filter at scale one.
    pub(crate) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The filter at `x`, in the order of operations that Pillow uses.
    pub(crate) fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => match x.abs() {
                x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                _ => 0.0,
            },
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// Which of the two passes goes first. The 8-bit rounding between them makes the results differ, by little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Passes {
    /// As Pillow 13: down first if the height shrinks by more than twice the pixels that the width does.
    #[default]
    Pillow13,
    /// As Pillow 12 and before: across first.
    AcrossFirst,
}

/// The tables and the ring of rows of a resize, kept from one to the next so that a stream of pictures of one size does
/// not allocate.
#[derive(Debug, Default)]
pub struct Resizer {
    across: Coefficients,
    down: Coefficients,
    ring: Vec<u8>,
    passes: Passes,
}

impl Resizer {
    /// An empty one; the first resize fills it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that puts its passes in the order `passes`.
    pub fn with_passes(passes: Passes) -> Self {
        Self { passes, ..Self::default() }
    }

    /// Resizes the part `area` (left, top, right, bottom, in pixels, fractions allowed; `None` is all) of `source` into
    /// `out`, which has `width` × `height` pixels without gaps.
    pub fn resize_into<const C: usize>(
        &mut self,
        source: RasterView<'_, C>,
        area: Option<[f32; 4]>,
        filter: Filter,
        (width, height): (usize, usize),
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        let size = width.checked_mul(height).and_then(|n| n.checked_mul(C)).filter(|&n| n > 0);
        // Pillow's sizes are C ints, and so are its places.
        let addressable = width <= i32::MAX as usize && height <= i32::MAX as usize;
        let size = size.filter(|_| addressable).ok_or(ImageError::Target { width, height })?;
        if out.len() != size {
            return Err(ImageError::Shape {
                width,
                height,
                channels: C,
                stride: width * C,
                bytes: out.len(),
            });
        }
        let all = [0.0, 0.0, source.width() as f32, source.height() as f32];
        let area @ [left, top, right, bottom] = area.unwrap_or(all);
        // Written so that a NaN is outside.
        let inside =
            left >= 0.0 && top >= 0.0 && left < right && top < bottom && right <= all[2] && bottom <= all[3];
        if !inside {
            return Err(ImageError::Area { area, width: source.width(), height: source.height() });
        }
        let same = area == all && (width, height) == (source.width(), source.height());
        if same {
            for (y, row) in out.chunks_exact_mut(width * C).enumerate() {
                row.copy_from_slice(source.row(y));
            }
        } else if filter == Filter::Nearest {
            nearest(source, area, width, height, out);
        } else {
            self.two_passes(source, area, filter, (width, height), out)?;
        }
        Ok(())
    }

    fn two_passes<const C: usize>(
        &mut self,
        source: RasterView<'_, C>,
        [left, top, right, bottom]: [f32; 4],
        filter: Filter,
        (width, height): (usize, usize),
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        let too_many = || ImageError::Target { width, height };
        self.across.compute(source.width(), left, right, width, filter).ok_or_else(too_many)?;
        self.down.compute(source.height(), top, bottom, height, filter).ok_or_else(too_many)?;
        let changes_across = width != source.width() || left != 0.0 || right != width as f32;
        let changes_down = height != source.height() || top != 0.0 || bottom != height as f32;
        let row_bytes = width * C;
        if !changes_down {
            for (y, row) in out.chunks_exact_mut(row_bytes).enumerate() {
                horizontal::<C>(source.row(y), &self.across, row);
            }
            return Ok(());
        }
        if !changes_across {
            for (i, row) in out.chunks_exact_mut(row_bytes).enumerate() {
                let first = self.down.first(i);
                vertical(|k| source.row(first + k), self.down.weights(i), row);
            }
            return Ok(());
        }
        let shrinks = |from: usize, to: usize| from as i64 - to as i64;
        let lost = shrinks(source.height(), height);
        let down_first = lost > 0 && lost > 2 * shrinks(source.width(), width);
        if self.passes == Passes::Pillow13 && down_first {
            let (begin, end) = self.across.span();
            self.ring.clear();
            let bytes = source.width() * C;
            self.ring.try_reserve(bytes).map_err(|_| ImageError::Memory { bytes })?;
            self.ring.resize(bytes, 0);
            let columns = begin * C..end * C;
            for (i, row) in out.chunks_exact_mut(row_bytes).enumerate() {
                let first = self.down.first(i);
                let weights = self.down.weights(i);
                vertical(
                    |k| &source.row(first + k)[columns.clone()],
                    weights,
                    &mut self.ring[columns.clone()],
                );
                horizontal::<C>(&self.ring, &self.across, row);
            }
            return Ok(());
        }
        let slots = (0..height).map(|i| self.down.weights(i).len()).max().unwrap_or(1);
        let bytes = slots.checked_mul(row_bytes).ok_or_else(too_many)?;
        self.ring.clear();
        self.ring.try_reserve(bytes).map_err(|_| ImageError::Memory { bytes })?;
        self.ring.resize(bytes, 0);
        let mut next = self.down.span().0;
        for (i, row) in out.chunks_exact_mut(row_bytes).enumerate() {
            let (first, weights) = (self.down.first(i), self.down.weights(i));
            next = next.max(first);
            while next < first + weights.len() {
                let slot = &mut self.ring[next % slots * row_bytes..][..row_bytes];
                horizontal::<C>(source.row(next), &self.across, slot);
                next += 1;
            }
            vertical(|k| &self.ring[(first + k) % slots * row_bytes..][..row_bytes], weights, row);
        }
        Ok(())
    }
}

/// Target pixel `i` is the source pixel under its centre. The places are summed up step by step, as Pillow does: the
/// product would round differently.
fn nearest<const C: usize>(
    source: RasterView<'_, C>,
    [left, top, right, bottom]: [f32; 4],
    width: usize,
    height: usize,
    out: &mut [u8],
) {
    let places = |from: f32, to: f32, count: usize, all: usize| {
        let step = f64::from(to - from) / count as f64;
        let first = f64::from(from) + step * 0.5;
        std::iter::successors(Some(first), move |&at| Some(at + step))
            .map(move |at| Some(at as usize).filter(|&at| at < all))
    };
    let columns: Vec<Option<usize>> = places(left, right, width, source.width()).take(width).collect();
    let rows = places(top, bottom, height, source.height());
    for (row, y) in out.chunks_exact_mut(width * C).zip(rows) {
        let Some(y) = y else {
            row.fill(0);
            continue;
        };
        let (pixels, _) = source.row(y).as_chunks::<C>();
        for (target, &x) in row.as_chunks_mut::<C>().0.iter_mut().zip(&columns) {
            *target = x.map_or([0; C], |x| pixels[x]);
        }
    }
}

impl<const C: usize> RasterView<'_, C> {
    /// The part `area` (left, top, right, bottom, in pixels, fractions allowed; `None` is all) at a new size: the bytes of
    /// Pillow's `Image.resize((width, height), filter, box=area)`.
    pub fn resize(
        &self,
        width: usize,
        height: usize,
        filter: Filter,
        area: Option<[f32; 4]>,
    ) -> Result<Raster<C>, ImageError> {
        let mut out = Raster::new(width, height)?;
        Resizer::new().resize_into(*self, area, filter, (width, height), out.data_mut())?;
        Ok(out)
    }
}

impl<const C: usize> Raster<C> {
    /// The whole picture at a new size: the bytes of Pillow's `Image.resize((width, height), filter)`.
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Result<Self, ImageError> {
        self.view().resize(width, height, filter, None)
    }
}

//! Pillow's `Image.resize`, byte for byte.
//!
//! Pillow resizes in two passes, with 8-bit pixels in between, weights of 22 fractional bits, and filters that widen when
//! shrinking. A pass that changes nothing is left out. Pillow 13 goes across first, unless the height shrinks by more
//! than twice the pixels that the width does; Pillow 12 and before always go across first ([`Passes`]).
//!
//! Here the passes are interleaved: the rows that one target row needs are made when it needs them, in a ring, so a
//! resize holds a few rows and no more.

use std::f64::consts::PI;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tiny_vlm_simd::{Isa, Level, Op};
use tiny_vlm_tensor::{Context, Executor, Inline, Stopped, split};

use crate::coefficients::Coefficients;
use crate::passes::{LANES, Strip, vertical};
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

/// The tables and buffers of a resize, kept from one to the next: a stream of pictures does not allocate them anew.
#[derive(Debug)]
pub struct Resizer {
    plan: Plan,
    level: Level,
    /// The buffers that no band in progress holds.
    idle: Mutex<Vec<Buffers>>,
    passes: Passes,
}

impl Default for Resizer {
    fn default() -> Self {
        Self::at_level(Level::detect())
    }
}

/// Everything that the bands of a resize share.
#[derive(Debug, Default)]
struct Plan {
    across: Coefficients,
    down: Coefficients,
    order: Order,
}

/// Which passes there are, and which goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Across,
    Down,
    AcrossDown,
    DownAcross,
}

/// What one band works in.
#[derive(Debug, Default)]
struct Buffers {
    strip: Strip,
    ring: Vec<u8>,
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

    /// An empty one that uses the instructions of `level`. The bytes are the same at every level.
    pub fn at_level(level: Level) -> Self {
        Self { level, plan: Plan::default(), idle: Mutex::default(), passes: Passes::default() }
    }

    /// Resizes the part `area` (left, top, right, bottom, in pixels, fractions allowed; `None` is all) of `source` into
    /// `out`, which has `width` × `height` pixels without gaps. Runs on the calling thread.
    pub fn resize_into<const C: usize>(
        &mut self,
        source: RasterView<'_, C>,
        area: Option<[f32; 4]>,
        filter: Filter,
        size: (usize, usize),
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        self.resize_on(&Inline, &|| Ok(()), source, area, filter, size, out)
    }

    /// The same on the threads of `ctx`, until it is stopped. The result does not depend on the number of threads.
    pub fn resize_with<const C: usize>(
        &mut self,
        ctx: &Context<'_>,
        source: RasterView<'_, C>,
        area: Option<[f32; 4]>,
        filter: Filter,
        size: (usize, usize),
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        let (stop, clock) = (ctx.stop, ctx.clock);
        self.resize_on(ctx.executor, &|| stop.check(clock), source, area, filter, size, out)
    }

    #[allow(clippy::too_many_arguments, reason = "what is resized, how, into what, and where it runs")]
    fn resize_on<const C: usize>(
        &mut self,
        executor: &dyn Executor,
        check: &(dyn Fn() -> Result<(), Stopped> + Sync),
        source: RasterView<'_, C>,
        area: Option<[f32; 4]>,
        filter: Filter,
        (width, height): (usize, usize),
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        check()?;
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
        if area == all && (width, height) == (source.width(), source.height()) {
            for (y, row) in out.chunks_exact_mut(width * C).enumerate() {
                row.copy_from_slice(source.row(y));
            }
            return Ok(());
        }
        if filter == Filter::Nearest {
            nearest(source, area, width, height, out);
            return Ok(());
        }
        self.prepare(source, area, filter, (width, height))?;
        self.run(executor, check, source, width, out)
    }

    /// Fills the tables and decides on the order of the passes.
    fn prepare<const C: usize>(
        &mut self,
        source: RasterView<'_, C>,
        [left, top, right, bottom]: [f32; 4],
        filter: Filter,
        (width, height): (usize, usize),
    ) -> Result<(), ImageError> {
        let Plan { across, down, order } = &mut self.plan;
        let too_many = ImageError::Target { width, height };
        let tables = across.compute(source.width(), left, right, width, filter);
        let tables = tables.and_then(|()| down.compute(source.height(), top, bottom, height, filter));
        tables.ok_or(too_many)?;
        let changes_across = width != source.width() || left != 0.0 || right != width as f32;
        let changes_down = height != source.height() || top != 0.0 || bottom != height as f32;
        let lost = |from: usize, to: usize| from as i64 - to as i64;
        let (columns, rows) = (lost(source.width(), width), lost(source.height(), height));
        *order = if !changes_down {
            Order::Across
        } else if !changes_across {
            Order::Down
        } else if self.passes == Passes::Pillow13 && rows > 0 && rows > 2 * columns {
            Order::DownAcross
        } else {
            Order::AcrossDown
        };
        Ok(())
    }

    /// Cuts the target into bands of rows, by its shape alone, and makes each.
    fn run<const C: usize>(
        &self,
        executor: &dyn Executor,
        check: &(dyn Fn() -> Result<(), Stopped> + Sync),
        source: RasterView<'_, C>,
        width: usize,
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        // Rows at the seams of bands are made twice, so bands are not thin.
        const BAND: usize = 64;
        let row_bytes = width * C;
        let failure = Mutex::new(None);
        split::for_each_chunk(executor, out, BAND * row_bytes, |i, out| {
            let made = check().map_err(ImageError::from).and_then(|()| {
                let mut buffers = lock(&self.idle).pop().unwrap_or_default();
                let first = i * BAND;
                let band = Band { plan: &self.plan, source, first, row_bytes, out, buffers: &mut buffers };
                let made = self.level.run(band);
                lock(&self.idle).push(buffers);
                made
            });
            if let Err(error) = made {
                *lock(&failure) = Some(error);
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Target rows from `first` on, as many as `out` holds.
struct Band<'a, const C: usize> {
    plan: &'a Plan,
    source: RasterView<'a, C>,
    first: usize,
    row_bytes: usize,
    out: &'a mut [u8],
    buffers: &'a mut Buffers,
}

impl<const C: usize> Op for Band<'_, C> {
    type Output = Result<(), ImageError>;

    // The loops are plain ones: the compiler makes vectors of the instruction set that this is inlined for.
    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> Self::Output {
        let Self { plan: Plan { across, down, order }, source, first, row_bytes, out, buffers } = self;
        let Buffers { strip, ring } = buffers;
        let rows = first..first + out.len() / row_bytes;
        match order {
            Order::Across => {
                for (y, out) in rows.step_by(LANES).zip(out.chunks_mut(LANES * row_bytes)) {
                    strip.horizontal::<C>(|i| source.row(y + i), across, row_bytes, out);
                }
            }
            Order::Down => {
                for (i, out) in rows.zip(out.chunks_exact_mut(row_bytes)) {
                    let from = down.first(i);
                    vertical(|k| source.row(from + k), down.weights(i), out);
                }
            }
            Order::DownAcross => {
                // Only the columns that are looked at later are made.
                let (begin, end) = across.span();
                let columns = begin * C..end * C;
                let stride = source.width() * C;
                room(ring, stride * LANES)?;
                for (y, out) in rows.step_by(LANES).zip(out.chunks_mut(LANES * row_bytes)) {
                    for (i, row) in (y..).zip(ring.chunks_exact_mut(stride)).take(out.len() / row_bytes) {
                        let (from, columns) = (down.first(i), columns.clone());
                        let row = &mut row[columns.clone()];
                        vertical(|k| &source.row(from + k)[columns.clone()], down.weights(i), row);
                    }
                    strip.horizontal::<C>(|i| &ring[i * stride..][..stride], across, row_bytes, out);
                }
            }
            Order::AcrossDown => {
                let tallest = rows.clone().map(|i| down.weights(i).len()).max().unwrap_or(0);
                // Strips go into the ring whole, and what the lowest target row needs is still there.
                let slots = (tallest + LANES).next_multiple_of(LANES);
                room(ring, slots.saturating_mul(row_bytes))?;
                let base = down.first(rows.start);
                let end = down.first(rows.end - 1) + down.weights(rows.end - 1).len();
                let mut next = base;
                for (i, out) in rows.zip(out.chunks_exact_mut(row_bytes)) {
                    let (from, weights) = (down.first(i), down.weights(i));
                    while next < from + weights.len() {
                        let made = LANES.min(end - next);
                        let slot = (next - base) % slots * row_bytes;
                        let target = &mut ring[slot..][..made * row_bytes];
                        strip.horizontal::<C>(|i| source.row(next + i), across, row_bytes, target);
                        next += made;
                    }
                    vertical(|k| &ring[(from + k - base) % slots * row_bytes..][..row_bytes], weights, out);
                }
            }
        }
        Ok(())
    }
}

/// Makes `buffer` at least `bytes` long.
fn room(buffer: &mut Vec<u8>, bytes: usize) -> Result<(), ImageError> {
    if buffer.len() < bytes {
        buffer.try_reserve(bytes - buffer.len()).map_err(|_| ImageError::Memory { bytes })?;
        buffer.resize(bytes, 0);
    }
    Ok(())
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

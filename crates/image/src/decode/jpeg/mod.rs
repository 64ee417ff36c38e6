//! JPEG, sequential and progressive: the pixels of libjpeg-turbo at its defaults, which are Pillow's, bit for bit.
//!
//! The transform, the spreading of chroma and the conversion of colours round exactly as they do there. A sequential
//! file whose first scan has all components is decoded a row of units at a time, and little is held besides the result;
//! any other file needs all its coefficients, two bytes a sample, before its first pixel is known.
//!
//! Where libjpeg goes on after damaged bits with a warning, this says that the file is broken.

mod frame;
mod huffman;
mod idct;
mod output;
mod scan;

use tiny_vlm_simd::Level;

use self::frame::{Colours, Frame, Scan, Segments, TRUNCATED};
use self::output::{Finish, Output, Transform};
use self::scan::{Block, Reader};
use crate::{Format, Header, Image, ImageError};

/// Each block of 64 samples takes at least one bit of the file.
const MOST_PIXELS_A_BYTE: u64 = 64 * 8;

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Image, ImageError> {
    let (width, height) = (header.stored_width, header.stored_height);
    if (width as u64).saturating_mul(height as u64) > MOST_PIXELS_A_BYTE.saturating_mul(bytes.len() as u64) {
        return Err(TRUNCATED);
    }
    let mut segments = Segments::new(bytes);
    let first = segments.next_scan()?.ok_or_else(no_scan)?;
    let frame = segments.frame.as_ref().ok_or_else(no_scan)?;
    if (frame.width, frame.height) != (width, height) {
        return Err(ImageError::broken(Format::Jpeg, "two sizes"));
    }
    let picture = Picture {
        level: Level::detect(),
        colours: segments.colours()?,
        output: Output::new(frame)?,
        image: Image::new(width, height)?,
    };
    if !frame.progressive && first.parts.len() == frame.components.len() {
        one_scan(bytes, &segments, frame, &first, picture)
    } else {
        many_scans(bytes, segments, first, picture)
    }
}

fn no_scan() -> ImageError {
    ImageError::broken(Format::Jpeg, "it ends before its first scan")
}

/// The result while it grows.
struct Picture {
    level: Level,
    colours: Colours,
    output: Output,
    image: Image,
}

impl Picture {
    /// Takes the blocks of row `y` of units. The rows of the picture follow when the row of units below is known.
    fn take(&mut self, frame: &Frame, y: usize, blocks: &[&[Block]]) {
        self.level.run(Transform { frame, y, blocks, output: &mut self.output });
        if y > 0 {
            self.finish(frame, y - 1);
        }
    }

    fn finish(&mut self, frame: &Frame, y: usize) {
        let Self { level, colours, output, image } = self;
        level.run(Finish { frame, colours: *colours, y, output, image });
    }

    fn end(mut self, frame: &Frame) -> Image {
        self.finish(frame, frame.units_y - 1);
        self.image
    }
}

/// Row by row of units, each forgotten once it is a part of the picture.
fn one_scan(
    bytes: &[u8],
    segments: &Segments<'_>,
    frame: &Frame,
    scan: &Scan,
    mut picture: Picture,
) -> Result<Image, ImageError> {
    let mut reader = Reader::new(bytes, segments, scan)?;
    let mut rows = blocks(frame, 1)?;
    for y in 0..frame.units_y {
        rows.iter_mut().for_each(|row| row.fill([0; 64]));
        read_units(frame, scan, &mut reader, &mut rows, 0)?;
        picture.take(frame, y, &rows.iter().map(|row| &row[..]).collect::<Vec<_>>());
    }
    Ok(picture.end(frame))
}

/// All scans first, into all coefficients.
fn many_scans(
    bytes: &[u8],
    mut segments: Segments<'_>,
    first: Scan,
    mut picture: Picture,
) -> Result<Image, ImageError> {
    let mut planes = blocks(segments.frame.as_ref().ok_or_else(no_scan)?, usize::MAX)?;
    let mut next = Some(first);
    while let Some(scan) = next {
        let frame = segments.frame.as_ref().ok_or_else(no_scan)?;
        let mut reader = Reader::new(bytes, &segments, &scan)?;
        match scan.parts[..] {
            [(i, _, _)] => read_blocks(frame, i, &mut reader, &mut planes[i])?,
            _ => {
                (0..frame.units_y).try_for_each(|y| read_units(frame, &scan, &mut reader, &mut planes, y))?
            }
        }
        let end = reader.end();
        segments.set_at(end);
        next = segments.next_scan()?;
    }
    let frame = segments.frame.as_ref().ok_or_else(no_scan)?;
    if frame.components.iter().any(|component| component.quantizers.is_none()) {
        return Err(ImageError::broken(Format::Jpeg, "a component without a scan"));
    }
    for y in 0..frame.units_y {
        let row = planes.iter().map(|plane| {
            let size = plane.len() / frame.units_y;
            &plane[y * size..][..size]
        });
        picture.take(frame, y, &row.collect::<Vec<_>>());
    }
    Ok(picture.end(frame))
}

/// For each component the blocks of `rows` rows of units, or of all that there are.
fn blocks(frame: &Frame, rows: usize) -> Result<Vec<Vec<Block>>, ImageError> {
    let made = frame.components.iter().map(|component| {
        let count = frame.units_x * component.h * component.v * rows.min(frame.units_y);
        let mut blocks = Vec::new();
        blocks
            .try_reserve_exact(count)
            .map_err(|_| ImageError::Memory { bytes: count.saturating_mul(size_of::<Block>()) })?;
        blocks.resize(count, [0; 64]);
        Ok(blocks)
    });
    made.collect()
}

/// The next row of units of a scan of several components, to row `y` of units in `planes`.
fn read_units(
    frame: &Frame,
    scan: &Scan,
    reader: &mut Reader<'_>,
    planes: &mut [Vec<Block>],
    y: usize,
) -> Result<(), ImageError> {
    for x in 0..frame.units_x {
        reader.begin_unit()?;
        for (part, &(i, _, _)) in scan.parts.iter().enumerate() {
            let (h, v) = (frame.components[i].h, frame.components[i].v);
            for row in y * v..(y + 1) * v {
                let from = (row * frame.units_x + x) * h;
                for block in &mut planes[i][from..from + h] {
                    reader.block(part, block)?;
                }
            }
        }
    }
    reader.check()
}

/// A scan of component `i` alone: only the blocks that the picture needs, row by row.
fn read_blocks(
    frame: &Frame,
    i: usize,
    reader: &mut Reader<'_>,
    plane: &mut [Block],
) -> Result<(), ImageError> {
    let component = &frame.components[i];
    for row in plane.chunks_exact_mut(frame.units_x * component.h).take(component.height.div_ceil(8)) {
        for block in &mut row[..component.width.div_ceil(8)] {
            reader.begin_unit()?;
            reader.block(0, block)?;
        }
        reader.check()?;
    }
    Ok(())
}

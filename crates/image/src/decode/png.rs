//! PNG, row by row: besides the result only a row or two is held, whatever the colour type.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodingError, InterlaceInfo, Transformations};

use super::Options;
use crate::colour::Samples;
use crate::{Format, Header, Image, ImageError};

/// Deflate makes at most 1032 bytes of one.
const MOST_INFLATED: u64 = 1032;

pub(super) fn decode(bytes: &[u8], header: &Header, options: &Options) -> Result<Image, ImageError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(error)?;
    let info = reader.info();
    let (width, height) = (header.stored_width, header.stored_height);
    if (info.width as usize, info.height as usize) != (width, height) {
        return Err(ImageError::broken(Format::Png, "two sizes"));
    }
    let stored = (info.raw_row_length() as u64).saturating_mul(height as u64);
    // Interlaced rows are shorter, but their bits are the same.
    if stored / 2 > MOST_INFLATED.saturating_mul(bytes.len() as u64) {
        return Err(ImageError::Truncated { format: Format::Png });
    }
    let samples = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => Samples::Grey8,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Samples::GreyAlpha8,
        (ColorType::Rgb, BitDepth::Eight) => Samples::Rgb8,
        (ColorType::Rgba, BitDepth::Eight) => Samples::Rgba8,
        (ColorType::Grayscale, BitDepth::Sixteen) => Samples::Grey16,
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => Samples::GreyAlpha16,
        (ColorType::Rgb, BitDepth::Sixteen) => Samples::Rgb16,
        (ColorType::Rgba, BitDepth::Sixteen) => Samples::Rgba16,
        other => return Err(ImageError::unsupported(Format::Png, format!("{other:?}"))),
    };
    let mut image = Image::new(width, height)?;
    let mut narrow = vec![0; if reader.info().interlaced { width * 3 } else { 0 }];
    let mut row = 0;
    while let Some(found) = reader.next_interlaced_row().map_err(error)? {
        match found.interlace() {
            InterlaceInfo::Null(_) => {
                if row == height {
                    return Err(ImageError::broken(Format::Png, "more rows than its height"));
                }
                samples.to_rgb(found.data(), image.row_mut(row), options.alpha, options.deep_grey);
                row += 1;
            }
            InterlaceInfo::Adam7(pass) => {
                samples.to_rgb(found.data(), &mut narrow, options.alpha, options.deep_grey);
                png::expand_interlaced_row(image.data_mut(), width * 3, &narrow, pass, 24);
            }
        }
    }
    Ok(image)
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format: Format::Png }
        }
        other => ImageError::broken(Format::Png, other.to_string()),
    }
}

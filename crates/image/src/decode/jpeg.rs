//! JPEG, baseline and progressive: grey, YCbCr, RGB, CMYK and YCCK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::colour::cmyk_to_rgb;
use crate::raster::zeroed;
use crate::{Format, Header, Image, ImageError};

/// Each block of 64 samples takes at least one bit of the file.
const MOST_PIXELS_A_BYTE: u64 = 64 * 8;

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Image, ImageError> {
    let (width, height) = (header.stored_width, header.stored_height);
    if (width as u64).saturating_mul(height as u64) > MOST_PIXELS_A_BYTE.saturating_mul(bytes.len() as u64) {
        return Err(ImageError::Truncated { format: Format::Jpeg });
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(error)?;
    if decoder.dimensions() != Some((width, height)) {
        return Err(ImageError::broken(Format::Jpeg, "two sizes"));
    }
    // Four channels come out as they are stored, so that their conversion to RGB is Pillow's.
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    let four = matches!(stored, ColorSpace::CMYK | ColorSpace::YCCK)
        && decoder.info().is_some_and(|info| info.components == 4);
    if four {
        decoder.set_options(options.jpeg_set_out_colorspace(stored));
    }
    let size = decoder.output_buffer_size();
    let mut pixels = zeroed(size.ok_or(ImageError::Target { width, height })?)?;
    decoder.decode_into(&mut pixels).map_err(error)?;
    if !four {
        return Image::from_vec(width, height, pixels);
    }
    let mut image = Image::new(width, height)?;
    let (quads, _) = pixels.as_chunks::<4>();
    for (rgb, &[a, b, c, k]) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(quads) {
        // Photoshop, and everything after it, stores ink inverted: 255 is none.
        let ink = match stored {
            ColorSpace::YCCK => ycc_to_rgb([a, b, c]).map(|c| 255 - c),
            _ => [a, b, c],
        }
        .map(|c| 255 - c);
        *rgb = cmyk_to_rgb([ink[0], ink[1], ink[2], 255 - k]);
    }
    Ok(image)
}

/// JFIF's full-range YCbCr, in 16-bit fixed point, rounded.
fn ycc_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    [
        y + ((91881 * cr + half) >> 16),
        y + ((-22554 * cb - 46802 * cr + half) >> 16),
        y + ((116130 * cb + half) >> 16),
    ]
    .map(|c| c.clamp(0, 255) as u8)
}

fn error(error: DecodeErrors) -> ImageError {
    let words = error.to_string();
    if matches!(error, DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_)) || words.contains("Premature")
    {
        return ImageError::Truncated { format: Format::Jpeg };
    }
    ImageError::broken(Format::Jpeg, words)
}

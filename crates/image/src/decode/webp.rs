//! WebP, lossy and lossless, the first frame of an animation on its canvas.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::Options;
use crate::colour::Samples;
use crate::raster::zeroed;
use crate::{Format, Header, Image, ImageError};

pub(super) fn decode(bytes: &[u8], header: &Header, options: &Options) -> Result<Image, ImageError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(error)?;
    // Metadata is never longer than the file that holds it.
    decoder.set_memory_limit(bytes.len());
    let (width, height) = decoder.dimensions();
    if (width as usize, height as usize) != (header.stored_width, header.stored_height) {
        return Err(ImageError::broken(Format::WebP, "two sizes"));
    }
    let size = decoder.output_buffer_size();
    let size = size.ok_or(ImageError::Target { width: header.stored_width, height: header.stored_height })?;
    let mut pixels = zeroed(size)?;
    decoder.read_image(&mut pixels).map_err(error)?;
    if !decoder.has_alpha() {
        return Image::from_vec(header.stored_width, header.stored_height, pixels);
    }
    let mut image = Image::new(header.stored_width, header.stored_height)?;
    Samples::Rgba8.to_rgb(&pixels, image.data_mut(), options.alpha, options.deep_grey);
    Ok(image)
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format: Format::WebP }
        }
        other => ImageError::broken(Format::WebP, other.to_string()),
    }
}

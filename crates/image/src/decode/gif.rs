//! GIF: the first frame on its canvas, through the palette.

use std::io::Cursor;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::Options;
use crate::{Format, Header, Image, ImageError};

pub(super) fn decode(bytes: &[u8], header: &Header, options: &Options) -> Result<Image, ImageError> {
    let (width, height) = (header.stored_width, header.stored_height);
    let mut reading = DecodeOptions::new();
    reading.set_color_output(ColorOutput::Indexed);
    if let Some(most) = NonZeroU64::new((width as u64).saturating_mul(height as u64)) {
        reading.set_memory_limit(MemoryLimit::Bytes(most));
    }
    let mut decoder = reading.read_info(Cursor::new(bytes)).map_err(error)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(error)?;
    let frame = frame.ok_or(ImageError::Truncated { format: Format::Gif })?;
    let palette = frame.palette.as_deref().or(global.as_deref());
    let colour = |index: u8| {
        let rgb = match palette {
            Some(palette) => palette.as_chunks::<3>().0.get(usize::from(index)).copied().unwrap_or_default(),
            // Without any palette the indices are levels of grey.
            None => [index; 3],
        };
        let a = if frame.transparent == Some(index) { 0 } else { 255 };
        options.alpha.flatten(rgb, a)
    };
    let colours: [[u8; 3]; 256] = std::array::from_fn(|i| colour(i as u8));
    // What the frame does not cover is transparent where the frame has transparency, and colour 0 elsewhere.
    let ground = colours[usize::from(frame.transparent.unwrap_or(0))];
    let mut image = Image::new(width, height)?;
    image.data_mut().as_chunks_mut::<3>().0.fill(ground);
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (across, down) = (usize::from(frame.width), usize::from(frame.height));
    if left + across > width || top + down > height {
        return Err(ImageError::broken(Format::Gif, "two sizes"));
    }
    for (y, indices) in frame.buffer.chunks_exact(across.max(1)).take(down).enumerate() {
        let row = &mut image.row_mut(top + y).as_chunks_mut::<3>().0[left..left + across];
        for (rgb, &index) in row.iter_mut().zip(indices) {
            *rgb = colours[usize::from(index)];
        }
    }
    Ok(image)
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::UnexpectedEof => ImageError::Truncated { format: Format::Gif },
        DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format: Format::Gif }
        }
        other => ImageError::broken(Format::Gif, other.to_string()),
    }
}

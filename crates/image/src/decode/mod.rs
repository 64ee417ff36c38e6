//! Files to pixels. [`Header::read`] has passed before anything here runs; each format then writes its rows as RGB.

mod bmp;
mod gif;
mod jpeg;
mod png;
mod webp;

use std::io::Read;
use std::path::Path;

use crate::colour::{Alpha, DeepGrey};
use crate::{Format, Header, ImageError, Limits, Raster};

/// How a file becomes an [`Image`](crate::Image).
///
/// The default is what a person would see: turned upright, on white. [`Options::pillow`] is what the reference image
/// processors get from `Image.open(..)` and `convert("RGB")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What is refused before decoding.
    pub limits: Limits,
    /// What becomes of transparency.
    pub alpha: Alpha,
    /// What becomes of grey of 16 bits.
    pub deep_grey: DeepGrey,
    /// Whether the picture is turned as its EXIF orientation says.
    pub orient: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), alpha: Alpha::White, deep_grey: DeepGrey::UpperByte, orient: true }
    }
}

impl Options {
    /// The defaults with other limits.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The pixels of Pillow's `ImageOps.exif_transpose(Image.open(..)).convert("RGB")`: transparency is dropped and deep
    /// grey is clipped. Set `orient` to false for those without `exif_transpose`.
    pub fn pillow(limits: Limits) -> Self {
        Self { limits, alpha: Alpha::Drop, deep_grey: DeepGrey::Clip, orient: true }
    }
}

impl Raster<3> {
    /// Reads a file within the default [`Limits`], upright and on white.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImageError> {
        Self::open_with(path, &Options::default())
    }

    /// Reads a file. No more than [`Limits::max_bytes`] are read, whatever the file turns out to be.
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Self, ImageError> {
        let path = path.as_ref();
        let failed = |source| ImageError::Read { path: path.to_path_buf(), source };
        let limit = options.limits.max_bytes;
        let file = std::fs::File::open(path).map_err(failed)?;
        let stated = file.metadata().map_err(failed)?.len();
        options.limits.check_bytes(stated)?;
        let mut bytes = Vec::new();
        // A pipe states no length, and a file may grow: one byte more than is allowed is enough to know.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        Self::decode_with(&bytes, options)
    }

    /// Decodes a PNG, JPEG, WebP, GIF (first frame) or BMP file, upright and on white.
    ///
    /// ```
    /// use tiny_vlm_image::{Image, Limits};
    ///
    /// let error = Image::decode(b"not an image", &Limits::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "not a PNG, JPEG, WebP, GIF or BMP image");
    /// ```
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        Self::decode_with(bytes, &Options::with_limits(*limits))
    }

    /// Decodes with a choice of what becomes of transparency, deep grey and orientation.
    pub fn decode_with(bytes: &[u8], options: &Options) -> Result<Self, ImageError> {
        let header = Header::read(bytes, &options.limits)?;
        let image = match header.format {
            Format::Png => png::decode(bytes, &header, options),
            Format::Jpeg => jpeg::decode(bytes, &header),
            Format::WebP => webp::decode(bytes, &header, options),
            Format::Gif => gif::decode(bytes, &header, options),
            Format::Bmp => bmp::decode(bytes, &header, options),
        }?;
        if options.orient { image.oriented(header.orientation) } else { Ok(image) }
    }
}

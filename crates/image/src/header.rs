//! What a file says about itself, read without decoding a pixel.
//!
//! The readers below walk the containers (chunks, segments, blocks) by their own lengths, so their time is bounded by
//! the length of the file, and they allocate nothing.

use std::fmt;

use crate::exif::{self, Orientation};
use crate::{ImageError, Limits, webp_header};

/// The file formats that are read. Which one a file has is decided by its first bytes, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline and progressive.
    Jpeg,
    /// WebP, lossy and lossless; the first frame of an animation.
    WebP,
    /// GIF; the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        })
    }
}

impl Format {
    /// The format that these first bytes belong to.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if bytes.starts_with(b"BM") {
            Some(Self::Bmp)
        } else {
            None
        }
    }
}

/// What the header of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The format of the file.
    pub format: Format,
    /// Width of the stored pixels.
    pub stored_width: usize,
    /// Height of the stored pixels.
    pub stored_height: usize,
    /// How the stored pixels must be turned.
    pub orientation: Orientation,
}

impl Header {
    /// Reads and checks the header of the image in `bytes`.
    ///
    /// ```
    /// use tiny_vlm_image::{Header, Limits};
    ///
    /// let bomb = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0";
    /// assert_eq!(Header::read(bomb, &Limits::default()).unwrap_err().code(), "image-too-many-pixels");
    /// ```
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty);
        }
        limits.check_bytes(bytes.len() as u64)?;
        let format = Format::detect(bytes).ok_or(ImageError::UnknownFormat)?;
        let read = match format {
            Format::Png => png(bytes),
            Format::Jpeg => jpeg(bytes),
            Format::WebP => webp_header::read(bytes),
            Format::Gif => gif(bytes),
            Format::Bmp => bmp(bytes),
        };
        let (width, height, orientation) = match read {
            Some(found) => found?,
            None => return Err(ImageError::Truncated { format }),
        };
        limits.check_size(width, height)?;
        let narrow = |side: u64| {
            usize::try_from(side).map_err(|_| ImageError::TooManyPixels {
                width,
                height,
                limit: limits.max_pixels,
            })
        };
        Ok(Self {
            format,
            stored_width: narrow(width)?,
            stored_height: narrow(height)?,
            orientation: orientation.unwrap_or_default(),
        })
    }

    /// Width as the picture is seen.
    pub fn width(&self) -> usize {
        if self.orientation.swaps_sides() { self.stored_height } else { self.stored_width }
    }

    /// Height as the picture is seen.
    pub fn height(&self) -> usize {
        if self.orientation.swaps_sides() { self.stored_width } else { self.stored_height }
    }
}

/// Width, height and orientation; `None` where the file ends too early.
pub(crate) type Found = Option<Result<(u64, u64, Option<Orientation>), ImageError>>;

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Chunks of `length, type, data, checksum`; the first is `IHDR`, EXIF is in `eXIf`.
fn png(bytes: &[u8]) -> Found {
    const FIRST: usize = 8;
    if bytes.get(FIRST + 4..FIRST + 8)? != b"IHDR" || be32(bytes, FIRST)? != 13 {
        return Some(Err(ImageError::broken(Format::Png, "the first chunk is not IHDR")));
    }
    let (width, height) = (be32(bytes, FIRST + 8)?, be32(bytes, FIRST + 12)?);
    bytes.get(FIRST..FIRST + 25)?;
    let mut orientation = None;
    let mut at = FIRST;
    while let (Some(length), Some(kind)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        let data = at + 8;
        let Some(end) = usize::try_from(length).ok().and_then(|n| data.checked_add(n)) else { break };
        if kind == b"eXIf" {
            orientation = bytes.get(data..end).and_then(exif::orientation);
            break;
        }
        let Some(next) = end.checked_add(4) else { break };
        at = next;
    }
    Some(Ok((width.into(), height.into(), orientation)))
}

/// Segments of `0xff, marker, length, data` up to the start of the first scan.
fn jpeg(bytes: &[u8]) -> Found {
    let mut at = 2;
    let mut size = None;
    let mut orientation = None;
    loop {
        // Any number of 0xff may stand before a marker; anything else there is skipped, as decoders do.
        while *bytes.get(at)? != 0xff {
            at += 1;
        }
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 => return Some(Err(ImageError::broken(Format::Jpeg, "it ends before its first scan"))),
            0xda => break,
            _ => {}
        }
        let length = usize::from(be16(bytes, at)?);
        if length < 2 {
            return Some(Err(ImageError::broken(Format::Jpeg, "a segment of negative length")));
        }
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if size.is_some() {
                    return Some(Err(ImageError::broken(Format::Jpeg, "more than one frame header")));
                }
                size = Some((u64::from(be16(bytes, at + 5)?), u64::from(be16(bytes, at + 3)?)));
            }
            0xe1 if orientation.is_none() => {
                let data = bytes.get(at + 2..at + length)?;
                if data.starts_with(b"Exif\0\0") {
                    orientation = exif::orientation(data);
                }
            }
            _ => {}
        }
        at += length;
    }
    Some(match size {
        Some((width, height)) => Ok((width, height, orientation)),
        None => Err(ImageError::broken(Format::Jpeg, "a scan before any frame header")),
    })
}

/// The canvas, grown where the first frame reaches beyond it.
fn gif(bytes: &[u8]) -> Found {
    let table = |flags: u8| if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let (mut width, mut height) = (le16(bytes, 6)?, le16(bytes, 8)?);
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            0x2c => break,
            0x21 => {
                at += 2;
                while let n @ 1.. = *bytes.get(at)? {
                    at += 1 + usize::from(n);
                }
                at += 1;
            }
            _ => return Some(Err(ImageError::broken(Format::Gif, "no frame"))),
        }
    }
    let reach = |from: Option<u16>, length: Option<u16>| Some(u32::from(from?) + u32::from(length?));
    let right = reach(le16(bytes, at + 1), le16(bytes, at + 5))?;
    let bottom = reach(le16(bytes, at + 3), le16(bytes, at + 7))?;
    if right > u32::from(u16::MAX) || bottom > u32::from(u16::MAX) {
        return Some(Err(ImageError::broken(Format::Gif, "a frame outside of what can be addressed")));
    }
    if right > u32::from(width) || bottom > u32::from(height) {
        (width, height) = (width.max(right as u16), height.max(bottom as u16));
    }
    Some(Ok((width.into(), height.into(), None)))
}

/// The size follows the fourteen bytes of the file header.
fn bmp(bytes: &[u8]) -> Found {
    let (width, height) = match le32(bytes, 14)? {
        12 => (u64::from(le16(bytes, 18)?), u64::from(le16(bytes, 20)?)),
        40 | 52 | 56 | 64 | 108 | 124 => {
            let (width, height) = (le32(bytes, 18)? as i32, le32(bytes, 22)? as i32);
            let Ok(width) = u64::try_from(width) else {
                return Some(Err(ImageError::broken(Format::Bmp, "a negative width")));
            };
            (width, u64::from(height.unsigned_abs()))
        }
        n => {
            return Some(Err(ImageError::unsupported(Format::Bmp, format!("a header of {n} bytes"))));
        }
    };
    Some(Ok((width, height, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_their_first_bytes() {
        assert_eq!(Format::detect(b"\x89PNG\r\n\x1a\n"), Some(Format::Png));
        assert_eq!(Format::detect(b"RIFF\0\0\0\0WEBP"), Some(Format::WebP));
        assert_eq!(Format::detect(b"RIFF\0\0\0\0WAVE"), None);
        assert_eq!(Format::detect(b"%PDF-1.7"), None);
        let code = |bytes: &[u8]| Header::read(bytes, &Limits::default()).unwrap_err().code();
        assert_eq!(code(b""), "image-empty");
        assert_eq!(code(b"<svg/>"), "image-unknown-format");
        assert_eq!(code(b"GIF89a"), "image-truncated");
        assert_eq!(code(&[0xff, 0xd8, 0xff, 0xd9]), "image-broken");
    }

    #[test]
    fn a_hundred_megapixels_in_a_small_file() {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(10_000u32.to_be_bytes());
        bytes.extend(10_000u32.to_be_bytes());
        bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Header::read(&bytes, &Limits::default()).unwrap_err().code(), "image-too-many-pixels");
        let header = Header::read(&bytes, &Limits::none()).unwrap();
        assert_eq!((header.width(), header.height()), (10_000, 10_000));
    }
}

//! Windows bitmaps: 1, 4 and 8 bits with a palette, plain or run-length encoded, and 16, 24 and 32 bits.

use super::Options;
use crate::colour::Alpha;
use crate::header::{le16, le32};
use crate::raster::zeroed;
use crate::{Format, Header, Image, ImageError};

const FILE_HEADER: usize = 14;
const TRUNCATED: ImageError = ImageError::Truncated { format: Format::Bmp };

/// The rest of the header, after the size.
struct Info {
    bits: u16,
    compression: u32,
    top_down: bool,
    /// Where the palette lies, how many bytes an entry of it has, and how many entries.
    palette: (usize, usize, usize),
    pixels: usize,
    /// Masks of red, green, blue and alpha in pixels of 16 and 32 bits.
    masks: [u32; 4],
}

pub(super) fn decode(bytes: &[u8], header: &Header, options: &Options) -> Result<Image, ImageError> {
    let info = Info::read(bytes).ok_or(TRUNCATED)?;
    let (width, height) = (header.stored_width, header.stored_height);
    let row_bytes = width.checked_mul(usize::from(info.bits)).map(|n| n.div_ceil(32) * 4);
    let row_bytes = row_bytes.ok_or(ImageError::Target { width, height })?;
    let data = bytes.get(info.pixels..).ok_or(TRUNCATED)?;
    let unpacked;
    let (data, row_bytes, bits) = match (info.compression, info.bits) {
        (RAW, 1 | 4 | 8 | 16 | 24 | 32) | (BITFIELDS | ALPHA_BITFIELDS, 16 | 32) => {
            (data, row_bytes, info.bits)
        }
        (RLE8, 8) | (RLE4, 4) => {
            unpacked = unpack(data, width, height, info.bits)?;
            (&unpacked[..], width, 8)
        }
        (compression, bits) => {
            let kind = format!("{bits} bits with compression {compression}");
            return Err(ImageError::unsupported(Format::Bmp, kind));
        }
    };
    let rows = row_bytes.checked_mul(height).and_then(|n| data.get(..n)).ok_or(TRUNCATED)?;
    let mut image = Image::new(width, height)?;
    let palette = info.palette(bytes);
    let fields = info.masks.map(Field::new);
    for (i, row) in rows.chunks_exact(row_bytes).enumerate() {
        let y = if info.top_down { i } else { height - 1 - i };
        let out = image.row_mut(y).as_chunks_mut::<3>().0;
        match bits {
            24 => {
                for (rgb, &[b, g, r]) in out.iter_mut().zip(row.as_chunks::<3>().0) {
                    *rgb = [r, g, b];
                }
            }
            16 => {
                for (rgb, &pixel) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                    *rgb = pick(u32::from(u16::from_le_bytes(pixel)), &fields, options.alpha);
                }
            }
            32 => {
                for (rgb, &pixel) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                    *rgb = pick(u32::from_le_bytes(pixel), &fields, options.alpha);
                }
            }
            bits => {
                let per_byte = 8 / usize::from(bits);
                let mask = (1u16 << bits) - 1;
                for (x, rgb) in out.iter_mut().enumerate() {
                    let shift = 8 - usize::from(bits) * (x % per_byte + 1);
                    let index = (row[x / per_byte] >> shift) & mask as u8;
                    *rgb = palette[usize::from(index)];
                }
            }
        }
    }
    Ok(image)
}

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BITFIELDS: u32 = 3;
const ALPHA_BITFIELDS: u32 = 6;

impl Info {
    fn read(bytes: &[u8]) -> Option<Self> {
        let length = le32(bytes, FILE_HEADER)? as usize;
        let pixels = le32(bytes, 10)? as usize;
        let mut after = FILE_HEADER + length;
        if length == 12 {
            let bits = le16(bytes, 24)?;
            let palette = (after, 3, 1usize.checked_shl(bits.into()).unwrap_or(0));
            return Some(Self {
                bits,
                compression: RAW,
                top_down: false,
                palette,
                pixels,
                masks: masks(bits),
            });
        }
        let bits = le16(bytes, 28)?;
        let compression = le32(bytes, 30)?;
        let mut fields = masks(bits);
        if matches!(compression, BITFIELDS | ALPHA_BITFIELDS) {
            // In the longer headers the masks are fields; the shortest has them behind it, at the same place.
            let count = if length >= 56 || compression == ALPHA_BITFIELDS { 4 } else { 3 };
            fields = [0; 4];
            for (i, field) in fields.iter_mut().take(count).enumerate() {
                *field = le32(bytes, FILE_HEADER + 40 + 4 * i)?;
            }
            if length == 40 {
                after += 4 * count;
            }
        }
        let stated = le32(bytes, 46)? as usize;
        let most = 1usize.checked_shl(bits.into()).unwrap_or(0);
        let palette = (after, 4, if stated == 0 { most } else { stated });
        let top_down = (le32(bytes, 22)? as i32) < 0;
        Some(Self { bits, compression, top_down, palette, pixels, masks: fields })
    }

    /// The colours; those the file lacks are black.
    fn palette(&self, bytes: &[u8]) -> [[u8; 3]; 256] {
        let (at, size, count) = self.palette;
        let mut colours = [[0; 3]; 256];
        let entries = bytes.get(at..).unwrap_or_default().chunks_exact(size);
        for (rgb, entry) in colours.iter_mut().zip(entries.take(count)) {
            *rgb = [entry[2], entry[1], entry[0]];
        }
        colours
    }
}

/// The fields of plain pixels: 5 bits each in 16, 8 bits each in 32, and no alpha.
fn masks(bits: u16) -> [u32; 4] {
    if bits == 16 { [0x7c00, 0x03e0, 0x001f, 0] } else { [0xff_0000, 0x00_ff00, 0x00_00ff, 0] }
}

/// One channel in a pixel: shifted down, then scaled to 255.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    max: u32,
}

impl Field {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        Self { shift, max: mask >> shift }
    }

    fn of(self, pixel: u32) -> u8 {
        if self.max == 0 {
            return 0;
        }
        let value = (pixel >> self.shift) & self.max;
        (u64::from(value) * 255 / u64::from(self.max)) as u8
    }
}

fn pick(pixel: u32, [r, g, b, a]: &[Field; 4], alpha: Alpha) -> [u8; 3] {
    let opacity = if a.max == 0 { 255 } else { a.of(pixel) };
    alpha.flatten([r.of(pixel), g.of(pixel), b.of(pixel)], opacity)
}

/// Undoes run-length encoding into one byte a pixel. Pixels that are skipped have colour 0, as in Pillow.
fn unpack(data: &[u8], width: usize, height: usize, bits: u16) -> Result<Vec<u8>, ImageError> {
    let size = width.checked_mul(height).ok_or(ImageError::Target { width, height })?;
    let mut out = zeroed(size)?;
    let (mut x, mut y, mut at) = (0usize, 0usize, 0usize);
    let nibble = |byte: u8, i: usize| if i.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
    while y < height {
        let (&count, &value) = match (data.get(at), data.get(at + 1)) {
            (Some(count), Some(value)) => (count, value),
            _ => return Err(TRUNCATED),
        };
        at += 2;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                let (&right, &up) = match (data.get(at), data.get(at + 1)) {
                    (Some(right), Some(up)) => (right, up),
                    _ => return Err(TRUNCATED),
                };
                at += 2;
                (x, y) = (x + usize::from(right), y + usize::from(up));
            }
            (0, literal) => {
                let literal = usize::from(literal);
                let bytes = if bits == 4 { literal.div_ceil(2) } else { literal };
                let pixels = data.get(at..at + bytes).ok_or(TRUNCATED)?;
                for i in 0..literal.min(width.saturating_sub(x)) {
                    out[y * width + x + i] = if bits == 4 { nibble(pixels[i / 2], i) } else { pixels[i] };
                }
                x += literal;
                at += bytes + bytes % 2;
            }
            (run, value) => {
                for i in 0..usize::from(run).min(width.saturating_sub(x)) {
                    out[y * width + x + i] = if bits == 4 { nibble(value, i) } else { value };
                }
                x += usize::from(run);
            }
        }
    }
    Ok(out)
}

//! The header of a WebP file: its canvas, the pictures on it, and the partitions that those are stored in.
//!
//! A WebP states its size up to three times, and the decoder allocates by the innermost; a lossy one also states the
//! lengths of its partitions, and the decoder allocates those before it reads them. All of it is checked here, so that
//! no allocation depends on an unchecked number. Container: RFC 9649; frame header: RFC 6386, section 9.

use crate::exif;
use crate::header::{Found, le16, le32};
use crate::{Format, ImageError};

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(3)?)?;
    Some(u32::from(b[0]) | u32::from(b[1]) << 8 | u32::from(b[2]) << 16)
}

/// RIFF chunks of `type, length, data, padding to even`. With `VP8X` the canvas is stated there, and the pictures on it
/// state their own sizes again: both must agree, because a decoder allocates by the inner ones.
pub(crate) fn read(bytes: &[u8]) -> Found {
    let mut canvas = None;
    let mut first = None;
    let mut orientation = None;
    let mut at: usize = 12;
    while let (Some(kind), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) {
        let data = at + 8;
        match kind {
            b"VP8X" if canvas.is_none() && first.is_none() => {
                canvas = Some((u64::from(le24(bytes, data + 4)?) + 1, u64::from(le24(bytes, data + 7)?) + 1));
            }
            b"VP8 " | b"VP8L" => {
                let size = match picture(bytes, at)? {
                    Ok(size) => size,
                    Err(e) => return Some(Err(e)),
                };
                if canvas.is_some_and(|canvas| canvas != size) || first.is_some_and(|first| first != size) {
                    return Some(Err(ImageError::broken(Format::WebP, "two sizes")));
                }
                first = Some(size);
            }
            b"ANMF" => {
                let frame = (u64::from(le24(bytes, data + 6)?) + 1, u64::from(le24(bytes, data + 9)?) + 1);
                let fits = canvas.is_some_and(|(width, height)| frame.0 <= width && frame.1 <= height);
                // An alpha plane may stand before the picture.
                let mut inner = data.checked_add(16)?;
                if bytes.get(inner..inner + 4)? == b"ALPH" {
                    inner = inner.checked_add(8 + even(le32(bytes, inner + 4)?)?)?;
                }
                if !fits || !matches!(picture(bytes, inner)?, Ok(size) if size == frame) {
                    return Some(Err(ImageError::broken(
                        Format::WebP,
                        "a frame that does not fit its canvas",
                    )));
                }
            }
            b"EXIF" if orientation.is_none() => {
                let end = usize::try_from(length).ok().and_then(|n| data.checked_add(n));
                orientation = end.and_then(|end| bytes.get(data..end)).and_then(exif::orientation);
            }
            _ => {}
        }
        match even(length).and_then(|n| data.checked_add(n)) {
            Some(next) => at = next,
            None => break,
        }
    }
    let (width, height) = canvas.or(first)?;
    Some(Ok((width, height, orientation)))
}

/// A length with its padding.
fn even(length: u32) -> Option<usize> {
    usize::try_from(length).ok().and_then(|n| n.checked_add(n & 1))
}

/// The size that the `VP8 ` or `VP8L` chunk at `at` states.
fn picture(bytes: &[u8], at: usize) -> Option<Result<(u64, u64), ImageError>> {
    let broken = |what: &str| Some(Err(ImageError::broken(Format::WebP, what)));
    let kind = bytes.get(at..at.checked_add(4)?)?;
    let length = usize::try_from(le32(bytes, at + 4)?).ok()?;
    let data = bytes.get(at + 8..)?;
    let data = &data[..length.min(data.len())];
    if kind == b"VP8L" {
        if *data.first()? != 0x2f {
            return broken("no lossless signature");
        }
        let bits = le32(data, 1)?;
        return Some(Ok((u64::from(bits & 0x3fff) + 1, u64::from((bits >> 14) & 0x3fff) + 1)));
    }
    // The lowest bit of a frame is zero in those that stand alone.
    if kind != b"VP8 " || data.first()? & 1 != 0 || data.get(3..6)? != [0x9d, 0x01, 0x2a] {
        return broken("no key frame");
    }
    let side = |at| Some(u64::from(le16(data, at)? & 0x3fff));
    let size = (side(6)?, side(8)?);
    let first_partition = usize::try_from(le24(data, 0)? >> 5).ok()?;
    let rest = data.get(10 + first_partition..)?;
    let count = 1usize << log2_partitions(&data[10..10 + first_partition]);
    // The lengths of all partitions but the last, then the partitions.
    let mut used = 3 * (count - 1);
    for i in 0..count - 1 {
        used += usize::try_from(le24(rest, 3 * i)?).ok()?;
    }
    rest.get(used..)?;
    Some(Ok(size))
}

/// The field `log2_nbr_of_dct_partitions` of a key frame's header: behind colour space, segments and loop filter.
fn log2_partitions(first_partition: &[u8]) -> u32 {
    let mut bits = EvenBits::new(first_partition);
    bits.skip(2); // colour space, clamping
    if bits.flag() {
        // Segments: whether their map and whether their numbers are here.
        let (map, numbers) = (bits.flag(), bits.flag());
        if numbers {
            bits.flag();
            (0..4).for_each(|_| bits.skip_optional(8)); // quantizers, signed
            (0..4).for_each(|_| bits.skip_optional(7)); // loop filter levels, signed
        }
        if map {
            (0..3).for_each(|_| bits.skip_optional(8));
        }
    }
    bits.skip(1 + 6 + 3); // loop filter: kind, level, sharpness
    if bits.flag() && bits.flag() {
        (0..8).for_each(|_| bits.skip_optional(7)); // its adjustments, signed
    }
    u32::from(bits.flag()) << 1 | u32::from(bits.flag())
}

/// The arithmetic decoder of VP8 for symbols that are as likely 0 as 1, as all of those above are. Behind the end are
/// zeros.
struct EvenBits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// The bits being looked at are the upper ones of sixteen.
    value: u32,
    range: u32,
    /// How often `value` was shifted since it last took a byte.
    shifted: u32,
}

impl<'a> EvenBits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut bytes = bytes.iter();
        let mut byte = || u32::from(bytes.next().copied().unwrap_or(0));
        let value = byte() << 8 | byte();
        Self { bytes, value, range: 255, shifted: 0 }
    }

    fn flag(&mut self) -> bool {
        let split = 1 + (((self.range - 1) * 128) >> 8);
        let one = self.value >= split << 8;
        if one {
            self.range -= split;
            self.value -= split << 8;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.range <<= 1;
            self.value <<= 1;
            self.shifted += 1;
            if self.shifted == 8 {
                self.shifted = 0;
                self.value |= u32::from(self.bytes.next().copied().unwrap_or(0));
            }
        }
        one
    }

    fn skip(&mut self, bits: usize) {
        (0..bits).for_each(|_| {
            self.flag();
        });
    }

    /// A number of `bits` bits that is there only if the flag before it says so.
    fn skip_optional(&mut self, bits: usize) {
        if self.flag() {
            self.skip(bits);
        }
    }
}

//! The one field of EXIF that changes what a picture shows: its orientation.
//!
//! EXIF is a TIFF file inside an image file: a byte order, then a directory of twelve-byte entries. Only the first
//! directory is read, and only for tag 0x0112.

/// How the stored pixels must be turned to be seen upright; the numbers are EXIF's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// 1: as stored.
    #[default]
    Upright,
    /// 2: mirrored left to right.
    FlipHorizontal,
    /// 3: turned by half.
    Rotate180,
    /// 4: mirrored top to bottom.
    FlipVertical,
    /// 5: mirrored along the main diagonal.
    Transpose,
    /// 6: to be turned a quarter clockwise.
    Rotate90,
    /// 7: mirrored along the other diagonal.
    Transverse,
    /// 8: to be turned a quarter anticlockwise.
    Rotate270,
}

impl Orientation {
    /// The orientation with EXIF's number `value`, if there is one.
    pub fn from_exif(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Upright,
            2 => Self::FlipHorizontal,
            3 => Self::Rotate180,
            4 => Self::FlipVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => return None,
        })
    }

    /// Whether width and height change places.
    pub fn swaps_sides(self) -> bool {
        matches!(self, Self::Transpose | Self::Rotate90 | Self::Transverse | Self::Rotate270)
    }
}

/// Finds the orientation in a block of EXIF (`tiff` starts at the byte order, or at `Exif\0\0` before it).
/// A block that is broken, or that says nothing, leaves the picture as it is: `None`.
pub(crate) fn orientation(tiff: &[u8]) -> Option<Orientation> {
    let tiff = tiff.strip_prefix(b"Exif\0\0").unwrap_or(tiff);
    let little = match tiff.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    const TAG: u16 = 0x0112;
    const SHORT: u16 = 3;
    const ENTRY: usize = 12;
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(directory)?);
    let first = directory.checked_add(2)?;
    for i in 0..entries {
        let entry = first.checked_add(i * ENTRY)?;
        if u16_at(entry)? == TAG {
            // A value of two bytes stands in the entry itself, at its ninth byte.
            let is_one_short = u16_at(entry + 2)? == SHORT && u32_at(entry + 4)? == 1;
            return is_one_short.then(|| u16_at(entry + 8)).flatten().and_then(Orientation::from_exif);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiff(little: bool, value: u16) -> Vec<u8> {
        let mut out = Vec::new();
        let put16 = |out: &mut Vec<u8>, v: u16| {
            out.extend(if little { v.to_le_bytes() } else { v.to_be_bytes() });
        };
        out.extend(if little { b"II" } else { b"MM" });
        put16(&mut out, 42);
        out.extend(if little { 8u32.to_le_bytes() } else { 8u32.to_be_bytes() });
        put16(&mut out, 2);
        for (tag, v) in [(0x0100, 7), (0x0112, value)] {
            put16(&mut out, tag);
            put16(&mut out, 3);
            out.extend(if little { 1u32.to_le_bytes() } else { 1u32.to_be_bytes() });
            put16(&mut out, v);
            put16(&mut out, 0);
        }
        out
    }

    #[test]
    fn both_byte_orders() {
        for little in [true, false] {
            for value in 0..10 {
                assert_eq!(orientation(&tiff(little, value)), Orientation::from_exif(value), "{value}");
            }
            let with_prefix = [b"Exif\0\0".as_slice(), &tiff(little, 6)].concat();
            assert_eq!(orientation(&with_prefix), Some(Orientation::Rotate90));
        }
    }

    #[test]
    fn every_truncation_is_harmless() {
        let whole = tiff(true, 6);
        for n in 0..whole.len() - 3 {
            assert_eq!(orientation(&whole[..n]), None, "{n}");
        }
    }

    #[test]
    fn offsets_that_lie() {
        let mut bytes = tiff(true, 6);
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(orientation(&bytes), None);
        let mut bytes = tiff(true, 6);
        bytes[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(orientation(&bytes), Some(Orientation::Rotate90));
    }
}

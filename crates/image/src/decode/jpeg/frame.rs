//! The segments of a JPEG file: what they say is checked here, so that nothing behind needs to. T.81, annex B.

use super::huffman::Table;
use crate::header::be16;
use crate::{Format, ImageError};

/// Scans that a file may have. Progressive files have about ten; each one costs a walk over all blocks.
const MAX_SCANS: usize = 256;
/// Blocks of a unit of an interleaved scan.
const MAX_BLOCKS: usize = 10;

/// In which order a block's coefficients are stored.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// How the channels are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// The picture and how it is cut up. A unit is the smallest part that has whole blocks of every component.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// Sampling factors of the finest component.
    pub(super) h_max: usize,
    pub(super) v_max: usize,
    pub(super) units_x: usize,
    pub(super) units_y: usize,
}

/// One channel.
pub(super) struct Component {
    id: u8,
    /// Blocks of it in a unit, across and down.
    pub(super) h: usize,
    pub(super) v: usize,
    quantizer: usize,
    /// The quantizers that were in force when its first scan began.
    pub(super) quantizers: Option<[u16; 64]>,
    /// Samples that the picture needs, before they are spread.
    pub(super) width: usize,
    pub(super) height: usize,
}

/// One pass over the blocks of some components.
pub(super) struct Scan {
    /// Which components, with their tables of DC and AC codes.
    pub(super) parts: Vec<(usize, usize, usize)>,
    /// The coefficients it brings, and how far their bits are moved: before, and now.
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) high: u32,
    pub(super) low: u32,
}

/// What the segments have said so far.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    quantizers: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    /// Units between restarts; zero for none.
    pub(super) restart: usize,
    pub(super) frame: Option<Frame>,
    jfif: bool,
    adobe: Option<u8>,
    scans: usize,
}

fn broken(what: &str) -> ImageError {
    ImageError::broken(Format::Jpeg, what)
}

pub(super) const TRUNCATED: ImageError = ImageError::Truncated { format: Format::Jpeg };

/// The next marker at or behind `at`, and where what follows it begins.
pub(super) fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff)?;
        if bytes[at] != 0 {
            return Some((bytes[at], at + 1));
        }
    }
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 2,
            quantizers: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            frame: None,
            jfif: false,
            adobe: None,
            scans: 0,
        }
    }

    /// Reads on to the next scan; `None` at the end of the picture. The entropy-coded bytes begin at [`Self::at`].
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>, ImageError> {
        loop {
            let (marker, at) = next_marker(self.bytes, self.at).ok_or(TRUNCATED)?;
            self.at = at;
            match marker {
                0xd9 => return Ok(None),
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let length = usize::from(be16(self.bytes, at).ok_or(TRUNCATED)?);
            let data = self.bytes.get(at..at + length).ok_or(TRUNCATED)?;
            let data = data.get(2..).ok_or_else(|| broken("a segment of negative length"))?;
            self.at += length;
            match marker {
                0xc0..=0xc2 => self.frame_header(data, marker == 0xc2)?,
                0xc4 => self.huffman(data)?,
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => {
                    let kind = match marker {
                        0xc3 | 0xc7 | 0xcb | 0xcf => "lossless",
                        0xc9 | 0xca | 0xcc => "arithmetic coding",
                        _ => "hierarchical",
                    };
                    return Err(ImageError::unsupported(Format::Jpeg, kind));
                }
                0xda => {
                    self.scans += 1;
                    if self.scans > MAX_SCANS {
                        return Err(broken("more scans than any encoder makes"));
                    }
                    return self.scan_header(data).map(Some);
                }
                0xdb => self.quantizer_tables(data)?,
                0xdd => self.restart = be16(data, 0).ok_or_else(|| broken("no restart interval"))?.into(),
                0xe0 => self.jfif |= data.starts_with(b"JFIF\0"),
                0xee if data.starts_with(b"Adobe") => self.adobe = data.get(11).copied().or(self.adobe),
                _ => {}
            }
        }
    }

    /// Where the entropy-coded bytes of the scan begin; later where the search for the next marker does.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn set_at(&mut self, at: usize) {
        self.at = at;
    }

    /// The rules of libjpeg: a JFIF marker decides, then Adobe's, then the names of the components.
    pub(super) fn colours(&self) -> Result<Colours, ImageError> {
        let ids: Vec<u8> = self.frame.iter().flat_map(|frame| &frame.components).map(|c| c.id).collect();
        Ok(match (ids.len(), self.adobe) {
            (1, _) => Colours::Grey,
            (3, _) if self.jfif => Colours::YCbCr,
            (3, Some(0)) => Colours::Rgb,
            (3, Some(_)) => Colours::YCbCr,
            (3, None) if ids == *b"RGB" => Colours::Rgb,
            (3, None) => Colours::YCbCr,
            (4, None | Some(0)) => Colours::Cmyk,
            (4, Some(_)) => Colours::Ycck,
            (n, _) => return Err(ImageError::unsupported(Format::Jpeg, format!("{n} components"))),
        })
    }

    fn frame_header(&mut self, data: &[u8], progressive: bool) -> Result<(), ImageError> {
        let short = || broken("a short frame header");
        if self.frame.is_some() {
            return Err(broken("more than one frame header"));
        }
        let (&bits, &count) = (data.first().ok_or_else(short)?, data.get(5).ok_or_else(short)?);
        if bits != 8 {
            return Err(ImageError::unsupported(Format::Jpeg, format!("{bits} bits a sample")));
        }
        let height = usize::from(be16(data, 1).ok_or_else(short)?);
        let width = usize::from(be16(data, 3).ok_or_else(short)?);
        let parts = data.get(6..6 + 3 * usize::from(count)).ok_or_else(short)?;
        let mut components: Vec<Component> = Vec::new();
        for &[id, sampling, quantizer] in parts.as_chunks::<3>().0 {
            let (h, v) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || quantizer > 3 {
                return Err(broken("a component with impossible factors"));
            }
            if components.iter().any(|other| other.id == id) {
                return Err(broken("two components of one name"));
            }
            // A component alone is never interleaved, whatever its factors.
            let (h, v) = if count == 1 { (1, 1) } else { (h, v) };
            components.push(Component {
                id,
                h,
                v,
                quantizer: quantizer.into(),
                quantizers: None,
                width: 0,
                height: 0,
            });
        }
        let h_max = components.iter().map(|c| c.h).max().ok_or_else(|| broken("no components"))?;
        let v_max = components.iter().map(|c| c.v).max().ok_or_else(|| broken("no components"))?;
        for c in &mut components {
            if h_max % c.h != 0 || v_max % c.v != 0 {
                return Err(ImageError::unsupported(
                    Format::Jpeg,
                    "components sampled in broken proportions",
                ));
            }
            c.width = (width * c.h).div_ceil(h_max);
            c.height = (height * c.v).div_ceil(v_max);
        }
        let (units_x, units_y) = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        self.frame = Some(Frame { width, height, progressive, components, h_max, v_max, units_x, units_y });
        Ok(())
    }

    fn scan_header(&mut self, data: &[u8]) -> Result<Scan, ImageError> {
        let short = || broken("a short scan header");
        let frame = self.frame.as_mut().ok_or_else(|| broken("a scan before any frame header"))?;
        let count = usize::from(*data.first().ok_or_else(short)?);
        let pairs = data.get(1..1 + 2 * count).ok_or_else(short)?;
        let &[first, last, bits] = data[1 + 2 * count..].first_chunk::<3>().ok_or_else(short)?;
        let mut parts = Vec::new();
        let mut blocks = 0;
        for &[id, tables] in pairs.as_chunks::<2>().0 {
            let i = frame.components.iter().position(|c| c.id == id);
            let i = i.filter(|&i| parts.iter().all(|&(other, _, _)| other != i));
            let i = i.ok_or_else(|| broken("a scan of a component that is not there"))?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return Err(broken("a table that cannot be"));
            }
            let component = &mut frame.components[i];
            blocks += component.h * component.v;
            if component.quantizers.is_none() {
                let quantizers = self.quantizers[component.quantizer];
                component.quantizers = Some(quantizers.ok_or_else(|| broken("no quantizers"))?);
            }
            parts.push((i, dc, ac));
        }
        if count == 0 || count > 1 && blocks > MAX_BLOCKS {
            return Err(broken("a scan of too many components, or none"));
        }
        let (first, last) = (usize::from(first), usize::from(last));
        let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
        if !frame.progressive {
            // What a sequential scan says here is of no consequence.
            return Ok(Scan { parts, first: 0, last: 63, high: 0, low: 0 });
        }
        let bands = if first == 0 { last == 0 } else { first <= last && last < 64 && count == 1 };
        if !bands || low > 13 || high > 13 || high != 0 && high != low + 1 {
            return Err(broken("a scan of impossible coefficients"));
        }
        Ok(Scan { parts, first, last, high, low })
    }

    fn quantizer_tables(&mut self, mut data: &[u8]) -> Result<(), ImageError> {
        let short = || broken("a short table of quantizers");
        while let Some((&kind, rest)) = data.split_first() {
            let wide = kind >> 4;
            let table = self.quantizers.get_mut(usize::from(kind & 15)).filter(|_| wide < 2);
            let table = table.ok_or_else(|| broken("a table of quantizers that cannot be"))?;
            let size = 1 + usize::from(wide);
            let numbers = rest.get(..64 * size).ok_or_else(short)?;
            let mut quantizers = [0; 64];
            for (number, &place) in numbers.chunks_exact(size).zip(&ZIGZAG) {
                quantizers[usize::from(place)] = number.iter().fold(0, |v, &byte| v << 8 | u16::from(byte));
            }
            *table = Some(quantizers);
            data = &rest[64 * size..];
        }
        Ok(())
    }

    fn huffman(&mut self, mut data: &[u8]) -> Result<(), ImageError> {
        let wrong = || broken("a table of codes that cannot be");
        while let Some((&kind, rest)) = data.split_first() {
            let counts = rest.first_chunk::<16>().ok_or_else(wrong)?;
            let symbols = counts.iter().map(|&n| usize::from(n)).sum::<usize>();
            let symbols = rest.get(16..16 + symbols).ok_or_else(wrong)?;
            let table = Table::new(counts, symbols).ok_or_else(wrong)?;
            let (class, i) = (kind >> 4, usize::from(kind & 15));
            let tables = match class {
                0 if table.is_dc() => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(wrong()),
            };
            *tables.get_mut(i).ok_or_else(wrong)? = Some(table);
            data = &rest[16 + symbols.len()..];
        }
        Ok(())
    }
}

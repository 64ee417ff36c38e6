//! Entropy-coded bytes to coefficients. T.81, annexes F (sequential) and G (progressive).

use super::frame::{Scan, Segments, TRUNCATED, ZIGZAG, next_marker};
use super::huffman::{Bits, Table};
use crate::{Format, ImageError};

/// A block's coefficients, row by row.
pub(super) type Block = [i16; 64];

/// What the blocks of a scan are read with.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    bits: Bits<'a>,
    /// For each component of the scan: its tables and its last DC coefficient.
    parts: Vec<Part<'a>>,
    first: usize,
    last: usize,
    high: u32,
    low: u32,
    restart: usize,
    /// Units until the next restart.
    left: usize,
    /// Which of the eight restart markers comes next.
    marker: u8,
    /// Blocks that end before they begin.
    ended: u32,
    progressive: bool,
}

struct Part<'a> {
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
    last_dc: i32,
}

fn broken(what: &str) -> ImageError {
    ImageError::broken(Format::Jpeg, what)
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], segments: &'a Segments<'_>, scan: &Scan) -> Result<Self, ImageError> {
        let progressive = segments.frame.as_ref().is_some_and(|frame| frame.progressive);
        let table = |tables: &'a [Option<Table>; 4], i: usize, needed: bool| match &tables[i] {
            _ if !needed => Ok(None),
            Some(table) => Ok(Some(table)),
            None => Err(broken("a scan without its table of codes")),
        };
        let mut parts = Vec::new();
        for &(_, dc, ac) in &scan.parts {
            let dc = table(&segments.dc, dc, scan.first == 0 && scan.high == 0)?;
            parts.push(Part { dc, ac: table(&segments.ac, ac, scan.last > 0)?, last_dc: 0 });
        }
        Ok(Self {
            bytes,
            bits: Bits::new(bytes, segments.at()),
            parts,
            first: scan.first,
            last: scan.last,
            high: scan.high,
            low: scan.low,
            restart: segments.restart,
            left: segments.restart,
            marker: 0,
            ended: 0,
            progressive,
        })
    }

    /// To be called before each unit: passes a restart marker where one is due.
    pub(super) fn begin_unit(&mut self) -> Result<(), ImageError> {
        if self.restart == 0 {
            return Ok(());
        }
        if self.left == 0 {
            self.check()?;
            match next_marker(self.bytes, self.bits.end()) {
                Some((marker, at)) if marker == 0xd0 + self.marker => self.bits.restart(at),
                Some(_) => return Err(broken("a restart marker is missing")),
                None => return Err(TRUNCATED),
            }
            self.marker = (self.marker + 1) % 8;
            self.left = self.restart;
            self.ended = 0;
            self.parts.iter_mut().for_each(|part| part.last_dc = 0);
        }
        self.left -= 1;
        Ok(())
    }

    /// Whether all bits so far were there.
    pub(super) fn check(&self) -> Result<(), ImageError> {
        if !self.bits.is_overdrawn() {
            return Ok(());
        }
        // A file that was cut has nothing behind its last bits; one that goes on was damaged before.
        Err(if next_marker(self.bytes, self.bits.end()).is_none() {
            TRUNCATED
        } else {
            broken("a scan ends before its last block")
        })
    }

    /// Where the scan ends, once all its blocks were read.
    pub(super) fn end(&self) -> usize {
        self.bits.end()
    }

    /// The next block of the scan's component number `part`, into `block`, which has what earlier scans brought.
    #[inline(always)]
    pub(super) fn block(&mut self, part: usize, block: &mut Block) -> Result<(), ImageError> {
        let done = if !self.progressive {
            self.sequential(part, block)
        } else if self.first == 0 {
            if self.high == 0 { self.dc_first(part, block) } else { self.dc_more(block) }
        } else if self.high == 0 {
            self.ac_first(block)
        } else {
            self.ac_more(block)
        };
        done.ok_or_else(|| self.check().err().unwrap_or_else(|| broken("bits that are no code")))
    }

    #[inline(always)]
    fn dc(&mut self, part: usize) -> Option<i32> {
        let part = &mut self.parts[part];
        self.bits.fill();
        let category = part.dc?.symbol(&mut self.bits)?;
        part.last_dc = part.last_dc.wrapping_add(self.bits.signed(category.into()));
        Some(part.last_dc)
    }

    #[inline(always)]
    fn sequential(&mut self, part: usize, block: &mut Block) -> Option<()> {
        block[0] = self.dc(part)? as i16;
        let ac = self.parts[part].ac?;
        let mut k = 1;
        while k < 64 {
            self.bits.fill();
            let symbol = ac.symbol(&mut self.bits)?;
            let (zeros, category) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if category == 0 {
                if zeros < 15 {
                    break;
                }
                k += 16;
                continue;
            }
            k += zeros;
            let place = *ZIGZAG.get(k)?;
            block[usize::from(place)] = self.bits.signed(category) as i16;
            k += 1;
        }
        Some(())
    }

    fn dc_first(&mut self, part: usize, block: &mut Block) -> Option<()> {
        block[0] = self.dc(part)?.wrapping_shl(self.low) as i16;
        Some(())
    }

    fn dc_more(&mut self, block: &mut Block) -> Option<()> {
        if self.bits.flag() {
            block[0] |= 1 << self.low;
        }
        Some(())
    }

    /// The length of a run of blocks that end here: `category` bits more than a power of two.
    fn run(&mut self, category: usize) -> u32 {
        (1 << category) + self.bits.take(category as u32)
    }

    fn ac_first(&mut self, block: &mut Block) -> Option<()> {
        if self.ended > 0 {
            self.ended -= 1;
            return Some(());
        }
        let ac = self.parts[0].ac?;
        let mut k = self.first;
        while k <= self.last {
            self.bits.fill();
            let symbol = ac.symbol(&mut self.bits)?;
            let (zeros, category) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if category == 0 {
                if zeros < 15 {
                    self.ended = self.run(zeros) - 1;
                    break;
                }
                k += 16;
                continue;
            }
            k += zeros;
            let place = *ZIGZAG.get(k)?;
            block[usize::from(place)] = self.bits.signed(category).wrapping_shl(self.low) as i16;
            k += 1;
        }
        Some(())
    }

    /// One more bit for each coefficient that is not zero, and new ones of one bit among those that are.
    fn ac_more(&mut self, block: &mut Block) -> Option<()> {
        let bit = 1i16 << self.low;
        let ac = self.parts[0].ac?;
        let mut k = self.first;
        if self.ended == 0 {
            while k <= self.last {
                self.bits.fill();
                let symbol = ac.symbol(&mut self.bits)?;
                let (mut zeros, category) = (symbol >> 4, symbol & 15);
                let mut new = 0;
                match category {
                    0 if zeros < 15 => {
                        self.ended = self.run(zeros.into());
                        break;
                    }
                    0 => {}
                    _ => new = if self.bits.take(1) == 1 { bit } else { -bit },
                }
                while k <= self.last {
                    let value = &mut block[usize::from(ZIGZAG[k])];
                    if *value != 0 {
                        more(value, bit, &mut self.bits);
                    } else if zeros == 0 {
                        *value = new;
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
                k += 1;
            }
        }
        if self.ended > 0 {
            while k <= self.last {
                let value = &mut block[usize::from(ZIGZAG[k])];
                if *value != 0 {
                    more(value, bit, &mut self.bits);
                }
                k += 1;
            }
            self.ended -= 1;
        }
        Some(())
    }
}

/// One more bit of a coefficient, away from zero.
#[inline(always)]
fn more(value: &mut i16, bit: i16, bits: &mut Bits<'_>) {
    if bits.flag() && *value & bit == 0 {
        *value = if *value > 0 { value.wrapping_add(bit) } else { value.wrapping_sub(bit) };
    }
}

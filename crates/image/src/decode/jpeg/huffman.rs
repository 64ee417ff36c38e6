//! Huffman codes and the bits they are read from. T.81, annexes C and F.

/// Codes no longer than this are looked up at once.
const FAST: u32 = 9;

/// A table of codes of up to sixteen bits.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`FAST`] bits: the code's length and its symbol; length zero where the code is longer.
    fast: Box<[(u8, u8); 1 << FAST]>,
    /// By length: one more than the largest code, moved up to sixteen bits.
    limits: [u32; 17],
    /// By length: what to add to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// A table from the number of codes of each length, and the symbols in the order of their codes. `None` where the
    /// lengths do not make a prefix code.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            fast: Box::new([(0, 0); 1 << FAST]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut first) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let count = usize::from(count);
            table.offsets[length as usize] = first as i32 - code as i32;
            for (i, &symbol) in symbols.get(first..first + count)?.iter().enumerate() {
                if length <= FAST {
                    let same = 1usize << (FAST - length);
                    let begin = (code as usize + i) * same;
                    table.fast.get_mut(begin..begin + same)?.fill((length as u8, symbol));
                }
            }
            code += count as u32;
            first += count;
            if code > 1 << length {
                return None;
            }
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// Whether all symbols are categories of differences.
    pub(super) fn is_dc(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= 15)
    }

    /// The symbol that comes next; `None` where the bits are no code. Needs sixteen bits filled in.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (length, symbol) = self.fast[bits.peek(FAST) as usize];
        if length > 0 {
            bits.skip(length.into());
            return Some(symbol);
        }
        let next = bits.peek(16);
        let length = (FAST + 1..=16).find(|&length| next < self.limits[length as usize])?;
        bits.skip(length);
        let index = (next >> (16 - length)) as i32 + self.offsets[length as usize];
        self.symbols.get(usize::try_from(index).ok()?).copied()
    }
}

/// Entropy-coded bytes as bits, the most significant first. A marker ends them; behind it are zeros.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the top. Below the first `count` are zeros or bits that are there again when filled in.
    buffer: u64,
    count: u32,
    /// How many of `count` are not from the file.
    padding: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0, padding: 0 }
    }

    /// Makes sure that there are at least 32 bits: a code and the number behind it.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(&word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(word);
            // Whether a byte is 0xff, which is a byte of zero in the complement.
            let no = !word;
            if no.wrapping_sub(0x0101_0101_0101_0101) & !no & 0x8080_8080_8080_8080 == 0 {
                self.buffer |= word >> self.count;
                self.at += ((63 - self.count) / 8) as usize;
                self.count |= 56;
                return;
            }
        }
        self.fill_slowly();
    }

    #[cold]
    #[inline(never)]
    fn fill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    Some(0xff)
                }
                // A marker may have any number of these before it.
                (Some(0xff), Some(0xff)) => {
                    self.at += 1;
                    continue;
                }
                (Some(0xff) | None, _) => None,
                (Some(&byte), _) => {
                    self.at += 1;
                    Some(byte)
                }
            };
            match byte {
                Some(byte) => self.buffer |= u64::from(byte) << (56 - self.count),
                None => self.padding += 8,
            }
            self.count += 8;
        }
    }

    #[inline(always)]
    pub(super) fn peek(&self, n: u32) -> u32 {
        (self.buffer >> (64 - n)) as u32
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        self.buffer <<= n;
        self.count -= n;
    }

    /// The next `n` bits, at most sixteen, which have been filled in.
    #[inline(always)]
    pub(super) fn take(&mut self, n: u32) -> u32 {
        // In two steps, because no bits at all are a shift by the whole width.
        let bits = (self.buffer >> 1 >> (63 - n)) as u32;
        self.skip(n);
        bits
    }

    /// One bit, filled in if need be.
    #[inline(always)]
    pub(super) fn flag(&mut self) -> bool {
        self.fill();
        self.take(1) == 1
    }

    /// The number of `n` bits that come next: those with a first bit of zero are negative.
    #[inline(always)]
    pub(super) fn signed(&mut self, n: u32) -> i32 {
        let value = self.take(n) as i32;
        if n > 0 && value < 1 << (n - 1) { value - (1 << n) + 1 } else { value }
    }

    /// Whether bits were taken that the file does not have.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.padding > self.count
    }

    /// Lets go of the rest of the last byte; where in the file the next marker is to be looked for.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Goes on behind a marker.
    pub(super) fn restart(&mut self, at: usize) {
        *self = Self::new(self.bytes, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_across_stuffing_and_the_end() {
        let bytes = [0b1010_0000, 0xff, 0x00, 0b0110_0000, 0xff, 0xff, 0xd9];
        let mut bits = Bits::new(&bytes, 0);
        bits.fill();
        assert_eq!((bits.take(3), bits.take(0), bits.take(5)), (0b101, 0, 0));
        assert_eq!((bits.take(8), bits.take(3)), (0xff, 0b011));
        assert_eq!(bits.end(), 5);
        bits.skip(5);
        assert!(!bits.is_overdrawn());
        bits.take(1);
        assert!(bits.is_overdrawn());
    }

    #[test]
    fn long_runs_are_the_same_as_bit_by_bit() {
        let bytes: Vec<u8> = (0..997u32).map(|i| (i * 167 % 255) as u8).collect();
        let mut bits = Bits::new(&bytes, 0);
        let mut at = 0;
        for n in (0..600).map(|i| i % 17) {
            bits.fill();
            let expected = (at..at + n).fold(0, |v, i| v << 1 | u32::from(bytes[i / 8] >> (7 - i % 8) & 1));
            assert_eq!(bits.take(n as u32), expected, "{n} bits at {at}");
            at += n;
        }
    }

    #[test]
    fn codes_of_every_length() {
        // One code of each length: 0, 10, 110, ...
        let table = Table::new(&[1; 16], &(0..16).collect::<Vec<_>>()).unwrap();
        for length in 1..=16u32 {
            let code = (((1u32 << (length - 1)) - 1) << 1) << (16 - length);
            let bytes = [(code >> 8) as u8, 0, code as u8];
            let bytes = if bytes[0] == 0xff { bytes.to_vec() } else { vec![bytes[0], bytes[2]] };
            let mut bits = Bits::new(&bytes, 0);
            bits.fill();
            assert_eq!(table.symbol(&mut bits), Some(length as u8 - 1));
        }
        assert!(Table::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 2, 3]).is_none());
        assert!(Table::new(&[1; 16], &[0; 15]).is_none());
    }

    #[test]
    fn signed_numbers() {
        let mut bits = Bits::new(&[0b0101_1100, 0], 0);
        bits.fill();
        assert_eq!((bits.signed(0), bits.signed(1), bits.signed(2), bits.signed(3)), (0, -1, 2, 7));
    }
}

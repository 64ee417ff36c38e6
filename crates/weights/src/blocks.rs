//! Numbers quantized in blocks, as GGUF files store them.
//!
//! A block is a run of 32 or 256 neighbours along a row. It begins (or, of `Q6_K`, ends) with f16 scales; its codes lie in
//! planes, so that a byte holds codes of neighbours 16 or 32 apart:
//!
//! | name | values | bytes | a weight is |
//! |---|---|---|---|
//! | `Q4_0` | 32 | 18 | d · (q − 8) |
//! | `Q4_1` | 32 | 20 | d · q + m |
//! | `Q5_0` | 32 | 22 | d · (q − 16) |
//! | `Q5_1` | 32 | 24 | d · q + m |
//! | `Q8_0` | 32 | 34 | d · q |
//! | `Q4_K` `Q5_K` | 256 | 144, 176 | d · s · q − m · t, with s and t of six bits for each 32 |
//! | `Q6_K` | 256 | 210 | d · s · (q − 32), with s of eight bits for each 16 |
//!
//! The formats are those of ggml (`ggml-common.h`).

use half::f16;

/// How a block of numbers is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BlockFormat {
    /// Four bits and a scale.
    Q4_0,
    /// Four bits, a scale and a minimum.
    Q4_1,
    /// Five bits and a scale.
    Q5_0,
    /// Five bits, a scale and a minimum.
    Q5_1,
    /// Eight bits and a scale.
    Q8_0,
    /// Four bits, and six of scale and minimum for each 32 of 256.
    Q4K,
    /// Five bits, else as `Q4K`.
    Q5K,
    /// Six bits, and eight of scale for each 16 of 256.
    Q6K,
}

impl BlockFormat {
    /// All of them, with their numbers in GGUF files.
    pub(crate) const ALL: [(u32, BlockFormat); 8] = [
        (2, BlockFormat::Q4_0),
        (3, BlockFormat::Q4_1),
        (6, BlockFormat::Q5_0),
        (7, BlockFormat::Q5_1),
        (8, BlockFormat::Q8_0),
        (12, BlockFormat::Q4K),
        (13, BlockFormat::Q5K),
        (14, BlockFormat::Q6K),
    ];

    /// Its name, as ggml has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers of a block.
    pub fn values(self) -> usize {
        match self {
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Writes the numbers of whole blocks to `out`, as many as both have.
    pub(crate) fn read(self, bytes: &[u8], out: &mut [f32]) {
        for (block, out) in bytes.chunks_exact(self.bytes()).zip(out.chunks_exact_mut(self.values())) {
            match self {
                Self::Q4_0 => {
                    let (d, codes) = (half(block, 0), &block[2..]);
                    nibbles(codes, out, |q, _| d * (f32::from(q) - 8.0));
                }
                Self::Q4_1 => {
                    let (d, m, codes) = (half(block, 0), half(block, 2), &block[4..]);
                    nibbles(codes, out, |q, _| d * f32::from(q) + m);
                }
                Self::Q5_0 => {
                    let (d, fifth, codes) = (half(block, 0), word(block, 2), &block[6..]);
                    nibbles(codes, out, |q, i| d * (f32::from(q | fifth_bit(fifth, i)) - 16.0));
                }
                Self::Q5_1 => {
                    let (d, m, fifth, codes) = (half(block, 0), half(block, 2), word(block, 4), &block[8..]);
                    nibbles(codes, out, |q, i| d * f32::from(q | fifth_bit(fifth, i)) + m);
                }
                Self::Q8_0 => {
                    let d = half(block, 0);
                    for (out, code) in out.iter_mut().zip(&block[2..]) {
                        *out = d * f32::from(*code as i8);
                    }
                }
                Self::Q4K => {
                    let (d, m, scales, codes) = (half(block, 0), half(block, 2), &block[4..16], &block[16..]);
                    with_minima(d, m, scales, codes, out, |_, _| 0);
                }
                Self::Q5K => {
                    let (d, m, scales, codes) = (half(block, 0), half(block, 2), &block[4..16], &block[48..]);
                    let fifth = &block[16..48];
                    with_minima(d, m, scales, codes, out, |part, i| (fifth[i] >> part & 1) << 4);
                }
                Self::Q6K => six_bits(block, out),
            }
        }
    }

    /// Of a block of `Q4_0` the scale and the values, −8..=7, which are those of a group of four bits.
    pub(crate) fn read_q4_0(block: &[u8], values: &mut [i8]) -> f16 {
        for (i, code) in block[2..].iter().enumerate() {
            values[i] = (code & 15) as i8 - 8;
            values[i + 16] = (code >> 4) as i8 - 8;
        }
        f16::from_le_bytes([block[0], block[1]])
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The bit of `word` that belongs to value `i`, above the four others.
fn fifth_bit(word: u32, i: usize) -> u8 {
    ((word >> i & 1) << 4) as u8
}

/// Sixteen bytes: their lower bits, then their upper bits. `read` gets the code and its place.
fn nibbles(codes: &[u8], out: &mut [f32], read: impl Fn(u8, usize) -> f32) {
    let (lower, upper) = out.split_at_mut(16);
    for (i, code) in codes.iter().enumerate() {
        lower[i] = read(code & 15, i);
        upper[i] = read(code >> 4, i + 16);
    }
}

/// Eight parts of 32 values, two to 32 bytes. Each has a scale and a minimum of six bits. `high` gives the bits above the
/// four of a part's value.
fn with_minima(
    d: f32,
    m: f32,
    scales: &[u8],
    codes: &[u8],
    out: &mut [f32],
    high: impl Fn(usize, usize) -> u8,
) {
    for (part, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, part);
        let (scale, minimum) = (d * f32::from(scale), m * f32::from(minimum));
        let codes = &codes[part / 2 * 32..][..32];
        for (i, (out, code)) in out.iter_mut().zip(codes).enumerate() {
            let low = code >> (part % 2 * 4) & 15;
            *out = scale * f32::from(low | high(part, i)) - minimum;
        }
    }
}

/// Six bits each, in twelve bytes: those of the first four parts in bytes of their own, of the others the lower four bits
/// in the last four bytes, and the upper two atop the first eight.
fn scale_and_minimum(scales: &[u8], part: usize) -> (u8, u8) {
    match part {
        0..4 => (scales[part] & 63, scales[part + 4] & 63),
        _ => {
            let both = scales[part + 4];
            (both & 15 | scales[part - 4] >> 6 << 4, both >> 4 | scales[part] >> 6 << 4)
        }
    }
}

/// Two halves of 128 values, each of four parts of 32: 64 bytes with four bits of two parts each, 32 bytes with two bits
/// of all four.
fn six_bits(block: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    for (at, out) in out.iter_mut().enumerate() {
        let (side, part, i) = (at / 128, at / 32 % 4, at % 32);
        let low = low[side * 64 + part % 2 * 32 + i] >> (part / 2 * 4) & 15;
        let high = high[side * 32 + i] >> (part * 2) & 3;
        let scale = d * f32::from(scales[at / 16] as i8);
        *out = scale * (f32::from(low | high << 4) - 32.0);
    }
}

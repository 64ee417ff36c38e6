//! The keys and values of one head for a block of tokens, as a cache keeps them and attention reads them.
//!
//! Keys are a packed matrix of a channel a token, values one of a step a token, both in a layout of one value a step:
//! writing a token fills one channel of the first and one step of the second, and nothing is ever packed again.
//!
//! | precision | layout | bytes of a key or a value | error of an element |
//! |---|---|---|---|
//! | f32 | `f32-n16` | `4·dim` | none |
//! | bf16 | `bf16-n16` | `2·dim` | a 256th of itself |
//! | int8 | `s8-n16` | `dim + 4` | a 254th of the largest of the key or value |
//!
//! In int8 each key and each value has a scale of its own, `max|x| / 127`, because tokens come one by one: a scale that
//! many of them share, such as a channel's (Liu et al., 2024, arXiv:2402.02750), would have to be known before they
//! come. One that is not finite throughout gets NaN for its scale and spoils what attends to it, as it does in f32.

use half::bf16;
use tiny_vlm_simd::{Isa, LANES, Level, Op};

use crate::epilogue::{Epilogue, Residual};
use crate::layout::{Element, Layout, PANEL, Packed, Single};
use crate::lhs::Lhs;
use crate::output::OutMut;
use crate::product::{gemm_f32, gemm_widened};

/// Below this the step between bytes counts as zero: its inverse would not be finite.
const SMALLEST: f32 = 1e-35;

/// What the keys and values of a cache are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachePrecision {
    /// 32-bit floats: exact.
    #[default]
    F32,
    /// bfloat16, half the bytes: each element is off by at most a 256th of itself.
    Bf16,
    /// 8-bit integers with a scale for each key and each value, about a quarter of the bytes: each element is off by at
    /// most a 254th of the largest of its key or value.
    Int8,
}

impl CachePrecision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Its name in tables and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

/// What a block holds of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Tokens.
    pub tokens: usize,
    /// Length of a key and of a value.
    pub dim: usize,
    /// What they are rounded to.
    pub precision: CachePrecision,
}

impl KvShape {
    /// Words of 4 bytes that a block takes, or nothing where that overflows. A block that nothing was written to is all
    /// zeros.
    pub fn words(&self) -> Option<usize> {
        let [keys, values, scales] = self.parts()?;
        keys.checked_add(values)?.checked_add(scales)
    }

    /// Words of the keys, the values and the scales of both.
    fn parts(&self) -> Option<[usize; 3]> {
        let (in_word, scales) = match self.precision {
            CachePrecision::F32 => (1, 0),
            CachePrecision::Bf16 => (2, 0),
            CachePrecision::Int8 => (4, self.tokens.checked_mul(2)?),
        };
        // All layouts of one value a step are of the same length, which is one of whole panels.
        let [keys, values] =
            [(self.tokens, self.dim), (self.dim, self.tokens)].map(|(n, k)| Layout::F32.len(n, k));
        Some([keys? / in_word, values? / in_word, scales])
    }

    /// Writes the key and the value of one token.
    ///
    /// # Panics
    /// If the block is of another shape, the token outside, or key or value of another length.
    pub fn write(&self, level: Level, block: &mut [f32], token: usize, key: &[f32], value: &[f32]) {
        let (keys, values, _) = self.cut(block.len());
        assert!(token < self.tokens, "token {token} of a block of {}", self.tokens);
        assert!(
            key.len() == self.dim && value.len() == self.dim,
            "a key of {} and a value of {} where they have {}",
            key.len(),
            value.len(),
            self.dim
        );
        let (keys, rest) = block.split_at_mut(keys);
        let (values, scales) = rest.split_at_mut(values);
        level.run(Write { shape: *self, keys, values, scales, token, key, value });
    }

    /// A block as it was written.
    ///
    /// # Panics
    /// If it is of another shape.
    pub fn read<'a>(&self, block: &'a [f32]) -> KvBlock<'a> {
        let (keys, values, _) = self.cut(block.len());
        let (keys, rest) = block.split_at(keys);
        let (values, scales) = rest.split_at(values);
        match self.precision {
            CachePrecision::F32 => {
                let (keys, values) = self.packed(keys, values);
                KvBlock::F32 { keys, values }
            }
            CachePrecision::Bf16 => {
                let (keys, values) = self.packed(bytemuck::cast_slice(keys), bytemuck::cast_slice(values));
                KvBlock::Bf16 { keys, values }
            }
            CachePrecision::Int8 => {
                let (keys, values) = self.packed(bytemuck::cast_slice(keys), bytemuck::cast_slice(values));
                let (key_scales, value_scales) = scales.split_at(self.tokens);
                KvBlock::Int8 { keys, values, key_scales, value_scales }
            }
        }
    }

    fn packed<'a, T: Element>(&self, keys: &'a [T], values: &'a [T]) -> (Packed<'a, T>, Packed<'a, T>) {
        let keys = Packed::new(keys, self.tokens, self.dim).expect("a block is cut as its shape says");
        let values = Packed::new(values, self.dim, self.tokens).expect("a block is cut as its shape says");
        (keys, values)
    }

    /// As [`parts`](Self::parts), of a block of so many words.
    fn cut(&self, words: usize) -> (usize, usize, usize) {
        let parts = self.parts().filter(|parts| parts.iter().sum::<usize>() == words);
        let Some([keys, values, scales]) = parts else { panic!("a block of {words} words for {self:?}") };
        (keys, values, scales)
    }
}

struct Write<'a> {
    shape: KvShape,
    keys: &'a mut [f32],
    values: &'a mut [f32],
    scales: &'a mut [f32],
    token: usize,
    key: &'a [f32],
    value: &'a [f32],
}

impl Op for Write<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Write { shape, keys, values, scales, token, key, value } = self;
        match shape.precision {
            CachePrecision::F32 => {
                write_key(isa, keys, token, key, 1.0);
                write_value(isa, values, shape.tokens, token, value, 1.0);
            }
            CachePrecision::Bf16 => {
                write_key::<_, Single<bf16>>(isa, bytemuck::cast_slice_mut(keys), token, key, 1.0);
                let values: &mut [Single<bf16>] = bytemuck::cast_slice_mut(values);
                write_value(isa, values, shape.tokens, token, value, 1.0);
            }
            CachePrecision::Int8 => {
                let (key_step, value_step) = (Step::of(isa, key), Step::of(isa, value));
                scales[token] = key_step.scale;
                scales[shape.tokens + token] = value_step.scale;
                let keys: &mut [Single<i8>] = bytemuck::cast_slice_mut(keys);
                write_key(isa, keys, token, key, key_step.inverse);
                let values: &mut [Single<i8>] = bytemuck::cast_slice_mut(values);
                write_value(isa, values, shape.tokens, token, value, value_step.inverse);
            }
        }
    }
}

/// Fills channel `token`, each value times `factor`.
#[inline(always)]
fn write_key<I: Isa, T: Narrow>(isa: I, keys: &mut [T], token: usize, key: &[f32], factor: f32) {
    let factor = isa.splat(factor);
    let panel = &mut keys[token / PANEL * PANEL * key.len()..][..PANEL * key.len()];
    for (steps, part) in panel.chunks_mut(PANEL * LANES).zip(key.chunks(LANES)) {
        let narrow = T::narrow(isa, isa.mul(isa.load_slice(part), factor));
        for (step, x) in steps.chunks_exact_mut(PANEL).zip(narrow) {
            step[token % PANEL] = x;
        }
    }
}

/// Fills step `token`, each value times `factor`. What pads it stays zero.
#[inline(always)]
fn write_value<I: Isa, T: Narrow>(
    isa: I,
    values: &mut [T],
    tokens: usize,
    token: usize,
    value: &[f32],
    factor: f32,
) {
    let factor = isa.splat(factor);
    for (panel, part) in values.chunks_exact_mut(tokens * PANEL).zip(value.chunks(LANES)) {
        let narrow = T::narrow(isa, isa.mul(isa.load_slice(part), factor));
        panel[token * PANEL..][..part.len()].copy_from_slice(&narrow[..part.len()]);
    }
}

/// A type that floats are rounded to.
trait Narrow: Copy {
    /// The nearest to each lane.
    fn narrow<I: Isa>(isa: I, x: I::F32) -> [Self; LANES];
}

impl Narrow for f32 {
    #[inline(always)]
    fn narrow<I: Isa>(isa: I, x: I::F32) -> [Self; LANES] {
        let mut out = [0.0; LANES];
        isa.store_array(&mut out, x);
        out
    }
}

impl Narrow for Single<bf16> {
    #[inline(always)]
    fn narrow<I: Isa>(isa: I, x: I::F32) -> [Self; LANES] {
        let mut out = [Single(bf16::ZERO); LANES];
        // SAFETY: the array is 16 half-words.
        unsafe { isa.store_bf16(out.as_mut_ptr().cast(), x) };
        out
    }
}

impl Narrow for Single<i8> {
    #[inline(always)]
    fn narrow<I: Isa>(isa: I, x: I::F32) -> [Self; LANES] {
        // What is not a number becomes the second operand, so that every lane can be converted.
        let within = isa.max(isa.min(x, isa.splat(127.0)), isa.splat(-127.0));
        let mut out = [0; LANES];
        // SAFETY: the array is 64 bytes.
        unsafe { isa.store_i32(out.as_mut_ptr(), isa.to_i32(within)) };
        out.map(|x: i32| Single(x as i8))
    }
}

/// The step between the bytes of a key or a value.
struct Step {
    scale: f32,
    /// Zero where the scale has none.
    inverse: f32,
}

impl Step {
    #[inline(always)]
    fn of<I: Isa>(isa: I, x: &[f32]) -> Self {
        let nothing = isa.splat(0.0);
        let (mut most, mut other) = (nothing, nothing);
        for part in x.chunks(LANES) {
            let x = isa.load_slice(part);
            most = isa.max(most, isa.abs(x));
            // Zero for every number, NaN for the rest, and so it stays.
            other = isa.fma(x, nothing, other);
        }
        if isa.reduce_sum(other).is_nan() {
            return Step { scale: f32::NAN, inverse: 0.0 };
        }
        let scale = isa.reduce_max(most) / 127.0;
        if scale < SMALLEST {
            Step { scale: 0.0, inverse: 0.0 }
        } else {
            Step { scale, inverse: 1.0 / scale }
        }
    }
}

/// Keys and values of some tokens of one head, to be attended to.
#[derive(Clone, Copy, Debug)]
pub enum KvBlock<'a> {
    /// In full.
    F32 {
        /// A channel a token.
        keys: Packed<'a, f32>,
        /// A step a token.
        values: Packed<'a, f32>,
    },
    /// In half.
    Bf16 {
        /// A channel a token.
        keys: Packed<'a, Single<bf16>>,
        /// A step a token.
        values: Packed<'a, Single<bf16>>,
    },
    /// In bytes.
    Int8 {
        /// A channel a token.
        keys: Packed<'a, Single<i8>>,
        /// A step a token.
        values: Packed<'a, Single<i8>>,
        /// What the bytes of each token's key are multiplied by.
        key_scales: &'a [f32],
        /// What those of its value are.
        value_scales: &'a [f32],
    },
}

impl<'a> KvBlock<'a> {
    /// One element of a key, as queries meet it.
    ///
    /// # Panics
    /// If it is outside.
    pub fn key(&self, token: usize, column: usize) -> f32 {
        match *self {
            Self::F32 { keys, .. } => keys.get(token, column),
            Self::Bf16 { keys, .. } => keys.get(token, column).0.to_f32(),
            Self::Int8 { keys, key_scales, .. } => f32::from(keys.get(token, column).0) * key_scales[token],
        }
    }

    /// One element of a value, as it is added to a sum.
    ///
    /// # Panics
    /// If it is outside.
    pub fn value(&self, token: usize, column: usize) -> f32 {
        match *self {
            Self::F32 { values, .. } => values.get(column, token),
            Self::Bf16 { values, .. } => values.get(column, token).0.to_f32(),
            Self::Int8 { values, value_scales, .. } => {
                f32::from(values.get(column, token).0) * value_scales[token]
            }
        }
    }

    /// Writes the products of queries and the first keys, as many as `out` has columns.
    pub(crate) fn scores(&self, level: Level, queries: &Lhs<'_, f32>, out: OutMut<'_>) {
        let plain = Epilogue::default();
        match *self {
            Self::F32 { keys, .. } => gemm_f32(level, queries, keys, &plain, out),
            Self::Bf16 { keys, .. } => gemm_widened(level, queries, keys, &plain, out),
            Self::Int8 { keys, key_scales, .. } => {
                let epilogue = Epilogue { scale: Some(key_scales), ..plain };
                gemm_widened(level, queries, keys, &epilogue, out);
            }
        }
    }

    /// Takes the weights of the first tokens times what the values were divided by.
    pub(crate) fn weigh(&self, weights: &mut [f32]) {
        if let Self::Int8 { value_scales, .. } = self {
            weights.iter_mut().zip(*value_scales).for_each(|(weight, scale)| *weight *= scale);
        }
    }

    /// Writes, or adds, the sums of the values by their weights.
    pub(crate) fn sums(&self, level: Level, weights: &Lhs<'_, f32>, residual: Residual<'a>, out: OutMut<'_>) {
        let epilogue = Epilogue { residual, ..Epilogue::default() };
        match *self {
            Self::F32 { values, .. } => gemm_f32(level, weights, values, &epilogue, out),
            Self::Bf16 { values, .. } => gemm_widened(level, weights, values, &epilogue, out),
            Self::Int8 { values, .. } => gemm_widened(level, weights, values, &epilogue, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    /// What an element of such a key or value may be off by: half a step, and a rounding on the way there and back.
    fn bound(precision: CachePrecision, x: f32, all: &[f32]) -> f32 {
        match precision {
            CachePrecision::F32 => 0.0,
            CachePrecision::Bf16 => x.abs() / 256.0,
            CachePrecision::Int8 => all.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 254.0 * 1.0001,
        }
    }

    #[test]
    fn tokens_are_kept_to_within_their_precision() {
        for level in Level::available() {
            for precision in CachePrecision::ALL {
                for (tokens, dim) in [(1, 1), (5, 2), (16, 15), (64, 17), (64, 64), (33, 130)] {
                    let shape = KvShape { tokens, dim, precision };
                    let mut block = vec![0.0; shape.words().unwrap()];
                    let (mut keys, values) = (random(tokens * dim, 1), random(tokens * dim, 2));
                    // Tokens of very different sizes, which must not share a scale.
                    keys.iter_mut().enumerate().for_each(|(at, x)| *x *= 10_f32.powi((at / dim) as i32 % 7));
                    // Backwards, so that what a token is written over by its neighbours shows.
                    for token in (0..tokens).rev() {
                        let at = token * dim..(token + 1) * dim;
                        shape.write(level, &mut block, token, &keys[at.clone()], &values[at]);
                    }
                    let read = shape.read(&block);
                    for (token, (key, value)) in
                        keys.chunks_exact(dim).zip(values.chunks_exact(dim)).enumerate()
                    {
                        for d in 0..dim {
                            let off = (read.key(token, d) - key[d]).abs();
                            assert!(off <= bound(precision, key[d], key), "{level} {shape:?}: key {token}");
                            let off = (read.value(token, d) - value[d]).abs();
                            assert!(
                                off <= bound(precision, value[d], value),
                                "{level} {shape:?}: value {token}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn writing_a_token_leaves_the_others_and_the_padding() {
        for precision in CachePrecision::ALL {
            let shape = KvShape { tokens: 20, dim: 19, precision };
            let mut block = vec![0.0; shape.words().unwrap()];
            let [ones, twos] = [[1.0; 19], [2.0; 19]];
            shape.write(Level::detect(), &mut block, 17, &ones, &twos);
            let read = shape.read(&block);
            for token in 0..20 {
                let expected = if token == 17 { (1.0, 2.0) } else { (0.0, 0.0) };
                for d in 0..19 {
                    let (key, value) = (read.key(token, d), read.value(token, d));
                    assert!((key - expected.0).abs() < 1e-6 && (value - expected.1).abs() < 1e-6);
                }
            }
            let written: usize = bytemuck::cast_slice::<f32, u8>(&block).iter().filter(|x| **x != 0).count();
            // In f32 and bf16 one and two have two bytes that are not zero, and one.
            let expected = match precision {
                CachePrecision::Int8 => 2 * 19 + 8,
                _ => 3 * 19,
            };
            assert!(written <= expected, "{precision:?} wrote {written} bytes");
        }
    }

    #[test]
    fn bytes_are_a_half_and_about_a_quarter() {
        let words = |precision| KvShape { tokens: 64, dim: 64, precision }.words().unwrap();
        assert_eq!(CachePrecision::ALL.map(words), [8192, 4096, 2176]);
        for precision in CachePrecision::ALL {
            assert_eq!(KvShape { tokens: 64, dim: usize::MAX, precision }.words(), None);
        }
    }

    #[test]
    fn what_is_not_a_number_spoils_its_token_alone() {
        for level in Level::available() {
            for precision in CachePrecision::ALL {
                for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let shape = KvShape { tokens: 3, dim: 18, precision };
                    let mut block = vec![0.0; shape.words().unwrap()];
                    let (fine, mut spoiled) = ([0.5; 18], [0.5; 18]);
                    spoiled[17] = odd;
                    shape.write(level, &mut block, 0, &fine, &fine);
                    shape.write(level, &mut block, 1, &spoiled, &spoiled);
                    shape.write(level, &mut block, 2, &fine, &fine);
                    let read = shape.read(&block);
                    for (key, value) in [1].map(|token| (read.key(token, 17), read.value(token, 17))) {
                        assert!(!key.is_finite() && !value.is_finite(), "{level} {precision:?} {odd}");
                    }
                    for token in [0, 2] {
                        assert!((0..18).all(|d| (read.key(token, d) - 0.5).abs() < 1e-6), "{level}");
                        assert!((0..18).all(|d| (read.value(token, d) - 0.5).abs() < 1e-6), "{level}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_stay_finite() {
        let shape = KvShape { tokens: 1, dim: 3, precision: CachePrecision::Int8 };
        let mut block = vec![0.0; shape.words().unwrap()];
        for level in Level::available() {
            shape.write(level, &mut block, 0, &[3e38, -3e38, 1.0], &[1e-40, -1e-42, 0.0]);
            let read = shape.read(&block);
            assert!((read.key(0, 0) / 3e38 - 1.0).abs() < 1e-6 && read.key(0, 2) == 0.0);
            assert!((0..3).all(|d| read.value(0, d) == 0.0), "{level}");
        }
    }
}

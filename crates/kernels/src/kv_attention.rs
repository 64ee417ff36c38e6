//! The attention of queries that share their keys, `softmax(scale · q·kᵀ) · v`, over keys and values that lie packed in
//! [blocks](KvBlock).
//!
//! A *line* is one head of queries at one token. Those of a group (Ainslie et al., 2023, arXiv:2305.13245), at one token
//! or several, are the rows of two products, so that keys and values are read once for all of them. The scores of all
//! blocks lie side by side between the two.
//!
//! Keys and values are widened to f32 in registers, and queries and weights stay f32: what is lost is what storing
//! lost. Products of bytes would be faster where arithmetic is short, which it is not when one token reads a whole cache;
//! and they would quantize the weights, of which most are far below a 255th of the largest.

use tiny_vlm_simd::Level;
use tiny_vlm_tensor::ViewMut;

use crate::epilogue::Residual;
use crate::kv_block::KvBlock;
use crate::lhs::Lhs;
use crate::output::OutMut;
use crate::rows::softmax;

/// Queries that share keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    /// A line a row: token by token, head by head.
    pub queries: Lhs<'a, f32>,
    /// Heads, which are the lines of a token.
    pub group: usize,
    /// How many keys the first token sees.
    pub seen: usize,
    /// Whether each further token sees one more.
    pub causal: bool,
    /// Tokens of a block.
    pub block_tokens: usize,
    /// Factor of the scores, usually `1 / √dim`.
    pub scale: f32,
}

impl Lines<'_> {
    /// Floats of scratch that [`attend`](Self::attend) needs for so many lines of heads of length `dim`, of which the
    /// last sees `keys` keys.
    pub fn scratch(lines: usize, dim: usize, keys: usize, block_tokens: usize) -> usize {
        lines * (keys.next_multiple_of(block_tokens.max(1)) + dim)
    }

    /// How many keys a line sees.
    fn seen(&self, line: usize) -> usize {
        self.seen + if self.causal { line / self.group } else { 0 }
    }

    /// Returns the attention of each line, one after the other, in the scratch. `block` returns the blocks by their
    /// numbers, as many as the last line sees any of.
    ///
    /// # Panics
    /// If the blocks are not of these queries' length or of other tokens than `block_tokens`, or the scratch is too
    /// small.
    pub fn attend<'k, 's>(
        &self,
        level: Level,
        block: impl Fn(usize) -> KvBlock<'k>,
        scratch: &'s mut [f32],
    ) -> &'s [f32] {
        let (lines, dim, block_tokens) = (self.queries.rows(), self.queries.columns(), self.block_tokens);
        let keys = self.seen(lines.saturating_sub(1));
        let width = keys.next_multiple_of(block_tokens.max(1));
        let (scores, rest) = scratch.split_at_mut(lines * width);
        let sums = &mut rest[..lines * dim];
        if keys == 0 || sums.is_empty() {
            sums.fill(0.0);
            return sums;
        }
        let blocks = || (0..keys.div_ceil(block_tokens)).map(|index| (index * block_tokens, block(index)));
        for (first, block) in blocks() {
            let seen = (keys - first).min(block_tokens);
            block.scores(level, &self.queries, strided(&mut scores[first..], [lines, seen], width));
        }
        for (line, row) in scores.chunks_exact_mut(width).enumerate() {
            let seen = self.seen(line);
            softmax(level, row, 1, seen, width, self.scale);
            // The second product runs over whole blocks.
            row[seen..].fill(0.0);
        }
        for (first, block) in blocks() {
            for (line, row) in scores.chunks_exact_mut(width).enumerate() {
                block.weigh(&mut row[first..self.seen(line).max(first)]);
            }
            let residual = if first == 0 { Residual::None } else { Residual::Output };
            let weights = Lhs::matrix(&scores[first..], lines, block_tokens, width);
            block.sums(level, &weights, residual, strided(sums, [lines, dim], dim));
        }
        sums
    }
}

fn strided(data: &mut [f32], shape: [usize; 2], stride: usize) -> OutMut<'_> {
    ViewMut::with_strides(shape, [stride, 1], data).expect("the scratch was cut for these rows").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv_block::{CachePrecision, KvShape};
    use crate::random::random;

    /// Keys and values in blocks, as they came and as they are kept.
    struct Kept {
        shape: KvShape,
        keys: Vec<f32>,
        values: Vec<f32>,
        blocks: Vec<Vec<f32>>,
    }

    impl Kept {
        fn new(level: Level, shape: KvShape, tokens: usize) -> Self {
            let KvShape { tokens: block_tokens, dim, .. } = shape;
            let (keys, values) = (random(tokens * dim, 1), random(tokens * dim, 2));
            let mut blocks = vec![vec![0.0; shape.words().unwrap()]; tokens.div_ceil(block_tokens)];
            for token in 0..tokens {
                let at = token * dim..(token + 1) * dim;
                let block = &mut blocks[token / block_tokens];
                shape.write(level, block, token % block_tokens, &keys[at.clone()], &values[at]);
            }
            Kept { shape, keys, values, blocks }
        }

        fn block(&self, index: usize) -> KvBlock<'_> {
            self.shape.read(&self.blocks[index])
        }

        /// All keys and values as they are kept, or as they came.
        fn tokens(&self, kept: bool) -> Vec<[Vec<f64>; 2]> {
            let KvShape { tokens, dim, .. } = self.shape;
            let pair = |token: usize| {
                let block = self.block(token / tokens);
                let element = |d: usize| match kept {
                    true => (block.key(token % tokens, d), block.value(token % tokens, d)),
                    false => (self.keys[token * dim + d], self.values[token * dim + d]),
                };
                let (key, value) = (0..dim).map(element).map(|(k, v)| (f64::from(k), f64::from(v))).unzip();
                [key, value]
            };
            (0..self.keys.len() / dim).map(pair).collect()
        }

        /// What an element of a key or value is off by at most.
        fn error(&self, all: &[f64], x: f64) -> f64 {
            match self.shape.precision {
                CachePrecision::F32 => 0.0,
                CachePrecision::Bf16 => x.abs() / 256.0,
                _ => all.iter().fold(0.0_f64, |most, x| most.max(x.abs())) / 254.0 * 1.0001,
            }
        }
    }

    /// The attention of one query to some keys, by its definition, and how far from it what an element is off by can
    /// take it. A score that is off by `ε` at most makes a weight `e^±2ε` of what it was.
    fn naive(
        query: &[f32],
        tokens: &[[Vec<f64>; 2]],
        scale: f32,
        error: impl Fn(&[f64], f64) -> f64,
    ) -> Vec<(f64, f64)> {
        let (query, scale): (Vec<f64>, f64) = (query.iter().map(|x| f64::from(*x)).collect(), scale.into());
        let mut off: f64 = 0.0;
        let mut weights = Vec::new();
        for [key, _] in tokens {
            let score: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
            weights.push((score * scale).exp());
            let moved: f64 = query.iter().zip(key).map(|(q, k)| q.abs() * error(key, *k)).sum();
            off = off.max(moved * scale);
        }
        let sum: f64 = weights.iter().sum();
        let mean = |of: &dyn Fn(&[f64]) -> f64| -> f64 {
            weights.iter().zip(tokens).map(|(w, [_, value])| w / sum * of(value)).sum()
        };
        let most = (2.0 * off).exp();
        let element = |d: usize| {
            let moved = (most - 1.0) * mean(&|value| value[d].abs());
            (mean(&|value| value[d]), moved + most * mean(&|value| error(value, value[d])))
        };
        (0..query.len()).map(element).collect()
    }

    #[test]
    fn attention_follows_its_definition() {
        for (block_tokens, dim, group) in
            [(64, 64, 3), (64, 16, 1), (64, 1, 2), (16, 10, 5), (5, 33, 1), (64, 7, 13)]
        {
            for (seen, tokens, causal) in
                [(1, 1, false), (63, 1, true), (64, 1, true), (60, 9, true), (1, 20, true), (130, 2, false)]
            {
                for precision in CachePrecision::ALL {
                    let shape = KvShape { tokens: block_tokens, dim, precision };
                    let queries = random(tokens * group * dim, 3);
                    let lines = Lines {
                        queries: Lhs::matrix(&queries, tokens * group, dim, dim),
                        group,
                        seen,
                        causal,
                        block_tokens,
                        // Large enough that weights differ.
                        scale: 1.5 / (dim as f32).sqrt(),
                    };
                    let keys = if causal { seen + tokens - 1 } else { seen };
                    let mut bits: Option<Vec<f32>> = None;
                    for level in Level::available() {
                        let what = format!("{level} {shape:?} {lines:?}");
                        let kept = Kept::new(level, shape, keys);
                        let mut scratch =
                            vec![f32::NAN; Lines::scratch(tokens * group, dim, keys, block_tokens)];
                        let sums = lines.attend(level, |index| kept.block(index), &mut scratch).to_vec();
                        let (stored, came) = (kept.tokens(true), kept.tokens(false));
                        let error = |all: &[f64], x: f64| kept.error(all, x);
                        for (line, (query, sums)) in
                            queries.chunks_exact(dim).zip(sums.chunks_exact(dim)).enumerate()
                        {
                            let seen = lines.seen(line);
                            let stored = naive(query, &stored[..seen], lines.scale, |_, _| 0.0);
                            let came = naive(query, &came[..seen], lines.scale, error);
                            for ((got, (stored, _)), (came, bound)) in sums.iter().zip(stored).zip(came) {
                                let off = (f64::from(*got) - stored).abs();
                                assert!(off < 2e-6, "{what}: {off} from what is kept");
                                let off = (f64::from(*got) - came).abs();
                                assert!(off < bound + 2e-6, "{what}: {off} beyond {bound}");
                            }
                        }
                        if level.is_fused() {
                            assert_eq!(*bits.get_or_insert_with(|| sums.clone()), sums, "{what} differs");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_does_not_depend_on_the_others() {
        let (dim, group, seen) = (34, 3, 70);
        for precision in CachePrecision::ALL {
            let shape = KvShape { tokens: 64, dim, precision };
            let kept = Kept::new(Level::detect(), shape, seen + 4);
            let queries = random(5 * group * dim, 3);
            let attend = |first: usize, tokens: usize| {
                let lines = Lines {
                    queries: Lhs::matrix(&queries[first * group * dim..], tokens * group, dim, dim),
                    group,
                    seen: seen + first,
                    causal: true,
                    block_tokens: 64,
                    scale: 0.2,
                };
                let mut scratch = vec![f32::NAN; Lines::scratch(tokens * group, dim, seen + 4, 64)];
                lines.attend(Level::detect(), |index| kept.block(index), &mut scratch).to_vec()
            };
            let alone: Vec<f32> = (0..5).flat_map(|token| attend(token, 1)).collect();
            assert_eq!(attend(0, 5), alone, "{precision:?}");
        }
    }

    #[test]
    fn keys_that_are_not_numbers_spoil_only_what_sees_them() {
        for level in Level::available() {
            for precision in CachePrecision::ALL {
                for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let shape = KvShape { tokens: 16, dim: 6, precision };
                    let mut kept = Kept::new(level, shape, 21);
                    let mut key = [0.5; 6];
                    key[3] = odd;
                    shape.write(level, &mut kept.blocks[1], 3, &key, &[0.5; 6]);
                    let queries = [[0.25; 6]; 4].concat();
                    let lines = Lines {
                        queries: Lhs::matrix(&queries, 4, 6, 6),
                        group: 1,
                        seen: 18,
                        causal: true,
                        block_tokens: 16,
                        scale: 1.0,
                    };
                    let mut scratch = vec![0.0; Lines::scratch(4, 6, 21, 16)];
                    let sums = lines.attend(level, |index| kept.block(index), &mut scratch).to_vec();
                    assert!(
                        sums[..12].iter().all(|x| x.abs() < 1.0),
                        "{level} {precision:?} {odd}: {sums:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_seen_of_nothing() {
        let lines = Lines {
            queries: Lhs::matrix(&[1.0; 8], 2, 4, 4),
            group: 2,
            seen: 0,
            causal: false,
            block_tokens: 0,
            scale: 1.0,
        };
        let mut scratch = vec![f32::NAN; Lines::scratch(2, 4, 0, 0)];
        let sums = lines.attend(Level::detect(), |_| unreachable!("there are no blocks"), &mut scratch);
        assert_eq!(sums, [0.0; 8]);
    }
}

//! The attention of a batch over keys and values that are packed already, block by block.
//!
//! `softmax(scale · q·kᵀ) · v` for *lines* of queries that share their keys: the heads of a group, at one token
//! or several. Both products are [`gemm_f32`]; the scores of all blocks lie side by side between them. How the
//! work is cut depends on the number of queries and keys alone.

use std::ops::Range;

use tiny_vlm_kernels::{Epilogue, Lhs, OutMut, Packed, Residual, gemm_f32, softmax};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, ViewMut};

use crate::{
    cross_attention::LayerMemory,
    kv_cache::{BLOCK_TOKENS, KvCache},
    sequence::{Sequence, runs},
};

/// Lines whose scores are held at a time.
const MOST_LINES: usize = 48;

/// How an attention's values are divided into heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Heads of queries.
    pub queries: usize,
    /// Heads of keys and values; each serves the same number of query heads.
    pub keys: usize,
    /// Length of a head.
    pub dim: usize,
}

impl Heads {
    /// Query heads that share keys and values.
    fn group(&self) -> usize {
        self.queries / self.keys.max(1)
    }

    /// Tokens that go together so that their lines are at most [`MOST_LINES`].
    fn tokens_at_once(&self) -> usize {
        (MOST_LINES / self.group().max(1)).max(1)
    }
}

/// Where a sequence's keys and values come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Its own tokens: each sees those before it and itself.
    Cache(&'a KvCache, usize),
    /// A memory, of which each sees all.
    Memory(&'a LayerMemory),
    /// Nothing, which makes zeros.
    Nothing,
}

/// Keys and values as the two products of attention read them.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Tokens by head length.
    pub(crate) keys: Packed<'a, f32>,
    /// Head length by tokens.
    pub(crate) values: Packed<'a, f32>,
}

impl<'a> Source<'a> {
    /// Keys of a block.
    fn block_len(&self) -> usize {
        match self {
            Self::Cache(..) => BLOCK_TOKENS,
            Self::Memory(memory) => memory.tokens(),
            Self::Nothing => 1,
        }
    }

    /// Keys that the first of the tokens that enter sees, and the one after it sees one more if causal.
    fn seen(&self, token: usize) -> usize {
        match self {
            Self::Cache(cache, _) => cache.len() + token + 1,
            Self::Memory(memory) => memory.tokens(),
            Self::Nothing => 0,
        }
    }

    fn block(&self, head: usize, index: usize) -> Option<Block<'a>> {
        match *self {
            Self::Cache(cache, layer) => Some(cache.block(layer, head, index)),
            Self::Memory(memory) => Some(memory.block(head)),
            Self::Nothing => None,
        }
    }
}

/// Writes the attention of every row of `queries` to the same row of `out`. Rows are the tokens of the batch, one
/// sequence after the other; columns are the heads of queries.
pub(crate) fn attend<'a>(
    ctx: &Context<'_>,
    heads: Heads,
    batch: &[Sequence<'_>],
    source: impl Fn(usize) -> Source<'a> + Sync,
    queries: &[f32],
    out: &mut [f32],
) {
    let width = heads.queries * heads.dim;
    let rows = out.len() / width.max(1);
    let together = heads.tokens_at_once();
    let scratch = batch.iter().enumerate().map(|(number, sequence)| {
        let (source, tokens) = (source(number), sequence.input.tokens());
        let keys = source.seen(tokens.saturating_sub(1)).next_multiple_of(source.block_len().max(1));
        tokens.min(together) * heads.group() * (keys + heads.dim)
    });
    let scratch = scratch.max().unwrap_or(0);
    let (group, group_width) = (heads.group(), heads.group() * heads.dim);
    let out = ViewMut::new([rows, width], out).expect("attention writes to whole rows");
    ctx.for_each_tile_with_scratch::<_, f32>(
        out,
        [together, group_width],
        scratch,
        |first, mut tile, scratch| {
            let [top, column] = first;
            runs(batch, top..top + tile.shape()[0], |number, rows, first| {
                let lines = Lines { rows: rows.clone(), first, source: source(number) };
                let sums = lines.attend(heads, column / group_width, queries, scratch);
                for (row, sums) in rows.zip(sums.chunks_exact(group * heads.dim)) {
                    tile.row_mut(row - top).copy_from_slice(sums);
                }
            });
        },
    );
}

/// Some tokens of one sequence.
struct Lines<'a> {
    /// Rows of the batch.
    rows: Range<usize>,
    /// The first of them, counted from the first token of the sequence that enters.
    first: usize,
    source: Source<'a>,
}

impl Lines<'_> {
    /// The attention of the heads that share key head `head`: token by token, head by head, in the scratch.
    fn attend<'s>(&self, heads: Heads, head: usize, queries: &[f32], scratch: &'s mut [f32]) -> &'s [f32] {
        let (level, plain) = (Level::detect(), Epilogue::default());
        let (group, dim, source) = (heads.group(), heads.dim, &self.source);
        let (tokens, stride) = (self.rows.len(), heads.queries * dim);
        let lines = tokens * group;
        let (block_len, keys) = (source.block_len(), source.seen(self.first + tokens - 1));
        let width = keys.next_multiple_of(block_len.max(1));
        let (scores, rest) = scratch.split_at_mut(lines * width);
        let sums = &mut rest[..lines * dim];
        if keys == 0 {
            sums.fill(0.0);
            return sums;
        }
        let from = &queries[self.rows.start * stride + head * group * dim..];
        let queries = Lhs::windows(from, [tokens, group], [stride, dim], [1, dim], 0);
        let blocks =
            || (0..keys.div_ceil(block_len)).filter_map(|index| Some((index, source.block(head, index)?)));
        for (index, block) in blocks() {
            let seen = (keys - index * block_len).min(block_len);
            let to = strided(&mut scores[index * block_len..], [lines, seen], width);
            gemm_f32(level, &queries, block.keys, &plain, to);
        }
        let scale = 1.0 / (dim as f32).sqrt();
        for (line, row) in scores.chunks_exact_mut(width).enumerate() {
            let seen = source.seen(self.first + line / group);
            softmax(level, row, 1, seen, width, scale);
            // The second product runs over whole blocks.
            row[seen..].fill(0.0);
        }
        for (index, block) in blocks() {
            let residual = if index == 0 { Residual::None } else { Residual::Output };
            let weights = Lhs::matrix(&scores[index * block_len..], lines, block_len, width);
            let to = strided(sums, [lines, dim], dim);
            gemm_f32(level, &weights, block.values, &Epilogue { residual, ..plain }, to);
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
    use crate::{CacheShape, Input};
    use tiny_vlm_tensor::Workspace;

    /// Numbers between −1 and 1.
    fn random(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f32::from(state as i16) / 32768.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Attention of one query by its definition.
    fn naive(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
        let dot = |key: &[f32]| -> f64 { query.iter().zip(key).map(|(a, b)| f64::from(a * b)).sum() };
        let weights: Vec<f64> =
            keys.iter().map(|key| (dot(key) / (query.len() as f64).sqrt()).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mean =
            |d: usize| weights.iter().zip(values).map(|(w, value)| w / sum * f64::from(value[d])).sum();
        (0..query.len()).map(mean).collect()
    }

    /// Ragged batches over caches of lengths around those of blocks, for groups from one head to more than fit at
    /// once.
    #[test]
    fn attention_follows_its_definition() {
        for (queries, keys, dim) in [(1, 1, 2), (6, 2, 10), (5, 1, 16), (49, 1, 4), (3, 3, 34)] {
            let heads = Heads { queries, keys, dim };
            let [width, kv_width] = [queries * dim, keys * dim];
            let shape = CacheShape { layers: 2, kv_heads: keys, head_dim: dim };
            for sequences in [&[(0, 1), (63, 1), (64, 3), (130, 50)][..], &[(1, 64), (0, 70)], &[(100, 1)]] {
                let rows: usize = sequences.iter().map(|(_, enter)| enter).sum();
                let q = random(rows * width, 1);
                let mut caches = Vec::new();
                for (number, (before, enter)) in sequences.iter().enumerate() {
                    let mut cache = KvCache::new(shape);
                    cache.grow(before + enter).unwrap();
                    let k = random((before + enter) * kv_width, 2 + number as u32);
                    for (offset, token) in k.chunks_exact(kv_width).enumerate() {
                        let value: Vec<f32> = token.iter().map(|x| 1.0 - 2.0 * x).collect();
                        cache.write(1, offset, token, &value);
                    }
                    cache.advance(*before);
                    caches.push((cache, k));
                }
                let ids = vec![0; rows];
                let batch: Vec<Sequence<'_>> = caches
                    .iter_mut()
                    .zip(sequences)
                    .map(|((cache, _), (_, enter))| Sequence::new(Input::Tokens(&ids[..*enter]), cache))
                    .collect();
                let mut out = vec![f32::NAN; rows * width];
                let workspace = Workspace::new(2);
                let source = |number: usize| Source::Cache(batch[number].cache, 1);
                attend(&workspace.context(), heads, &batch, source, &q, &mut out);

                let mut row = 0;
                for ((_, k), (before, enter)) in caches.iter().zip(sequences) {
                    for token in *before..before + enter {
                        for head in 0..queries {
                            let at = head / (queries / keys) * dim;
                            let key = |i: usize| &k[i * kv_width + at..][..dim];
                            let values: Vec<Vec<f32>> =
                                (0..=token).map(|i| key(i).iter().map(|x| 1.0 - 2.0 * x).collect()).collect();
                            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
                            let seen: Vec<&[f32]> = (0..=token).map(key).collect();
                            let place = row * width + head * dim;
                            let expected = naive(&q[place..place + dim], &seen, &values);
                            for (got, expected) in out[place..place + dim].iter().zip(expected) {
                                assert!((f64::from(*got) - expected).abs() < 3e-6, "{heads:?} token {token}");
                            }
                        }
                        row += 1;
                    }
                }
            }
        }
    }
}

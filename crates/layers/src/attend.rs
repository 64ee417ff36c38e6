//! The attention of a batch over keys and values that are packed already, block by block.
//!
//! What is computed at once are the [`Lines`] of queries that share their keys: the heads of a group, at one token or
//! several. How the work is cut depends on the number of queries and keys alone.

use std::ops::Range;

use tiny_vlm_kernels::{KvBlock, Lhs, Lines};
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

    fn block(&self, head: usize, index: usize) -> Option<KvBlock<'a>> {
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
    level: Level,
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
        let keys = source.seen(tokens.saturating_sub(1));
        Lines::scratch(tokens.min(together) * heads.group(), heads.dim, keys, source.block_len())
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
                let (source, head) = (source(number), column / group_width);
                let lines = Lines {
                    queries: queries_of(heads, head, queries, &rows),
                    group,
                    seen: source.seen(first),
                    causal: matches!(source, Source::Cache(..)),
                    block_tokens: source.block_len(),
                    scale: 1.0 / (heads.dim as f32).sqrt(),
                };
                let block = |index| source.block(head, index).expect("nothing is seen of what has no blocks");
                let sums = lines.attend(level, block, scratch);
                for (row, sums) in rows.zip(sums.chunks_exact(group_width)) {
                    tile.row_mut(row - top).copy_from_slice(sums);
                }
            });
        },
    );
}

/// The lines of some rows that share key head `head`: token by token, head by head.
fn queries_of<'q>(heads: Heads, head: usize, queries: &'q [f32], rows: &Range<usize>) -> Lhs<'q, f32> {
    let (group, dim, stride) = (heads.group(), heads.dim, heads.queries * heads.dim);
    let from = &queries[rows.start * stride + head * group * dim..];
    Lhs::windows(from, [rows.len(), group], [stride, dim], [1, dim], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use crate::{CachePrecision, CacheShape, Input};
    use tiny_vlm_tensor::Workspace;

    /// Attention of one query by its definition.
    fn naive(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f64> {
        let dot = |key: &[f32]| -> f64 { query.iter().zip(key).map(|(a, b)| f64::from(a * b)).sum() };
        let weights: Vec<f64> =
            keys.iter().map(|key| (dot(key) / (query.len() as f64).sqrt()).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mean =
            |d: usize| weights.iter().zip(values).map(|(w, value)| w / sum * f64::from(value[d])).sum();
        (0..query.len()).map(mean).collect()
    }

    /// Sequences that have so many tokens and let so many more enter, in caches of these precisions in turn.
    struct Batch {
        caches: Vec<KvCache>,
        enter: Vec<usize>,
        queries: Vec<f32>,
        heads: Heads,
    }

    impl Batch {
        fn new(
            level: Level,
            heads: Heads,
            sequences: &[(usize, usize)],
            precisions: &[CachePrecision],
        ) -> Self {
            let kv_width = heads.keys * heads.dim;
            let shape = CacheShape { layers: 2, kv_heads: heads.keys, head_dim: heads.dim };
            let cache = |(number, (before, enter)): (usize, &(usize, usize))| {
                let mut cache = KvCache::new(shape, precisions[number % precisions.len()]);
                cache.grow(before + enter).unwrap();
                let keys = random((before + enter) * kv_width, 2 + number as u64);
                let values: Vec<f32> = keys.iter().map(|x| 1.0 - 2.0 * x).collect();
                cache.write(&Workspace::inline().context(), level, 1, &keys, &values);
                cache.advance(*before);
                cache
            };
            let enter: Vec<usize> = sequences.iter().map(|(_, enter)| *enter).collect();
            let queries = random(enter.iter().sum::<usize>() * heads.queries * heads.dim, 1);
            Batch { caches: sequences.iter().enumerate().map(cache).collect(), enter, queries, heads }
        }

        /// The attention of every row.
        fn attend(&mut self, level: Level, workspace: &Workspace) -> Vec<f32> {
            let ids = vec![0; self.enter.iter().sum()];
            let entering = self.caches.iter_mut().zip(&self.enter);
            let batch: Vec<Sequence<'_>> =
                entering.map(|(cache, enter)| Sequence::new(Input::Tokens(&ids[..*enter]), cache)).collect();
            let mut out = vec![f32::NAN; self.queries.len()];
            let source = |number: usize| Source::Cache(batch[number].cache, 1);
            attend(&workspace.context(), level, self.heads, &batch, source, &self.queries, &mut out);
            out
        }

        /// The attention of every row to what its cache keeps, by its definition.
        fn naive(&self) -> Vec<f64> {
            let Heads { queries, keys, dim } = self.heads;
            let mut rows = self.queries.chunks_exact(queries * dim);
            let mut out = Vec::new();
            for (cache, enter) in self.caches.iter().zip(&self.enter) {
                let tokens = cache.len()..cache.len() + enter;
                let kept: Vec<_> = (0..keys).map(|head| kept(cache, head, tokens.end, dim)).collect();
                for (token, row) in tokens.zip(&mut rows) {
                    for (head, query) in row.chunks_exact(dim).enumerate() {
                        let [keys, values] = &kept[head / (queries / keys)];
                        out.extend(naive(query, &keys[..=token], &values[..=token]));
                    }
                }
            }
            out
        }
    }

    /// The first keys and values of a head.
    fn kept(cache: &KvCache, head: usize, tokens: usize, dim: usize) -> [Vec<Vec<f32>>; 2] {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for token in 0..tokens {
            let (block, at) = (cache.block(1, head, token / BLOCK_TOKENS), token % BLOCK_TOKENS);
            keys.push((0..dim).map(|d| block.key(at, d)).collect());
            values.push((0..dim).map(|d| block.value(at, d)).collect());
        }
        [keys, values]
    }

    /// Ragged batches over caches of lengths around those of blocks, for groups from one head to more than fit at
    /// once, in every precision at every level.
    #[test]
    fn attention_follows_its_definition() {
        let workspace = Workspace::new(2);
        for (queries, keys, dim) in [(1, 1, 2), (6, 2, 10), (5, 1, 16), (49, 1, 4), (3, 3, 34)] {
            let heads = Heads { queries, keys, dim };
            for sequences in [&[(0, 1), (63, 1), (64, 3), (130, 50)][..], &[(1, 64), (0, 70)], &[(100, 1)]] {
                for precision in CachePrecision::ALL {
                    for level in Level::available() {
                        let mut batch = Batch::new(level, heads, sequences, &[precision]);
                        let out = batch.attend(level, &workspace);
                        for (at, (got, expected)) in out.iter().zip(batch.naive()).enumerate() {
                            let off = (f64::from(*got) - expected).abs();
                            assert!(off < 3e-6, "{level} {precision:?} {heads:?} {sequences:?} at {at}");
                        }
                    }
                }
            }
        }
    }

    /// Each sequence is attended to as if it were alone, whatever the precision of the others' caches.
    #[test]
    fn a_batch_may_mix_precisions() {
        let (level, workspace) = (Level::detect(), Workspace::new(2));
        let heads = Heads { queries: 6, keys: 2, dim: 10 };
        let sequences = [(63, 2), (5, 1), (130, 30)];
        let mut mixed = Batch::new(level, heads, &sequences, &CachePrecision::ALL);
        let together = mixed.attend(level, &workspace);
        let mut first = 0;
        for (number, precision) in CachePrecision::ALL.into_iter().enumerate() {
            let same = Batch::new(level, heads, &sequences, &[precision]).attend(level, &workspace);
            let row = first..first + sequences[number].1 * 60;
            assert_eq!(together[row.clone()], same[row.clone()], "{precision:?}");
            first = row.end;
        }
    }
}

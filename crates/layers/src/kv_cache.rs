//! What a sequence keeps of its tokens: the keys and values of every layer, in blocks of 64 tokens.
//!
//! Blocks are reference-counted. A clone of a cache shares all of them; whoever appends first copies the one that
//! is not full, so sequences with a common prefix hold it once.
//!
//! Layer by layer and head by head, a block holds keys and values as the products of attention read them
//! ([`KvShape`]), rounded to the cache's [`CachePrecision`]. Appending a token writes its own places; nothing is ever
//! packed or rounded again.

use std::sync::Arc;

use tiny_vlm_kernels::{CachePrecision, KvBlock, KvShape};
use tiny_vlm_memory::{AlignedVec, MemoryError};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, split};

/// Tokens of a block.
pub const BLOCK_TOKENS: usize = 64;

/// What a cache holds for each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers that keep keys and values.
    pub layers: usize,
    /// Heads of keys and values in each.
    pub kv_heads: usize,
    /// Length of a key and of a value.
    pub head_dim: usize,
}

/// The keys and values of one sequence. A clone shares them until either is appended to.
#[derive(Debug)]
pub struct KvCache {
    shape: CacheShape,
    /// What a block holds of one head.
    head: KvShape,
    /// At least enough blocks for `len` tokens; those before the last one in use are full.
    blocks: Vec<Arc<AlignedVec<f32>>>,
    /// Blocks that hold nothing, and that nobody shares.
    spare: Vec<Arc<AlignedVec<f32>>>,
    len: usize,
}

impl KvCache {
    /// An empty cache; allocates nothing yet.
    pub fn new(shape: CacheShape, precision: CachePrecision) -> Self {
        let head = KvShape { tokens: BLOCK_TOKENS, dim: shape.head_dim, precision };
        Self { shape, head, blocks: Vec::new(), spare: Vec::new(), len: 0 }
    }

    /// What it holds for each token.
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    /// What its keys and values are rounded to.
    pub fn precision(&self) -> CachePrecision {
        self.head.precision
    }

    /// How many tokens it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no tokens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its blocks, shared ones and spare ones included.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().chain(&self.spare).map(|block| block.len() * size_of::<f32>()).sum()
    }

    /// How many of its blocks another cache holds too.
    pub fn shared_blocks(&self) -> usize {
        self.blocks.iter().filter(|block| Arc::strong_count(block) > 1).count()
    }

    /// Allocates what `tokens` more tokens need, so that appending them does not.
    pub fn reserve(&mut self, tokens: usize) -> Result<(), MemoryError> {
        let wanted = self.len.saturating_add(tokens).div_ceil(BLOCK_TOKENS);
        // A last block that is shared will be copied to one more.
        let copied = usize::from(!self.len.is_multiple_of(BLOCK_TOKENS) && self.last_is_shared());
        let missing = (wanted + copied).saturating_sub(self.blocks.len() + self.spare.len());
        for _ in 0..missing {
            let block = self.new_block()?;
            self.spare.push(block);
        }
        self.blocks.reserve(wanted.saturating_sub(self.blocks.len()));
        Ok(())
    }

    /// Forgets all tokens from the `len`-th on. Blocks that nobody shares are kept for reuse.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for mut block in self.blocks.drain(self.len.div_ceil(BLOCK_TOKENS)..) {
            if Arc::get_mut(&mut block).is_some() {
                self.spare.push(block);
            }
        }
    }

    /// Makes room behind the last token for `tokens` more, in blocks that nobody shares.
    pub fn grow(&mut self, tokens: usize) -> Result<(), MemoryError> {
        let first = self.len / BLOCK_TOKENS;
        let end = self.len.saturating_add(tokens).div_ceil(BLOCK_TOKENS);
        for index in first..end {
            match self.blocks.get_mut(index) {
                None => {
                    let block = self.take_block()?;
                    self.blocks.push(block);
                }
                Some(block) if Arc::strong_count(block) == 1 => {}
                Some(_) => {
                    let mut copy = self.take_block()?;
                    if let Some(to) = Arc::get_mut(&mut copy) {
                        to.copy_from_slice(&self.blocks[index]);
                    }
                    self.blocks[index] = copy;
                }
            }
        }
        Ok(())
    }

    /// Writes the keys and values that one layer has of tokens behind the last, a row a token; blocks are apart, and each
    /// is a task. There must be [room](Self::grow) for them.
    pub(crate) fn write(
        &mut self,
        ctx: &Context<'_>,
        level: Level,
        layer: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let (CacheShape { kv_heads, head_dim, .. }, head_shape) = (self.shape, self.head);
        let (width, words) = (kv_heads * head_dim, head_shape.words().unwrap_or(0));
        let tokens = self.len..self.len + keys.len() / width;
        let first_block = tokens.start / BLOCK_TOKENS;
        let blocks = &mut self.blocks[first_block..tokens.end.div_ceil(BLOCK_TOKENS)];
        split::for_each_chunk(ctx.executor, blocks, 1, |index, block| {
            let start = (first_block + index) * BLOCK_TOKENS;
            let written = tokens.start.max(start)..tokens.end.min(start + BLOCK_TOKENS);
            let block = block.first_mut().and_then(Arc::get_mut);
            let block = block.expect("grow has made blocks of its own for these tokens");
            let heads = block[layer * kv_heads * words..][..kv_heads * words].chunks_exact_mut(words);
            for (head, block) in heads.enumerate() {
                for token in written.clone() {
                    let at = (token - tokens.start) * width + head * head_dim;
                    let of_head = at..at + head_dim;
                    head_shape.write(level, block, token - start, &keys[of_head.clone()], &values[of_head]);
                }
            }
        });
    }

    /// Takes the tokens written since as appended.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// The keys and values of one head in one block.
    pub(crate) fn block(&self, layer: usize, head: usize, index: usize) -> KvBlock<'_> {
        let words = self.head.words().unwrap_or(0);
        self.head.read(&self.blocks[index][(layer * self.shape.kv_heads + head) * words..][..words])
    }

    fn last_is_shared(&self) -> bool {
        self.blocks.last().is_some_and(|block| Arc::strong_count(block) > 1)
    }

    /// A block of zeros: what lies behind the last token is multiplied by zero, so it must be finite.
    fn take_block(&mut self) -> Result<Arc<AlignedVec<f32>>, MemoryError> {
        match self.spare.pop() {
            Some(mut block) => {
                if let Some(data) = Arc::get_mut(&mut block) {
                    data.fill(0.0);
                }
                Ok(block)
            }
            None => self.new_block(),
        }
    }

    fn new_block(&self) -> Result<Arc<AlignedVec<f32>>, MemoryError> {
        let heads = self.shape.layers.checked_mul(self.shape.kv_heads);
        let words = heads.zip(self.head.words()).and_then(|(heads, words)| heads.checked_mul(words));
        // An impossible shape asks for more than there is, which the allocation then says.
        Ok(Arc::new(AlignedVec::try_zeroed(words.unwrap_or(usize::MAX))?))
    }
}

impl Clone for KvCache {
    /// Shares every block; spare ones stay with the original.
    fn clone(&self) -> Self {
        let used = self.len.div_ceil(BLOCK_TOKENS);
        Self {
            shape: self.shape,
            head: self.head,
            blocks: self.blocks[..used].to_vec(),
            spare: Vec::new(),
            len: self.len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Workspace;

    const SHAPE: CacheShape = CacheShape { layers: 2, kv_heads: 3, head_dim: 5 };

    /// Appends tokens whose numbers say where they belong.
    fn append(cache: &mut KvCache, tokens: usize, mark: f32) {
        let workspace = Workspace::new(2);
        cache.grow(tokens).unwrap();
        for layer in 0..SHAPE.layers {
            let value = |i: usize| mark + (cache.len() + i / 15) as f32 + 0.01 * (layer * 15 + i % 15) as f32;
            let keys: Vec<f32> = (0..15 * tokens).map(value).collect();
            let values: Vec<f32> = keys.iter().map(|key| -key).collect();
            cache.write(&workspace.context(), Level::detect(), layer, &keys, &values);
        }
        cache.advance(tokens);
    }

    fn key(cache: &KvCache, position: usize) -> f32 {
        let (block, token) = (cache.block(1, 2, position / BLOCK_TOKENS), position % BLOCK_TOKENS);
        assert_eq!(block.key(token, 4), -block.value(token, 4));
        block.key(token, 4)
    }

    fn caches() -> [KvCache; 3] {
        CachePrecision::ALL.map(|precision| KvCache::new(SHAPE, precision))
    }

    #[test]
    fn tokens_lie_where_they_were_written() {
        for mut cache in caches() {
            for tokens in [1, 70, 57, 1] {
                append(&mut cache, tokens, 0.0);
            }
            assert_eq!(cache.len(), 129);
            let relative = if cache.precision() == CachePrecision::F32 { 1e-6 } else { 1.0 / 253.0 };
            for position in 0..129 {
                let expected = position as f32 + 0.29;
                assert!((key(&cache, position) - expected).abs() < relative * (expected + 1.0));
            }
        }
    }

    #[test]
    fn clones_share_until_they_differ() {
        for mut one in caches() {
            append(&mut one, 100, 0.0);
            let mut two = one.clone();
            assert_eq!((one.shared_blocks(), two.shared_blocks()), (2, 2));
            assert_eq!(one.precision(), two.precision());
            append(&mut two, 1, 1000.0);
            append(&mut one, 1, 2000.0);
            assert_eq!((one.shared_blocks(), two.shared_blocks()), (1, 1));
            for position in 0..100 {
                assert_eq!(key(&one, position), key(&two, position));
            }
            assert!(key(&two, 100) < 2000.0 && key(&one, 100) > 2000.0);
        }
    }

    #[test]
    fn truncated_blocks_are_used_again() {
        for mut cache in caches() {
            cache.reserve(200).unwrap();
            let bytes = cache.bytes();
            append(&mut cache, 200, 0.0);
            assert_eq!(cache.bytes(), bytes);
            cache.truncate(63);
            append(&mut cache, 100, 500.0);
            assert_eq!((cache.len(), cache.bytes()), (163, bytes));
            assert!(key(&cache, 62) < 64.0 && key(&cache, 63) > 500.0);
            // What was reserved holds for a shared last block, too.
            let other = cache.clone();
            cache.reserve(1).unwrap();
            let bytes = cache.bytes();
            append(&mut cache, 1, 0.0);
            assert!(cache.bytes() <= bytes && other.len() == 163);
        }
    }

    #[test]
    fn bytes_are_those_of_the_precision() {
        let shape = CacheShape { layers: 4, kv_heads: 3, head_dim: 64 };
        let bytes = CachePrecision::ALL.map(|precision| {
            let mut cache = KvCache::new(shape, precision);
            cache.reserve(65).unwrap();
            cache.bytes()
        });
        // Two blocks of 64 tokens, of keys and of values.
        let elements = 4 * 3 * 2 * 64 * 2 * 64;
        // A scale of four bytes for 64 elements of one.
        assert_eq!(bytes, [4 * elements, 2 * elements, elements + elements / 16]);
    }

    #[test]
    fn impossible_shapes_are_errors() {
        for precision in CachePrecision::ALL {
            let shape = CacheShape { layers: usize::MAX, kv_heads: 2, head_dim: 64 };
            let mut cache = KvCache::new(shape, precision);
            assert!(cache.reserve(1).is_err());
            assert!(cache.grow(1).is_err());
        }
    }
}

//! What a sequence keeps of its tokens: the keys and values of every layer, in blocks of 64 tokens.
//!
//! Blocks are reference-counted. A clone of a cache shares all of them; whoever appends first copies the one that
//! is not full, so sequences with a common prefix hold it once.
//!
//! Within a block, keys and values lie as the products of attention read them ([`Layout::F32`]): keys as a weight
//! matrix of 64 channels by `head_dim`, values as one of `head_dim` channels by 64. Appending a token writes one
//! channel of the first and one column of the second; nothing is ever packed again.

use std::sync::Arc;

use tiny_vlm_kernels::{Layout, Packed};
use tiny_vlm_memory::{AlignedVec, MemoryError};

use crate::attend::Block;

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

impl CacheShape {
    /// Elements of one head's keys in a block.
    fn keys(&self) -> usize {
        BLOCK_TOKENS * self.head_dim
    }

    /// Elements of one head's values in a block; values are padded to whole panels.
    fn values(&self) -> Option<usize> {
        Layout::F32.len(self.head_dim, BLOCK_TOKENS)
    }

    /// Elements of one head in a block.
    fn head(&self) -> Option<usize> {
        BLOCK_TOKENS.checked_mul(self.head_dim)?.checked_add(self.values()?)
    }

    /// Elements of a block.
    fn block(&self) -> Result<usize, MemoryError> {
        let heads = self.layers.checked_mul(self.kv_heads);
        let elements = heads.zip(self.head()).and_then(|(heads, head)| heads.checked_mul(head));
        // An impossible shape asks for more than there is, which the allocation then says.
        Ok(elements.unwrap_or(usize::MAX))
    }
}

/// The keys and values of one sequence. A clone shares them until either is appended to.
#[derive(Debug)]
pub struct KvCache {
    shape: CacheShape,
    /// At least enough blocks for `len` tokens; those before the last one in use are full.
    blocks: Vec<Arc<AlignedVec<f32>>>,
    /// Blocks that hold nothing, and that nobody shares.
    spare: Vec<Arc<AlignedVec<f32>>>,
    len: usize,
}

impl KvCache {
    /// An empty cache; allocates nothing yet.
    pub fn new(shape: CacheShape) -> Self {
        Self { shape, blocks: Vec::new(), spare: Vec::new(), len: 0 }
    }

    /// What it holds for each token.
    pub fn shape(&self) -> CacheShape {
        self.shape
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

    /// Writes the keys and values that one layer has of tokens behind the last, a row a token. There must be
    /// [room](Self::grow) for them.
    pub(crate) fn write(&mut self, layer: usize, offset: usize, keys: &[f32], values: &[f32]) {
        let CacheShape { kv_heads, head_dim, .. } = self.shape;
        let position = self.len + offset;
        let (index, token) = (position / BLOCK_TOKENS, position % BLOCK_TOKENS);
        let (head_len, keys_len) = (self.shape.head().unwrap_or(0), self.shape.keys());
        let block = self.blocks.get_mut(index).and_then(Arc::get_mut);
        let block = block.expect("grow has made blocks of its own for these tokens");
        let layer = &mut block[layer * kv_heads * head_len..][..kv_heads * head_len];
        for (h, head) in layer.chunks_exact_mut(head_len).enumerate() {
            let (to_keys, to_values) = head.split_at_mut(keys_len);
            for d in 0..head_dim {
                to_keys[Layout::F32.position(head_dim, token, d)] = keys[h * head_dim + d];
                to_values[Layout::F32.position(BLOCK_TOKENS, d, token)] = values[h * head_dim + d];
            }
        }
    }

    /// Takes the tokens written since as appended.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Keys (tokens by `head_dim`) and values (`head_dim` by tokens) of one block of one head.
    pub(crate) fn block(&self, layer: usize, head: usize, index: usize) -> Block<'_> {
        let head_len = self.shape.head().unwrap_or(0);
        let head = &self.blocks[index][(layer * self.shape.kv_heads + head) * head_len..][..head_len];
        let (keys, values) = head.split_at(self.shape.keys());
        let keys = Packed::new(keys, BLOCK_TOKENS, self.shape.head_dim);
        let values = Packed::new(values, self.shape.head_dim, BLOCK_TOKENS);
        let (Some(keys), Some(values)) = (keys, values) else {
            unreachable!("a block is cut as its shape says");
        };
        Block { keys, values }
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
        Ok(Arc::new(AlignedVec::try_zeroed(self.shape.block()?)?))
    }
}

impl Clone for KvCache {
    /// Shares every block; spare ones stay with the original.
    fn clone(&self) -> Self {
        let used = self.len.div_ceil(BLOCK_TOKENS);
        Self { shape: self.shape, blocks: self.blocks[..used].to_vec(), spare: Vec::new(), len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 2, kv_heads: 3, head_dim: 5 };

    /// Appends tokens whose numbers say where they belong.
    fn append(cache: &mut KvCache, tokens: usize, mark: f32) {
        cache.grow(tokens).unwrap();
        for offset in 0..tokens {
            for layer in 0..SHAPE.layers {
                let value = |i: usize| mark + (cache.len() + offset) as f32 + 0.01 * (layer * 15 + i) as f32;
                let keys: Vec<f32> = (0..15).map(value).collect();
                let values: Vec<f32> = keys.iter().map(|key| -key).collect();
                cache.write(layer, offset, &keys, &values);
            }
        }
        cache.advance(tokens);
    }

    fn key(cache: &KvCache, position: usize) -> f32 {
        let block = cache.block(1, 2, position / BLOCK_TOKENS);
        let (key, value) =
            (block.keys.get(position % BLOCK_TOKENS, 4), block.values.get(4, position % BLOCK_TOKENS));
        assert_eq!(key, -value);
        key
    }

    #[test]
    fn tokens_lie_where_they_were_written() {
        let mut cache = KvCache::new(SHAPE);
        for tokens in [1, 70, 57, 1] {
            append(&mut cache, tokens, 0.0);
        }
        assert_eq!(cache.len(), 129);
        for position in 0..129 {
            assert!((key(&cache, position) - (position as f32 + 0.29)).abs() < 1e-4);
        }
    }

    #[test]
    fn clones_share_until_they_differ() {
        let mut one = KvCache::new(SHAPE);
        append(&mut one, 100, 0.0);
        let mut two = one.clone();
        assert_eq!((one.shared_blocks(), two.shared_blocks()), (2, 2));
        append(&mut two, 1, 1000.0);
        append(&mut one, 1, 2000.0);
        assert_eq!((one.shared_blocks(), two.shared_blocks()), (1, 1));
        for position in 0..100 {
            assert_eq!(key(&one, position), key(&two, position));
        }
        assert!(key(&two, 100) < 2000.0 && key(&one, 100) > 2000.0);
    }

    #[test]
    fn truncated_blocks_are_used_again() {
        let mut cache = KvCache::new(SHAPE);
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

    #[test]
    fn impossible_shapes_are_errors() {
        let mut cache = KvCache::new(CacheShape { layers: usize::MAX, kv_heads: 2, head_dim: 64 });
        assert!(cache.reserve(1).is_err());
        assert!(cache.grow(1).is_err());
    }
}

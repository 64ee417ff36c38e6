use tiny_vlm_layers::{CrossMemory, KvCache, Sequence};
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::DecoderError;

/// A decoder, wherever it runs: host buffers at the edge, everything else its own affair.
///
/// One sequence is a batch of one. A prompt and a single token enter in the same way.
pub trait DecoderStage: Send + Sync {
    /// Tokens that it can look up, and scores that it gives.
    fn vocab(&self) -> usize;

    /// Length of an embedding.
    fn hidden(&self) -> usize;

    /// Writes the embeddings of tokens, a row each: the text around what is placed in a prompt.
    fn embed(&self, ids: &[u32], out: ViewMut<'_, f32, 2>) -> Result<(), DecoderError>;

    /// Makes what cross-attention keeps of a memory, a row a token, once for all steps that look at it.
    fn remember(&self, ctx: &Context<'_>, memory: View<'_, f32, 2>) -> Result<CrossMemory, DecoderError>;

    /// An empty cache for one sequence, of the precision that the decoder was given.
    fn new_cache(&self) -> KvCache;

    /// Lets the tokens of each sequence enter, and writes the logits of what follows each: one row a sequence.
    ///
    /// When it fails, every cache holds what it held before.
    fn step(
        &self,
        ctx: &Context<'_>,
        batch: &mut [Sequence<'_>],
        logits: ViewMut<'_, f32, 2>,
    ) -> Result<(), DecoderError>;
}

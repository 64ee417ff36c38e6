//! Sequences whose decoder attends across to a memory of what was looked at.

use std::any::Any;
use std::sync::Arc;

use tiny_vlm_decoder::{CrossMemory, DecoderStage, Input, KvCache, Sequence as Entering};
use tiny_vlm_tensor::{Context, ViewMut};

use crate::{ModelError, Sequence, Step};

/// A text, and the memory that its tokens attend to.
struct Remembering {
    cache: KvCache,
    memory: Arc<CrossMemory>,
}

impl Sequence for Remembering {
    fn len(&self) -> usize {
        self.cache.len()
    }

    fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
    }

    fn fork(&self) -> Box<dyn Sequence> {
        Box::new(Remembering { cache: self.cache.clone(), memory: Arc::clone(&self.memory) })
    }
}

/// Begins a sequence with this memory.
pub(crate) fn begin(decoder: &dyn DecoderStage, memory: CrossMemory) -> Box<dyn Sequence> {
    Box::new(Remembering { cache: decoder.new_cache(), memory: Arc::new(memory) })
}

/// Gives each sequence, begun by [`begin`], its next tokens, and writes the scores of the token after them.
pub(crate) fn step(
    decoder: &dyn DecoderStage,
    ctx: &Context<'_>,
    batch: &mut [Step<'_>],
    scores: &mut [f32],
) -> Result<(), ModelError> {
    let shape = [batch.len(), decoder.vocab()];
    let scores = ViewMut::new(shape, scores).map_err(|error| ModelError::stage("decoder", error))?;
    // One sequence is the rule, and its steps must not allocate.
    if let [step] = batch {
        return Ok(decoder.step(ctx, &mut [entering(step)?], scores)?);
    }
    let mut entering = batch.iter_mut().map(entering).collect::<Result<Vec<_>, _>>()?;
    Ok(decoder.step(ctx, &mut entering, scores)?)
}

/// What enters the decoder for a step.
fn entering<'a>(step: &'a mut Step<'_>) -> Result<Entering<'a>, ModelError> {
    let sequence: &mut dyn Any = &mut *step.sequence;
    match sequence.downcast_mut::<Remembering>() {
        Some(text) => Ok(Entering::new(Input::Tokens(step.ids), &mut text.cache).with_memory(&text.memory)),
        None => Err(ModelError::stage("decoder", "a sequence that another family began")),
    }
}

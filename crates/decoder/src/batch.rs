//! What decoders have in common: whether a batch can enter, and looking up tokens.

use tiny_vlm_layers::{CacheShape, Input, Sequence};
use tiny_vlm_quant::Matrix;
use tiny_vlm_tensor::ViewMut;

use crate::DecoderError;

/// Whether every sequence can enter a decoder of this width whose caches are of this shape, and whose layers, so many,
/// look at a memory if they look at any.
pub(crate) fn check(
    batch: &[Sequence<'_>],
    hidden: usize,
    cache: CacheShape,
    memory_layers: Option<usize>,
) -> Result<(), DecoderError> {
    for (number, sequence) in batch.iter().enumerate() {
        let refuse = |reason: String| Err(DecoderError::Sequence { sequence: number, reason });
        if sequence.input.tokens() == 0 {
            return refuse("no tokens enter".into());
        }
        if let Input::Embeddings(rows) = sequence.input
            && rows.shape()[1] != hidden
        {
            return refuse(format!("embeddings of {} values enter where {hidden} do", rows.shape()[1]));
        }
        if sequence.cache.shape() != cache {
            return refuse(format!("its cache is one of another decoder: {:?}", sequence.cache.shape()));
        }
        match (sequence.memory, memory_layers) {
            (Some(_), None) => return refuse("it has a memory, and the decoder cannot look at one".into()),
            (Some(memory), Some(layers)) if memory.layers() != layers => {
                return refuse(format!("its memory is for {} layers, not {layers}", memory.layers()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the rows of these tokens to `out`.
pub(crate) fn embed(
    embeddings: &Matrix,
    ids: &[u32],
    mut out: ViewMut<'_, f32, 2>,
) -> Result<(), DecoderError> {
    let vocab = embeddings.rows();
    expect_shape("embeddings", [ids.len(), embeddings.cols()], out.shape())?;
    for (place, &id) in ids.iter().enumerate() {
        if id as usize >= vocab {
            return Err(DecoderError::Token { id, vocab });
        }
        embeddings.row(id as usize, out.row_mut(place))?;
    }
    Ok(())
}

pub(crate) fn expect_shape(
    what: &'static str,
    expected: [usize; 2],
    actual: [usize; 2],
) -> Result<(), DecoderError> {
    if expected == actual { Ok(()) } else { Err(DecoderError::Shape { what, expected, actual }) }
}

//! Sequences whose prompts hold image features among their tokens.

use std::any::Any;
use std::sync::Arc;

use tiny_vlm_decoder::{Decoder, DecoderStage, Input, KvCache, Sequence as Entering};
use tiny_vlm_fusion::Placement;
use tiny_vlm_layers::ScratchTensor;
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_vision::VisionError;

use crate::{Features, ModelError, Observe, PreparedPrompt, Sequence, Step};

/// What a family makes of an image: a row for each place in the prompt, as wide as the decoder.
pub(crate) type Rows = Tensor<f32, 2>;

/// How a family places the features of images.
#[derive(Clone, Copy)]
pub(crate) struct Placing {
    /// The token of a prompt that makes room for a feature.
    pub(crate) placeholder: u32,
    /// Where its features have their rows.
    pub(crate) rows: fn(&Features) -> Option<&Rows>,
}

/// A text with images in it.
struct Placed {
    cache: KvCache,
    placement: Arc<Placement>,
    images: Arc<[Arc<Features>]>,
    placing: Placing,
}

impl Sequence for Placed {
    fn len(&self) -> usize {
        self.cache.len()
    }

    fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
    }

    fn fork(&self) -> Box<dyn Sequence> {
        let (placement, images) = (Arc::clone(&self.placement), Arc::clone(&self.images));
        Box::new(Placed { cache: self.cache.clone(), placement, images, placing: self.placing })
    }
}

impl Placing {
    /// A feature by its number among those of all images.
    fn feature(self, images: &[Arc<Features>], mut number: usize) -> Option<&[f32]> {
        for rows in images.iter().filter_map(|image| (self.rows)(image)) {
            let [count, width] = rows.shape();
            if number < count {
                return rows.data().get(number * width..(number + 1) * width);
            }
            number -= count;
        }
        None
    }
}

impl Placed {
    /// What stands for `ids`, which come next, where there are features among them.
    fn rows<'a>(
        &self,
        ctx: &Context<'a>,
        decoder: &dyn DecoderStage,
        ids: &[u32],
    ) -> Result<Option<ScratchTensor<'a, 2>>, ModelError> {
        let (first, hidden) = (self.cache.len(), decoder.hidden());
        let feature_at = |place: usize| self.placement.feature_at(first + place);
        if !(0..ids.len()).any(|place| feature_at(place).is_some()) {
            return Ok(None);
        }
        let mut rows = ScratchTensor::new(ctx, [ids.len(), hidden]).map_err(VisionError::from)?;
        let mut place = 0;
        while place < ids.len() {
            if let Some(number) = feature_at(place) {
                let row = self.placing.feature(&self.images, number).filter(|row| row.len() == hidden);
                let row = row.ok_or_else(|| ModelError::stage("prompt", "an image is missing"))?;
                rows.view_mut().row_mut(place).copy_from_slice(row);
                place += 1;
            } else {
                // A placeholder need not be a token of the decoder's, so that only what is none is looked up.
                let words = (place..ids.len()).take_while(|&place| feature_at(place).is_none()).count();
                let out = rows.view_mut().slice(0, place..place + words);
                decoder.embed(&ids[place..place + words], out)?;
                place += words;
            }
        }
        Ok(Some(rows))
    }
}

/// Begins a sequence that will get the tokens of `prompt`.
pub(crate) fn begin(
    decoder: &dyn DecoderStage,
    placing: Placing,
    prompt: &PreparedPrompt,
    features: &[Arc<Features>],
) -> Result<Box<dyn Sequence>, ModelError> {
    let placement = Placement::new(&prompt.ids, placing.placeholder);
    let rows = features.iter().filter_map(|image| (placing.rows)(image)).map(|rows| rows.shape()[0]);
    let rows: usize = rows.sum();
    if rows != placement.len() {
        let what = format!("{rows} features for {} places", placement.len());
        return Err(ModelError::stage("prompt", what));
    }
    let (cache, placement) = (decoder.new_cache(), Arc::new(placement));
    Ok(Box::new(Placed { cache, placement, images: features.into(), placing }))
}

/// As [`begin`], going on from a sequence whose first `common` tokens are those of `prompt`; nothing where it has other
/// features among them.
pub(crate) fn resume(
    placing: Placing,
    earlier: Box<dyn Sequence>,
    common: usize,
    prompt: &PreparedPrompt,
    features: &[Arc<Features>],
) -> Option<Box<dyn Sequence>> {
    let earlier: Box<dyn Any> = earlier;
    let mut placed = earlier.downcast::<Placed>().ok()?;
    let placement = Arc::new(Placement::new(&prompt.ids, placing.placeholder));
    let images: Arc<[Arc<Features>]> = features.into();
    let places = placement.before(common);
    // Features are kept and shared, so that the same ones lie at the same address.
    let address = |images, number| placing.feature(images, number).map(<[f32]>::as_ptr);
    let alike = |number| {
        let known = address(&placed.images, number);
        known.is_some() && known == address(&images, number)
    };
    if placed.placement.before(common) != places || !(0..places.len()).all(alike) {
        return None;
    }
    placed.cache.truncate(common);
    (placed.placement, placed.images) = (placement, images);
    Some(placed)
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
        let (ids, placed) = (step.ids, placed(&mut *step.sequence)?);
        let rows = placed.rows(ctx, decoder, ids)?;
        let entering = Entering::new(input(ids, rows.as_ref()), &mut placed.cache);
        return Ok(decoder.step(ctx, &mut [entering], scores)?);
    }
    let mut ready = Vec::with_capacity(batch.len());
    for step in batch {
        let (ids, placed) = (step.ids, placed(&mut *step.sequence)?);
        ready.push((ids, placed.rows(ctx, decoder, ids)?, &mut placed.cache));
    }
    let entering = ready.iter_mut().map(|(ids, rows, cache)| Entering::new(input(ids, rows.as_ref()), cache));
    Ok(decoder.step(ctx, &mut entering.collect::<Vec<_>>(), scores)?)
}

/// Gives a sequence the tokens of its prompt, and shows `observe` what the decoder's layers make of them.
pub(crate) fn trace(
    decoder: &Decoder,
    ctx: &Context<'_>,
    sequence: &mut dyn Sequence,
    ids: &[u32],
    observe: &mut Observe<'_>,
) -> Result<(), ModelError> {
    let placed = placed(sequence)?;
    let rows = placed.rows(ctx, decoder, ids)?;
    let mut scores = Tensor::zeroed([1, decoder.vocab()]);
    let mut layer = 0;
    let mut watch = |x: View<'_, f32, 2>| {
        observe(&format!("decoder.{layer}"), x.data().unwrap_or_default());
        layer += 1;
    };
    let mut batch = [Entering::new(input(ids, rows.as_ref()), &mut placed.cache)];
    decoder.step_observed(ctx, &mut batch, scores.view_mut(), &mut watch)?;
    observe("logits", scores.data());
    Ok(())
}

fn input<'a>(ids: &'a [u32], rows: Option<&'a ScratchTensor<'_, 2>>) -> Input<'a> {
    rows.map_or(Input::Tokens(ids), |rows| Input::Embeddings(rows.view()))
}

fn placed(sequence: &mut dyn Sequence) -> Result<&mut Placed, ModelError> {
    let sequence: &mut dyn Any = sequence;
    let other = || ModelError::stage("decoder", "a sequence that another family began");
    sequence.downcast_mut::<Placed>().ok_or_else(other)
}

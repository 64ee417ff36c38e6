//! An answer that is searched for by beams: the sequences of the decoder that go with them.

use tiny_vlm_decoder::sampling::{BeamOptions, BeamSearch, SamplingError};
use tiny_vlm_models::{Family, ModelError, Sequence, Special, Step};
use tiny_vlm_tensor::Context;

use crate::RequestOptions;

/// A search, and the sequence of each of its beams.
pub(crate) struct Beams {
    search: BeamSearch,
    running: Vec<Box<dyn Sequence>>,
    /// Tokens of the answer that were handed out.
    given: usize,
}

impl Beams {
    /// A search for what follows the tokens of `prompt`, `limit` tokens at most; nothing where one text is enough, as it
    /// is unless the request says otherwise where there is to be one `alone`.
    pub(crate) fn new(
        options: &RequestOptions,
        family: &dyn Family,
        prompt: &[u32],
        limit: usize,
        alone: bool,
    ) -> Result<Option<Self>, SamplingError> {
        let info = family.info();
        let generation = &info.generation;
        let usual = if alone { 1 } else { generation.num_beams };
        let beams = options.num_beams.unwrap_or(usual);
        if beams <= 1 {
            return Ok(None);
        }
        let ends = (0..info.vocab as u32).filter(|&id| family.special(id) == Special::End).collect();
        let options = BeamOptions {
            beams,
            length_penalty: options.length_penalty.unwrap_or(generation.length_penalty),
            early_stopping: generation.early_stopping,
            repetition_penalty: options.repetition_penalty,
            no_repeat_ngram: options.no_repeat_ngram_size.unwrap_or(generation.no_repeat_ngram_size),
            forced_first: generation.forced_first,
            forced_last: generation.forced_last,
            ends,
            max_tokens: limit,
        };
        Ok(Some(Self {
            search: BeamSearch::new(options, prompt, info.vocab)?,
            running: Vec::new(),
            given: 0,
        }))
    }

    /// Begins with what the decoder says of the prompt, whose sequence all beams go on from.
    pub(crate) fn begin(&mut self, sequence: Option<Box<dyn Sequence>>, scores: &mut Vec<f32>) {
        self.search.advance(scores);
        let beams = self.search.beams().len();
        if let Some(sequence) = sequence {
            self.running = (1..beams).map(|_| sequence.fork()).collect();
            self.running.push(sequence);
        }
        scores.resize(scores.len() * beams, 0.0);
    }

    /// One step of the decoder for all beams, and of the search.
    pub(crate) fn step(
        &mut self,
        context: &Context<'_>,
        family: &dyn Family,
        scores: &mut [f32],
    ) -> Result<(), ModelError> {
        let tokens: Vec<[u32; 1]> = self.search.beams().iter().map(|beam| [beam.token]).collect();
        let entering = self.running.iter_mut().zip(&tokens);
        let mut batch: Vec<Step<'_>> =
            entering.map(|(sequence, ids)| Step { sequence: &mut **sequence, ids }).collect();
        family.step(context, &mut batch, scores)?;
        self.search.advance(scores);
        // Of the beams that go on from one, the last keeps its sequence and the others share it.
        let mut parents: Vec<Option<Box<dyn Sequence>>> = self.running.drain(..).map(Some).collect();
        let beams = self.search.beams();
        for (place, beam) in beams.iter().enumerate() {
            let again = beams[place + 1..].iter().any(|later| later.parent == beam.parent);
            let parent = &mut parents[beam.parent];
            let sequence = if again { parent.as_ref().map(|parent| parent.fork()) } else { parent.take() };
            self.running.extend(sequence);
        }
        Ok(())
    }

    /// Tokens that were not handed out yet and that the answer has, whichever text wins.
    pub(crate) fn settled(&mut self) -> impl Iterator<Item = u32> + '_ {
        let settled = self.search.settled();
        let new = &settled[self.given.min(settled.len())..];
        self.given += new.len();
        new.iter().copied()
    }

    /// Tokens of the best text so far that were not handed out yet.
    pub(crate) fn unsettled(&mut self) -> Vec<u32> {
        let best = self.search.best();
        best[self.given.min(best.len())..].to_vec()
    }

    /// Whether the search is over.
    pub(crate) fn ended(&self) -> bool {
        self.search.ended()
    }

    /// The mean log-probability of the best text's tokens.
    pub(crate) fn mean_logprob(&self) -> f64 {
        let tokens = self.search.best().len().max(1);
        f64::from(self.search.best_logprob()) / tokens as f64
    }
}

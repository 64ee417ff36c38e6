//! How fast the decoder of a model is, whatever it says.

use std::{sync::Arc, time::Duration};

use tiny_vlm_decoder::sampling::{Sampler, SamplingOptions};
use tiny_vlm_image::Image;
use tiny_vlm_models::{Features, ModelError, PreparedPrompt, PromptParts, Sequence, Step, Task};
use tiny_vlm_tensor::{Clock, Silent, Stop, SystemClock};

use crate::{Error, Model, RequestOptions, session::request_stop};

/// Times the decoder of a model behind an image: [reading](Self::prefill) many tokens at once, and
/// [writing](Self::decode) one after the other.
///
/// What is read are tokens from all over the vocabulary; what is written is the likeliest token each time, even one that
/// would end an answer. The time of a token is that of its step and of choosing it, without the time of making text of it.
/// Times vary, and the first of a kind is longer than the rest, as buffers grow: take the median of several, after one that
/// does not count.
///
/// ```no_run
/// # use tiny_vlm_runtime::{Error, Model, RequestOptions};
/// # fn main() -> Result<(), Error> {
/// # let (model, image) = (Model::open("model")?, tiny_vlm_image::Image::open("photo.jpg")?);
/// let mut decoder = model.time_decoder(&image, &RequestOptions::default())?;
/// for _ in 0..3 {
///     println!("128 tokens read in {:?}, 64 written in {:?}", decoder.prefill(128)?, decoder.decode(64)?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct DecoderTimer {
    model: Model,
    features: Vec<Arc<Features>>,
    prompt: PreparedPrompt,
    stop: Stop,
    sequence: Option<Box<dyn Sequence>>,
    sampler: Sampler,
    scores: Vec<f32>,
    /// The token that comes next.
    next: u32,
}

/// The prompt whose place the tokens take.
const QUESTION: &str = "What is this?";

impl Model {
    /// Looks at an image and gets ready to time the decoder behind it, within the deadline of `options` unless it is
    /// cancelled.
    ///
    /// # Errors
    /// As of a [question](Self::ask_with).
    pub fn time_decoder(&self, image: &Image, options: &RequestOptions) -> Result<DecoderTimer, Error> {
        options.check()?;
        let stop = request_stop(options);
        let features = vec![self.features(image, &options.shape, &stop, &Silent)?];
        let parts = PromptParts { history: &[], images: 1, task: Task::Question(QUESTION), lang: None };
        let prompt = self.family().prompt(&parts, &features)?;
        let vocab = self.info().vocab;
        let failed = |error| Error::Model(ModelError::stage("sampling", error));
        let sampler = Sampler::new(SamplingOptions::default(), vocab).map_err(failed)?;
        let (sequence, scores) = (None, vec![0.0; vocab]);
        Ok(DecoderTimer { model: self.clone(), features, prompt, stop, sequence, sampler, scores, next: 0 })
    }
}

impl DecoderTimer {
    /// Tokens that there is room for.
    pub fn context(&self) -> usize {
        self.model.info().context
    }

    /// Begins again with `tokens` tokens that are read at once: how long that took.
    ///
    /// # Errors
    /// If there are none, or more than there is [room](Self::context) for; if the work was stopped.
    pub fn prefill(&mut self, tokens: usize) -> Result<Duration, Error> {
        self.check(tokens, 0)?;
        let ids: Vec<u32> = spread(self.model.info().vocab).take(tokens).collect();
        self.begin()?;
        self.step(&ids)
    }

    /// Goes on by `tokens` tokens, one after the other: how long they took together.
    ///
    /// # Errors
    /// If there are none, or more than there is [room](Self::context) for; if the work was stopped.
    pub fn decode(&mut self, tokens: usize) -> Result<Duration, Error> {
        self.check(tokens, self.sequence.as_ref().map_or(0, |sequence| sequence.len()))?;
        if self.sequence.is_none() {
            self.begin()?;
        }
        (0..tokens).map(|_| self.step(&[self.next])).sum()
    }

    /// Refuses tokens that there is no room for.
    fn check(&self, tokens: usize, before: usize) -> Result<(), Error> {
        if tokens == 0 {
            return Err(Error::Parameter { name: "tokens", value: "0".to_owned(), range: "> 0" });
        }
        let (tokens, limit) = (before.saturating_add(tokens), self.context());
        if tokens > limit { Err(Error::QuestionTooLong { tokens, limit }) } else { Ok(()) }
    }

    /// A text of no tokens yet.
    fn begin(&mut self) -> Result<(), Error> {
        if let Some(sequence) = &mut self.sequence {
            sequence.truncate(0);
            return Ok(());
        }
        let lease = self.model.workspaces().take(&self.stop, &SystemClock)?;
        let context = lease.context();
        let context = context.with_stop(&self.stop);
        self.sequence = Some(self.model.family().begin(&context, &self.prompt, &self.features)?);
        Ok(())
    }

    fn step(&mut self, ids: &[u32]) -> Result<Duration, Error> {
        let Some(sequence) = self.sequence.as_deref_mut() else { return Err(Error::Unfinished) };
        let lease = self.model.workspaces().take(&self.stop, &SystemClock)?;
        let context = lease.context();
        let context = context.with_stop(&self.stop);
        context.check()?;
        let started = SystemClock.now();
        self.model.family().step(&context, &mut [Step { sequence, ids }], &mut self.scores)?;
        self.next = self.sampler.choose(&self.scores).id;
        Ok(SystemClock.now().saturating_sub(started))
    }
}

/// Tokens from all over a vocabulary.
fn spread(vocab: usize) -> impl Iterator<Item = u32> {
    // A prime, so that few come twice.
    (0..).map(move |place: usize| (place.wrapping_mul(7919) % vocab.max(1)) as u32)
}

impl std::fmt::Debug for DecoderTimer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecoderTimer").field("model", &self.model).finish_non_exhaustive()
    }
}

//! An answer while it is being written.

use std::{sync::Arc, time::Duration};

use tiny_vlm_decoder::sampling::{Sampler, SamplingOptions};
use tiny_vlm_models::{Features, Line, ModelError, ModelInfo, PreparedPrompt, Sequence, Special, Step, Turn};
use tiny_vlm_tensor::{Clock, Progress, Stop, Stopped, SystemClock};
use tiny_vlm_text::DecodeStream;

use crate::{
    Answer, Error, FinishReason, Model, Note, RequestOptions, Timings, Usage, beams::Beams,
    constrain::Constrained, stop_strings::StopStrings,
};

/// The pieces of an answer, as they come. A piece is never empty and never ends within a character.
///
/// Where several texts are written [side by side](RequestOptions::num_beams), a piece is what all of them have in common,
/// and the rest comes when the best is known.
///
/// When the request is cancelled or its deadline passes before the first token, that is an error; later, the answer
/// ends there and [says so](Answer::finish).
///
/// ```no_run
/// # use tiny_vlm_runtime::{Error, Model, Prompt, RequestOptions};
/// # fn main() -> Result<(), Error> {
/// # let (model, image) = (Model::open("model")?, tiny_vlm_image::Image::open("photo.jpg")?);
/// let mut session = model.session();
/// let mut stream = session.stream(Prompt::new().image(&image).text("What is this?"), &RequestOptions::default())?;
/// for piece in &mut stream {
///     print!("{}", piece?);
/// }
/// println!("  ({:?})", stream.answer()?.finish);
/// # Ok(())
/// # }
/// ```
pub struct Stream<'s> {
    model: &'s Model,
    features: &'s [Arc<Features>],
    record: Record<'s>,
    progress: Arc<dyn Progress + Send + Sync>,
    stop: Stop,
    prompt: PreparedPrompt,
    question: String,
    images: usize,
    limit: usize,
    sequence: Option<Box<dyn Sequence>>,
    /// The tokens that the sequence has had, where the conversation goes on from it.
    entered: Vec<u32>,
    sampler: Sampler,
    constrained: Constrained,
    beams: Option<Beams>,
    scores: Vec<f32>,
    writer: Writer,
    /// Tokens that the last step settled.
    chosen: Vec<u32>,
    last: u32,
    /// Whether a step was completed.
    begun: bool,
    logprobs: f64,
    usage: Usage,
    timings: Timings,
    notes: Vec<Note>,
    state: State,
}

/// Where the answer goes when it is done.
pub(crate) struct Record<'s> {
    pub(crate) history: &'s mut Vec<Turn>,
    /// What the decoder has computed of the conversation, if the last answer went to its end.
    pub(crate) computed: &'s mut Option<Computed>,
    pub(crate) converses: bool,
}

/// A sequence and the tokens that it has had.
pub(crate) struct Computed {
    sequence: Box<dyn Sequence>,
    ids: Vec<u32>,
}

/// What came before the first token.
pub(crate) struct Begun {
    pub(crate) prompt: PreparedPrompt,
    pub(crate) notes: Vec<Note>,
    pub(crate) encode: Duration,
    pub(crate) started: Duration,
    pub(crate) question: String,
    pub(crate) images: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    Finished(FinishReason),
    Failed,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(
        model: &'s Model,
        features: &'s [Arc<Features>],
        record: Record<'s>,
        begun: Begun,
        options: &RequestOptions,
        stop: Stop,
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<Self, Error> {
        let Begun { prompt, notes, encode, started, question, images } = begun;
        let family = model.family();
        let info = family.info();
        let failed = |error| Error::Model(ModelError::stage("sampling", error));
        let mut sampler = Sampler::new(sampling(options, info), info.vocab).map_err(failed)?;
        for &id in &prompt.ids {
            sampler.observe(id);
        }
        let room = info.context.saturating_sub(prompt.ids.len());
        let limit = options.max_tokens.unwrap_or(info.max_tokens).min(room);
        let constrained = Constrained::begin(model, options)?;
        // Chance and grammars follow one text; who asks for them gets them.
        let alone = options.temperature > 0.0 || !constrained.is_free();
        let beams = Beams::new(options, family, &prompt.ids, limit, alone).map_err(failed)?;
        let image_tokens = features.iter().map(|features| features.tokens).sum();
        let usage = Usage {
            image_tokens,
            prompt_tokens: (prompt.ids.len() + prompt.encoder_ids.len()).saturating_sub(prompt.image_ids),
            ..Usage::default()
        };
        let spent = SystemClock.now().saturating_sub(started);
        let timings = Timings { load: model.load_time(), encode, total: spent, ..Timings::default() };
        let lines = features.iter().flat_map(|features| features.lines.iter().cloned()).collect();
        Ok(Self {
            writer: Writer::new(family.decode_stream(), &options.stop, lines, constrained.is_free()),
            limit,
            beams,
            scores: vec![0.0; info.vocab],
            chosen: Vec::with_capacity(1),
            begun: false,
            sequence: None,
            entered: Vec::new(),
            state: State::Writing,
            last: 0,
            logprobs: 0.0,
            model,
            features,
            record,
            progress,
            stop,
            prompt,
            question,
            images,
            sampler,
            constrained,
            usage,
            timings,
            notes,
        })
    }

    /// A handle that ends the answer from elsewhere.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// How many tokens have gone in and come out so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Writes what is left of the answer, and returns all of it.
    pub fn answer(mut self) -> Result<Answer, Error> {
        for piece in &mut self {
            piece?;
        }
        let State::Finished(finish) = self.state else { return Err(Error::Unfinished) };
        let regions = self.model.family().regions(&self.prompt, self.features, &self.writer.text);
        let tokens = self.usage.completion_tokens;
        Ok(Answer {
            text: self.writer.text,
            finish,
            usage: self.usage,
            mean_logprob: if tokens > 0 { (self.logprobs / tokens as f64) as f32 } else { 0.0 },
            lines: self.writer.lines,
            things: self.features.iter().flat_map(|features| features.things.iter().cloned()).collect(),
            regions,
            timings: self.timings,
            notes: self.notes,
        })
    }

    /// The scores of the first token of the answer, instead of the answer.
    pub(crate) fn into_scores(mut self) -> Result<Vec<f32>, Error> {
        self.step()?;
        self.scores.truncate(self.model.info().vocab);
        Ok(self.scores)
    }

    /// Chooses tokens until there is text to show or the answer ends.
    fn advance(&mut self) -> Result<Option<String>, Error> {
        let started = SystemClock.now();
        let before = self.timings.total;
        let mut ready = String::new();
        while ready.is_empty() && self.state == State::Writing {
            let stepped = self.step();
            self.timings.total = before + SystemClock.now().saturating_sub(started);
            match stepped {
                Ok(()) => self.take_chosen(&mut ready),
                Err(Error::Stopped(stopped) | Error::Model(ModelError::Stopped(stopped))) if self.begun => {
                    self.take_unsettled(&mut ready);
                    self.finish(stopped.into(), &mut ready);
                }
                Err(error) => {
                    self.state = State::Failed;
                    return Err(error);
                }
            }
        }
        Ok(Some(ready).filter(|ready| !ready.is_empty()))
    }

    /// One step of the decoder, and the tokens that are settled by its scores.
    fn step(&mut self) -> Result<(), Error> {
        let first = !self.begun;
        let resumed = if first { self.resume() } else { None };
        let family = self.model.family();
        let lease = self.model.workspaces().take(&self.stop, &SystemClock)?;
        let context = lease.context();
        let context = context.with_stop(&self.stop).with_progress(&*self.progress);
        context.check()?;
        let started = SystemClock.now();
        self.chosen.clear();
        if first {
            let mut sequence = match resumed {
                Some(sequence) => sequence,
                None => family.begin(&context, &self.prompt, self.features)?,
            };
            let ids = &self.prompt.ids[self.usage.reused_tokens..];
            family.step(&context, &mut [Step { sequence: &mut *sequence, ids }], &mut self.scores)?;
            if self.record.converses {
                self.entered.extend_from_slice(ids);
            }
            self.sequence = Some(sequence);
        }
        match &mut self.beams {
            Some(beams) if first => beams.begin(self.sequence.take(), &mut self.scores),
            Some(beams) => beams.step(&context, family, &mut self.scores)?,
            None => {
                if !first {
                    let Some(sequence) = self.sequence.as_deref_mut() else { return Err(Error::Unfinished) };
                    let step = Step { sequence, ids: &[self.last] };
                    family.step(&context, &mut [step], &mut self.scores)?;
                    if self.record.converses {
                        self.entered.push(self.last);
                    }
                }
                let choice = match self.forced() {
                    Some(id) => self.sampler.forced(&self.scores, id),
                    None => {
                        self.constrained.restrict(&mut self.scores)?;
                        let choice = self.sampler.choose(&self.scores);
                        self.constrained.accept(choice.id)?;
                        choice
                    }
                };
                self.last = choice.id;
                self.sampler.observe(choice.id);
                self.logprobs += f64::from(choice.logprob);
                self.chosen.push(choice.id);
            }
        }
        if let Some(beams) = &mut self.beams {
            self.chosen.extend(beams.settled());
        }
        let took = SystemClock.now().saturating_sub(started);
        self.begun = true;
        match first {
            true => {
                self.timings.prefill = took;
                self.timings.first_token = self.timings.total + took;
            }
            false => self.timings.decode += took,
        }
        Ok(())
    }

    /// The token that the family wants at this place, whatever the scores.
    fn forced(&self) -> Option<u32> {
        let generation = &self.model.info().generation;
        let place = self.usage.completion_tokens;
        let first = generation.forced_first.filter(|_| place == 0 && self.prompt.ids.len() == 1);
        generation.forced_last.filter(|_| place + 1 == self.limit).or(first)
    }

    fn take_chosen(&mut self, ready: &mut String) {
        let chosen = std::mem::take(&mut self.chosen);
        for &token in &chosen {
            if self.state == State::Writing {
                self.take(token, ready);
            }
        }
        self.chosen = chosen;
        // The best text need not have an end of its own.
        if self.state == State::Writing && self.beams.as_ref().is_some_and(Beams::ended) {
            self.finish(FinishReason::Stop, ready);
        }
    }

    /// The rest of what is best so far, of a search that goes no further.
    fn take_unsettled(&mut self, ready: &mut String) {
        let Some(beams) = &mut self.beams else { return };
        for token in beams.unsettled() {
            match self.model.family().special(token) {
                Special::End => break,
                Special::Read => self.writer.print(ready),
                Special::None => self.writer.push(token, ready),
                Special::Silent => {}
            }
            self.usage.completion_tokens += 1;
        }
    }

    /// The sequence of the turn before, as far as it is the beginning of this prompt.
    fn resume(&mut self) -> Option<Box<dyn Sequence>> {
        if self.record.converses {
            // From here on no step allocates.
            self.entered.reserve(self.prompt.ids.len() + self.limit);
        }
        let Computed { sequence, ids } = self.record.computed.take()?;
        let prompt = &self.prompt.ids;
        let common = prompt.iter().zip(&ids).take_while(|(a, b)| a == b).count();
        // At least one token enters, so that there are scores.
        let common = common.min(prompt.len().saturating_sub(1)).min(sequence.len());
        let resumed = self.model.family().resume(sequence, common, &self.prompt, self.features)?;
        self.entered.extend_from_slice(&prompt[..common]);
        self.usage.reused_tokens = common;
        Some(resumed)
    }

    /// What a token adds to the text.
    fn take(&mut self, token: u32, ready: &mut String) {
        self.usage.completion_tokens += 1;
        let full = self.usage.completion_tokens >= self.limit;
        match self.model.family().special(token) {
            // An end that was forced for want of room is no end of the model's own.
            Special::End if full && self.model.info().generation.forced_last == Some(token) => {
                return self.finish(FinishReason::Length, ready);
            }
            Special::End => return self.finish(FinishReason::Stop, ready),
            Special::Read => self.writer.print(ready),
            Special::None => self.writer.push(token, ready),
            Special::Silent => {}
        }
        if self.writer.stops.stopped() {
            self.finish(FinishReason::StopString, ready);
        } else if full {
            self.finish(FinishReason::Length, ready);
        }
    }

    fn finish(&mut self, reason: FinishReason, ready: &mut String) {
        self.writer.finish(reason, ready);
        self.state = State::Finished(reason);
        let sequence = self.sequence.take();
        if let Some(beams) = self.beams.take() {
            self.logprobs = beams.mean_logprob() * self.usage.completion_tokens as f64;
        }
        if self.record.converses {
            let ids = std::mem::take(&mut self.entered);
            *self.record.computed = sequence.map(|sequence| Computed { sequence, ids });
            self.record.history.push(Turn {
                images: self.images,
                question: std::mem::take(&mut self.question),
                answer: self.writer.text.clone(),
            });
        }
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Result<String, Error>> {
        self.advance().transpose()
    }
}

impl From<Stopped> for FinishReason {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cancelled => Self::Cancelled,
            Stopped::Deadline => Self::Deadline,
        }
    }
}

fn sampling(options: &RequestOptions, info: &ModelInfo) -> SamplingOptions {
    let runs = info.generation.no_repeat_ngram_size;
    SamplingOptions {
        repetition_penalty: options.repetition_penalty,
        no_repeat_ngram: options.no_repeat_ngram_size.unwrap_or(runs),
        temperature: options.temperature,
        top_k: Some(options.top_k).filter(|&k| k > 0),
        top_p: options.top_p,
        min_p: options.min_p,
        seed: options.seed,
    }
}

/// From tokens to the text that is shown.
struct Writer {
    decode: DecodeStream,
    stops: StopStrings,
    lines: Vec<Line>,
    /// Whether white space is left out, as nothing came before it.
    trims: bool,
    /// Everything that was shown.
    text: String,
    tokens: usize,
    /// The print is the first token of the answer, and whether it is the only one is not known yet.
    print_held: bool,
}

impl Writer {
    fn new(decode: DecodeStream, stops: &[String], lines: Vec<Line>, trims: bool) -> Self {
        let stops = StopStrings::new(stops);
        Self { decode, stops, lines, trims, text: String::new(), tokens: 0, print_held: false }
    }

    fn push(&mut self, token: u32, ready: &mut String) {
        self.release_print(" ", ready);
        self.tokens += 1;
        let mut text = self.decode.push(token);
        // Decoders that answer behind a colon begin with a space; a reader sees no colon. A grammar may want it.
        if self.trims {
            text = text.trim_start();
            self.trims = text.is_empty();
        }
        show(&mut self.stops, text, &mut self.text, ready);
    }

    /// The print takes the place of a token: line by line where it is the whole answer, in one line where it is a part.
    fn print(&mut self, ready: &mut String) {
        self.trims = false;
        self.release_print(" ", ready);
        self.tokens += 1;
        let text = self.decode.finish();
        show(&mut self.stops, text, &mut self.text, ready);
        self.print_held = true;
        if self.tokens > 1 {
            self.release_print(" ", ready);
        }
    }

    fn release_print(&mut self, between: &str, ready: &mut String) {
        if std::mem::take(&mut self.print_held) {
            for (i, line) in self.lines.iter().enumerate() {
                if i > 0 {
                    show(&mut self.stops, between, &mut self.text, ready);
                }
                show(&mut self.stops, &line.text, &mut self.text, ready);
            }
        }
    }

    fn finish(&mut self, reason: FinishReason, ready: &mut String) {
        self.release_print("\n", ready);
        // An answer that was cut within a character ends before it.
        let rest = self.decode.finish();
        if reason == FinishReason::Stop {
            show(&mut self.stops, rest, &mut self.text, ready);
        }
        let shown = ready.len();
        self.stops.finish(ready);
        self.text.push_str(&ready[shown..]);
    }
}

/// Passes `text` through the stop strings to the reader, and keeps what was shown.
fn show(stops: &mut StopStrings, text: &str, all: &mut String, ready: &mut String) {
    let shown = ready.len();
    stops.push(text, ready);
    all.push_str(&ready[shown..]);
}

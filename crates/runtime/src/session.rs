//! A conversation about images.

use std::sync::Arc;

use tiny_vlm_image::Image;
use tiny_vlm_models::{Features, Lang, Line, ModelError, PromptParts, Region, RegionShape, Task, Turn};
use tiny_vlm_tensor::{Clock, Progress, Silent, Stop, Stopped, SystemClock};

use crate::{
    Error, FinishReason, Model, Note, Prompt, Reading, RequestOptions, Stream,
    prompt::Wanted,
    question,
    stream::{Begun, Computed, Record},
};

/// A conversation: it remembers the images it was shown, and what was said where the model's family wants to know.
///
/// Sessions of one model are independent of each other and may run on different threads.
pub struct Session {
    model: Model,
    features: Vec<Arc<Features>>,
    history: Vec<Turn>,
    computed: Option<Computed>,
    progress: Option<Arc<dyn Progress + Send + Sync>>,
}

impl Session {
    pub(crate) fn new(model: Model) -> Self {
        Self { model, features: Vec::new(), history: Vec::new(), computed: None, progress: None }
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tells `progress` how far the stages have come, from now on.
    pub fn set_progress(&mut self, progress: Arc<dyn Progress + Send + Sync>) {
        self.progress = Some(progress);
    }

    /// Forgets the images and what was said.
    pub fn reset(&mut self) {
        self.features.clear();
        self.history.clear();
        self.computed = None;
    }

    /// Looks at the images and begins an answer, whose pieces are then drawn from the stream.
    ///
    /// New images take the place of earlier ones where the family does not converse. A stream that is dropped before its
    /// end leaves no trace in the conversation but its images.
    pub fn stream(&mut self, prompt: Prompt<'_>, options: &RequestOptions) -> Result<Stream<'_>, Error> {
        let started = SystemClock.now();
        options.check()?;
        let mut notes = Vec::new();
        let wanted = match prompt.wanted() {
            Wanted::Text(text) => {
                Wanted::Text(question::prepare(text, options.max_question_bytes, &mut notes)?)
            }
            Wanted::Caption(lang) => {
                if self.model.info().english_only && *lang != Lang::En {
                    notes.push(Note::EnglishOnly);
                }
                Wanted::Caption(*lang)
            }
            Wanted::Detect if !self.model.info().locates => return Err(ModelError::NoDetector.into()),
            Wanted::Read if !self.model.info().reads_by_answering => return Err(ModelError::NoReader.into()),
            wanted => wanted.clone(),
        };
        let stop = request_stop(options);
        let before = self.features.len();
        self.show(&prompt, options, &stop)?;
        let encode = SystemClock.now().saturating_sub(started);

        let family = self.model.family();
        // Among them those of a stream that was dropped before its end.
        let told: usize = self.history.iter().map(|turn| turn.images).sum();
        let images = self.features.len().saturating_sub(told);
        let parts = PromptParts {
            history: &self.history,
            images,
            task: match &wanted {
                Wanted::Text(text) => Task::Question(text),
                Wanted::Caption(lang) => Task::Caption(*lang),
                Wanted::Detect => Task::Detect,
                Wanted::Read => Task::Read,
            },
            lang: options.lang,
        };
        let prepared = family.prompt(&parts, &self.features)?;
        // An answer of at least one token must fit behind the prompt.
        let (tokens, limit) = (prepared.ids.len(), family.info().context.saturating_sub(1));
        if tokens > limit {
            // What was shown with a question that cannot be asked is not part of the conversation.
            if family.info().converses {
                self.features.truncate(before);
            }
            return Err(Error::QuestionTooLong { tokens, limit });
        }
        let tokens = prepared.encoder_ids.len();
        if let Some(limit) = family.info().encoder_context.filter(|&limit| tokens > limit) {
            return Err(Error::QuestionTooLong { tokens, limit });
        }
        let question = if let Wanted::Text(text) = wanted { text } else { String::new() };
        let begun = Begun { prompt: prepared, notes, encode, started, question, images };
        let progress = self.progress.clone().unwrap_or_else(|| Arc::new(Silent));
        let record = Record {
            history: &mut self.history,
            computed: &mut self.computed,
            converses: self.model.info().converses,
        };
        Stream::new(&self.model, &self.features, record, begun, options, stop, progress)
    }

    /// The scores of all tokens that the answer to `prompt` could begin with: for comparing ways of computing them.
    pub fn first_scores(&mut self, prompt: Prompt<'_>, options: &RequestOptions) -> Result<Vec<f32>, Error> {
        self.stream(prompt, options)?.into_scores()
    }

    /// The print on an image, which need not be one of the conversation's.
    ///
    /// Where the model reads by answering, the confidence of a line is that of the whole answer.
    pub fn read(&mut self, image: &Image, options: &RequestOptions) -> Result<Reading, Error> {
        let started = SystemClock.now();
        if self.model.info().reads_by_answering {
            return self.read_by_answering(image, options);
        }
        let stop = request_stop(options);
        let workspace = self.model.workspaces().take(&stop, &SystemClock)?;
        let context = workspace.context();
        let context = context.with_stop(&stop);
        let progress = self.progress.clone();
        let context = match &progress {
            Some(progress) => context.with_progress(&**progress),
            None => context,
        };
        context.check()?;
        let lines = self.model.family().read(&context, image)?;
        Ok(Reading { lines, elapsed: SystemClock.now().saturating_sub(started) })
    }

    fn read_by_answering(&self, image: &Image, options: &RequestOptions) -> Result<Reading, Error> {
        let mut session = Session { progress: self.progress.clone(), ..Session::new(self.model.clone()) };
        let answer = session.stream(Prompt::new().image(image).read(), options)?.answer()?;
        match answer.finish {
            FinishReason::Cancelled => return Err(Stopped::Cancelled.into()),
            FinishReason::Deadline => return Err(Stopped::Deadline.into()),
            _ => {}
        }
        let confidence = answer.mean_logprob.exp();
        let line = |region: Region| match region.shape {
            RegionShape::Quad(quad) => Some(Line { text: region.label, quad, confidence }),
            _ => None,
        };
        let lines = answer.regions.into_iter().filter_map(line).collect();
        Ok(Reading { lines, elapsed: answer.timings.total })
    }

    /// Looks at the prompt's images.
    fn show(&mut self, prompt: &Prompt<'_>, options: &RequestOptions, stop: &Stop) -> Result<(), Error> {
        let info = self.model.info();
        if prompt.images().is_empty() {
            return if self.features.is_empty() { Err(Error::ImageMissing) } else { Ok(()) };
        }
        let before = if info.converses { self.features.len() } else { 0 };
        let given = before + prompt.images().len();
        if given > info.max_images {
            return Err(Error::TooManyImages { given, limit: info.max_images });
        }
        self.expect(prompt, options, before)?;
        let progress = self.progress.as_deref().map_or(&Silent as &dyn Progress, |progress| progress);
        let look = |image: &&Image| self.model.features(image, &options.shape, stop, progress);
        let new = prompt.images().iter().map(look).collect::<Result<Vec<_>, _>>()?;
        self.features.truncate(before);
        self.features.extend(new);
        Ok(())
    }
    /// Refuses images that there is no room for before they are looked at.
    fn expect(&self, prompt: &Prompt<'_>, options: &RequestOptions, before: usize) -> Result<(), Error> {
        let family = self.model.family();
        let cost = |image: &&Image| family.image_cost([image.width(), image.height()], &options.shape);
        let seen: usize = self.features.iter().take(before).map(|features| features.tokens).sum();
        let new = prompt
            .images()
            .iter()
            .filter_map(cost)
            .fold(0, |sum: usize, cost| sum.saturating_add(cost.tokens));
        let (tokens, limit) = (seen.saturating_add(new), family.info().context.saturating_sub(1));
        if tokens > limit { Err(Error::QuestionTooLong { tokens, limit }) } else { Ok(()) }
    }
}

/// The request's handle with its deadline, which runs from now.
pub(crate) fn request_stop(options: &RequestOptions) -> Stop {
    match options.deadline {
        Some(time) => options.cancel.within(time, &SystemClock),
        None => options.cancel.clone(),
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("model", &self.model)
            .field("images", &self.features.len())
            .field("turns", &self.history.len())
            .finish_non_exhaustive()
    }
}

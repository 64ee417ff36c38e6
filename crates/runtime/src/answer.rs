//! What comes back: the answer, why it ended, what it cost.

use std::time::Duration;

use tiny_vlm_models::{Line, Region, Thing};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The most tokens that were allowed, or that the model has room for.
    Length,
    /// One of the request's stop strings came.
    StopString,
    /// Somebody cancelled it.
    Cancelled,
    /// The deadline passed.
    Deadline,
}

impl FinishReason {
    /// A stable name: `stop`, `length`, `stop-string`, `cancelled` or `deadline`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::StopString => "stop-string",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
        }
    }
}

/// How many tokens went in and came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Positions that the images took.
    pub image_tokens: usize,
    /// Tokens of the prompt, without those of the images.
    pub prompt_tokens: usize,
    /// Tokens of both that an earlier turn of the conversation had computed already.
    pub reused_tokens: usize,
    /// Tokens of the answer, the one that ends it among them.
    pub completion_tokens: usize,
}

/// How long the stages took. A stage that was not needed took no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Loading the model, once.
    pub load: Duration,
    /// Looking at the images; nothing where they were seen before.
    pub encode: Duration,
    /// From the prompt's tokens to the first token of the answer.
    pub prefill: Duration,
    /// The tokens after the first.
    pub decode: Duration,
    /// From the call to the first token.
    pub first_token: Duration,
    /// From the call to the end of the answer, without the time that the caller took between pieces.
    pub total: Duration,
}

impl Timings {
    /// Speed of the tokens after the first, `completion_tokens` in all; nothing where there were none.
    pub fn tokens_per_second(&self, completion_tokens: usize) -> Option<f64> {
        let later = completion_tokens.checked_sub(1).filter(|&n| n > 0)?;
        let seconds = self.decode.as_secs_f64();
        (seconds > 0.0).then(|| later as f64 / seconds)
    }
}

/// Something that the caller may want to know and that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Control characters were left out of the question.
    ControlCharacters {
        /// How many.
        count: usize,
    },
    /// The answer is in English, and another language was asked for.
    EnglishOnly,
}

impl Note {
    /// A stable name, by which translations are keyed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ControlCharacters { .. } => "note-control-characters",
            Self::EnglishOnly => "note-english-only",
        }
    }

    /// The particulars that a translation fills in.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ControlCharacters { count } => vec![("count", count.to_string())],
            Self::EnglishOnly => Vec::new(),
        }
    }
}

/// The answer to a question about images.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The words.
    pub text: String,
    /// Why they ended.
    pub finish: FinishReason,
    /// How many tokens went in and came out.
    pub usage: Usage,
    /// Mean natural logarithm of the probability of each token of the answer, before temperature; 0 for an answer
    /// without tokens.
    pub mean_logprob: f32,
    /// The print on the images that was found on the way, in reading order, image after image.
    pub lines: Vec<Line>,
    /// The things on the images that were found on the way, from left to right, image after image.
    pub things: Vec<Thing>,
    /// The parts of the images that the answer speaks of, in its order.
    pub regions: Vec<Region>,
    /// How long the stages took.
    pub timings: Timings,
    /// What the caller may want to know.
    pub notes: Vec<Note>,
}

/// The print on an image.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reading {
    /// Lines in reading order.
    pub lines: Vec<Line>,
    /// How long finding and reading them took.
    pub elapsed: Duration,
}

impl Reading {
    /// All lines, one a line.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text.as_str()).collect();
        lines.join("\n")
    }
}

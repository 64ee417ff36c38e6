//! What a family is asked, and the tokens it makes of that.

use crate::{Lang, ModelError};

/// What is wanted of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task<'a> {
    /// An answer to this question.
    Question(&'a str),
    /// A description in this language.
    Caption(Lang),
    /// The things and where they are, for a family that [locates](crate::ModelInfo::locates).
    Detect,
    /// The print and where it is, for a family that [reads by answering](crate::ModelInfo::reads_by_answering).
    Read,
}

impl<'a> Task<'a> {
    /// The task in words, for a family that is asked in words alone: `caption` asks for a description.
    pub(crate) fn question(self, caption: fn(Lang) -> &'static str) -> Result<&'a str, ModelError> {
        match self {
            Self::Question(question) => Ok(question),
            Self::Caption(lang) => Ok(caption(lang)),
            Self::Detect => Err(ModelError::NoDetector),
            Self::Read => Err(ModelError::NoReader),
        }
    }
}

/// A question that was answered before in the same conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Images that came with it.
    pub images: usize,
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// Everything that a prompt is made of.
#[derive(Clone, Copy, Debug)]
pub struct PromptParts<'a> {
    /// What was said before, oldest first; empty for a family that [does not converse](crate::ModelInfo::converses).
    pub history: &'a [Turn],
    /// Images that come with this question, after those of the history.
    pub images: usize,
    /// What is wanted.
    pub task: Task<'a>,
    /// The language to answer in, where the user chose one.
    pub lang: Option<Lang>,
}

/// A prompt as the decoder takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreparedPrompt {
    /// Tokens that the decoder begins with; placeholders where images take the place of embeddings.
    pub ids: Vec<u32>,
    /// How many of them are such placeholders.
    pub image_ids: usize,
    /// Tokens of the encoder, where the family has one for text.
    pub encoder_ids: Vec<u32>,
    /// What the family wants to know again of the question when its answer is complete.
    pub tag: u32,
}

impl PreparedPrompt {
    /// A prompt of tokens alone.
    pub fn of_ids(ids: Vec<u32>) -> Self {
        Self { ids, ..Self::default() }
    }
}

/// What a token of an answer means to the one who writes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A piece of text.
    None,
    /// The answer ends before it.
    End,
    /// It belongs to the answer, and says nothing.
    Silent,
    /// The print on the images goes here.
    Read,
}

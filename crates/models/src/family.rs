//! What every family of models can do, as the runtime sees it.

use std::{any::Any, sync::Arc};

use tiny_vlm_image::{Image, Limits, Options as ImageOptions};
use tiny_vlm_tensor::Context;
use tiny_vlm_text::{DecodeStream, Tokenizer};

use crate::{
    Features, Generation, Line, ModelError, PreparedPrompt, PromptParts, Region, RequestShape, Special,
};

/// What is known of a loaded model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The family, as the registry knows it.
    pub family: &'static str,
    /// The form of most of the weights: `int8`, `f32`, ...
    pub precision: String,
    /// Parameters.
    pub parameters: usize,
    /// Bytes that the weights take in memory.
    pub weight_bytes: usize,
    /// Scores that the decoder gives: one for each token that an answer may have.
    pub vocab: usize,
    /// Tokens that the decoder has room for, prompt and answer together.
    pub context: usize,
    /// Tokens that the encoder has room for, where the family has one for the prompt.
    pub encoder_context: Option<usize>,
    /// How tokens are chosen where the request does not say.
    pub generation: Generation,
    /// Most tokens of an answer where the request does not say.
    pub max_tokens: usize,
    /// Images that are looked at together.
    pub max_images: usize,
    /// Whether what was said before belongs to the prompt.
    pub converses: bool,
    /// Whether print can be read.
    pub reads: bool,
    /// Whether print is read by answering [`Task::Read`](crate::Task::Read), rather than by [`Family::read`].
    pub reads_by_answering: bool,
    /// Whether things can be located, by answering [`Task::Detect`](crate::Task::Detect).
    pub locates: bool,
    /// Whether descriptions are in English, whatever the language that is asked for.
    pub english_only: bool,
    /// Operators and the kernels that they take on this machine.
    pub kernels: Vec<(String, String)>,
}

impl ModelInfo {
    /// A model that looks at one image, answers one question, and reads nothing.
    pub fn new(family: &'static str, vocab: usize, context: usize) -> Self {
        Self {
            family,
            precision: String::new(),
            parameters: 0,
            weight_bytes: 0,
            vocab,
            context,
            encoder_context: None,
            generation: Generation::default(),
            max_tokens: 256,
            max_images: 1,
            converses: false,
            reads: false,
            reads_by_answering: false,
            locates: false,
            english_only: false,
            kernels: Vec::new(),
        }
    }
}

/// A text that a decoder is in the middle of: the keys and values of the tokens it has had, and whatever it attends to
/// besides. Only the family that began it understands it.
pub trait Sequence: Any + Send {
    /// Tokens that it has had.
    fn len(&self) -> usize;

    /// Whether it has had none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all tokens but the first `len`.
    fn truncate(&mut self, len: usize);

    /// A second sequence that goes on from here by itself. What both have had is shared, not copied, as far as the
    /// family can.
    fn fork(&self) -> Box<dyn Sequence>;
}

/// What one sequence gets in one step.
pub struct Step<'a> {
    /// The sequence; its family began it.
    pub sequence: &'a mut dyn Sequence,
    /// The tokens that come next: one while an answer is being written, many while a prompt is being read.
    pub ids: &'a [u32],
}

/// What an image comes to before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCost {
    /// Tiles that are looked at.
    pub tiles: usize,
    /// Positions that they take in the prompt.
    pub tokens: usize,
}

/// Is shown what the stages of a model make, by name: see [`Family::trace`].
pub type Observe<'a> = dyn FnMut(&str, &[f32]) + 'a;

/// A loaded model: its stages, and how they follow each other.
///
/// An answer comes about like this: each image is [encoded](Self::encode) (or found among those encoded before), the
/// question becomes a [prompt](Self::prompt), and the decoder [begins](Self::begin) a sequence. It then takes the
/// prompt and each chosen token in [steps](Self::step), and [`special`](Self::special) says what a token means.
/// Choosing tokens, streaming text, stopping, caching and batching are the runtime's.
///
/// A family owns no threads and no buffers but its weights: those come with the [`Context`].
pub trait Family: Send + Sync {
    /// What is known of the model.
    fn info(&self) -> &ModelInfo;

    /// The tokens and their text.
    fn tokenizer(&self) -> &Tokenizer;

    /// What makes text of the tokens of an answer.
    fn decode_stream(&self) -> DecodeStream {
        self.tokenizer().decode_stream()
    }

    /// How files become the pixels that this family was trained on.
    fn image_options(&self, limits: Limits) -> ImageOptions {
        ImageOptions::with_limits(limits)
    }

    /// What an image of this width and height comes to, where the family knows before it looks.
    fn image_cost(&self, _size: [usize; 2], _shape: &RequestShape) -> Option<ImageCost> {
        None
    }

    /// Looks at an image.
    fn encode(
        &self,
        context: &Context<'_>,
        image: &Image,
        shape: &RequestShape,
    ) -> Result<Features, ModelError>;

    /// Puts a prompt together. Takes no time to speak of: how many tokens a request has is known before the decoder
    /// starts.
    fn prompt(
        &self,
        parts: &PromptParts<'_>,
        features: &[Arc<Features>],
    ) -> Result<PreparedPrompt, ModelError>;

    /// Begins a sequence that will get the tokens of `prompt`, and makes what the decoder attends to besides: an
    /// encoder's output, the memory of the images.
    fn begin(
        &self,
        context: &Context<'_>,
        prompt: &PreparedPrompt,
        features: &[Arc<Features>],
    ) -> Result<Box<dyn Sequence>, ModelError>;

    /// As [`begin`](Self::begin), going on from a sequence whose first `common` tokens are those of `prompt`. Nothing
    /// where what that sequence has seen of the images is not what these features say, or where there is no gain in it.
    fn resume(
        &self,
        _earlier: Box<dyn Sequence>,
        _common: usize,
        _prompt: &PreparedPrompt,
        _features: &[Arc<Features>],
    ) -> Option<Box<dyn Sequence>> {
        None
    }

    /// Gives each sequence its next tokens, and writes the scores of the token after them, one row of
    /// [`ModelInfo::vocab`] scores a sequence, to `scores`.
    ///
    /// The scores of one sequence do not depend on which others are in the batch. Once its buffers have grown, a step
    /// of one token allocates nothing.
    fn step(
        &self,
        context: &Context<'_>,
        batch: &mut [Step<'_>],
        scores: &mut [f32],
    ) -> Result<(), ModelError>;

    /// What a token of an answer means.
    fn special(&self, token: u32) -> Special;

    /// The parts of the images that a complete answer speaks of.
    fn regions(&self, _prompt: &PreparedPrompt, _features: &[Arc<Features>], _answer: &str) -> Vec<Region> {
        Vec::new()
    }

    /// The print on an image, line by line in reading order.
    fn read(&self, _context: &Context<'_>, _image: &Image) -> Result<Vec<Line>, ModelError> {
        Err(ModelError::NoReader)
    }

    /// Takes a request as far as the scores of the first token of its answer, shows `observe` what each stage makes of it
    /// in the order of the computation, and returns the prompt's tokens: for comparison with a reference. What a stage
    /// makes in several parts, such as tiles, it shows under one name.
    fn trace(
        &self,
        _context: &Context<'_>,
        _images: &[Image],
        _parts: &PromptParts<'_>,
        _shape: &RequestShape,
        _observe: &mut Observe<'_>,
    ) -> Result<Vec<u32>, ModelError> {
        Err(ModelError::stage("trace", "this family shows no stages"))
    }
}

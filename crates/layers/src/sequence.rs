//! A batch: sequences of different lengths whose tokens go through a network together.

use tiny_vlm_tensor::View;

use crate::{CrossMemory, KvCache};

/// What enters a decoder for some tokens of a sequence.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Tokens, to be looked up.
    Tokens(&'a [u32]),
    /// What stands in their place, a row each: images among text, for example.
    Embeddings(View<'a, f32, 2>),
}

impl Input<'_> {
    /// How many tokens enter.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.len(),
            Self::Embeddings(rows) => rows.shape()[0],
        }
    }
}

/// One sequence of a batch.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// The tokens that enter now.
    pub input: Input<'a>,
    /// What it has kept of those before, and will keep of these.
    pub cache: &'a mut KvCache,
    /// What its cross-attention looks at.
    pub memory: Option<&'a CrossMemory>,
}

impl<'a> Sequence<'a> {
    /// A sequence that looks at nothing but itself.
    pub fn new(input: Input<'a>, cache: &'a mut KvCache) -> Self {
        Self { input, cache, memory: None }
    }

    /// The same, looking at `memory`.
    #[must_use]
    pub fn with_memory(self, memory: &'a CrossMemory) -> Self {
        Self { memory: Some(memory), ..self }
    }
}

/// Calls `body` with each run of `rows` that belongs to one sequence: its number, the rows, and the first of them
/// counted within the sequence.
pub(crate) fn runs(
    batch: &[Sequence<'_>],
    rows: std::ops::Range<usize>,
    mut body: impl FnMut(usize, std::ops::Range<usize>, usize),
) {
    let mut first = 0;
    for (number, sequence) in batch.iter().enumerate() {
        let end = first + sequence.input.tokens();
        let run = rows.start.max(first)..rows.end.min(end);
        if !run.is_empty() {
            body(number, run.clone(), run.start - first);
        }
        first = end;
    }
}

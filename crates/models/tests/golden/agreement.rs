//! How far one model's distributions of the next token are from another's.

use std::sync::Arc;

use tiny_vlm_image::Image;
use tiny_vlm_models::{Family, Features, PromptParts, RequestShape, Sequence, Special, Step, Task, Turn};
use tiny_vlm_tensor::Workspace;

/// What is asked about some images.
pub(crate) struct Conversation {
    /// Those of all turns.
    pub(crate) images: Vec<Image>,
    pub(crate) history: Vec<Turn>,
    /// Images that come with the question.
    pub(crate) new_images: usize,
    pub(crate) question: String,
}

/// A conversation and the tokens of its answer.
pub(crate) struct Answered {
    pub(crate) conversation: Conversation,
    pub(crate) answer: Vec<u32>,
}

/// The scores of each token of some answers, behind the tokens before it.
pub(crate) struct Scores(Vec<Vec<f32>>);

/// How far scores are from others.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// The mean divergence of the distributions that they stand for (Kullback and Leibler, 1951), in nats.
    pub(crate) divergence: f64,
    /// The share of tokens where both find the same the likeliest.
    pub(crate) same: f64,
    /// Tokens compared.
    pub(crate) tokens: usize,
}

impl Conversation {
    pub(crate) fn parts(&self) -> PromptParts<'_> {
        let task = Task::Question(&self.question);
        PromptParts { history: &self.history, images: self.new_images, task, lang: None }
    }

    /// The likeliest tokens, one after the other, until one ends the answer or there are `most`.
    pub(crate) fn answer(&self, model: &dyn Family, workspace: &Workspace, most: usize) -> Vec<u32> {
        let (mut writing, mut answer) = (Writing::new(model, workspace, self), Vec::new());
        while answer.len() < most {
            let best = likeliest(writing.scores());
            answer.push(best);
            if model.special(best) == Special::End {
                break;
            }
            writing.ids = vec![best];
        }
        answer
    }
}

impl Scores {
    /// What a model says of each token of some answers.
    pub(crate) fn of(model: &dyn Family, answered: &[Answered], threads: usize) -> Self {
        let workspace = Workspace::new(threads);
        let mut all = Vec::new();
        for Answered { conversation, answer } in answered {
            let mut writing = Writing::new(model, &workspace, conversation);
            for &id in answer {
                all.push(writing.scores().to_vec());
                writing.ids = vec![id];
            }
        }
        Self(all)
    }

    /// How far `others` are from these.
    pub(crate) fn agreement(&self, others: &Self) -> Agreement {
        assert_eq!(self.0.len(), others.0.len());
        let (mut divergence, mut same, tokens) = (0.0, 0, self.0.len());
        for (expected, actual) in self.0.iter().zip(&others.0) {
            divergence += tiny_vlm_quant::divergence(expected, actual).unwrap();
            same += usize::from(likeliest(expected) == likeliest(actual));
        }
        let count = tokens.max(1) as f64;
        Agreement { divergence: divergence / count, same: same as f64 / count, tokens }
    }
}

/// An answer that is being written.
struct Writing<'a> {
    model: &'a dyn Family,
    workspace: &'a Workspace,
    sequence: Box<dyn Sequence>,
    scores: Vec<f32>,
    /// Tokens that have not entered yet.
    ids: Vec<u32>,
}

impl<'a> Writing<'a> {
    fn new(model: &'a dyn Family, workspace: &'a Workspace, conversation: &Conversation) -> Self {
        let ctx = workspace.context();
        let encode = |image| Arc::new(model.encode(&ctx, image, &RequestShape::default()).unwrap());
        let features: Vec<Arc<Features>> = conversation.images.iter().map(encode).collect();
        let prompt = model.prompt(&conversation.parts(), &features).unwrap();
        let sequence = model.begin(&ctx, &prompt, &features).unwrap();
        Self { model, workspace, sequence, scores: vec![0.0; model.info().vocab], ids: prompt.ids }
    }

    /// The scores of the token behind those that enter now.
    fn scores(&mut self) -> &[f32] {
        let ids = std::mem::take(&mut self.ids);
        let step = Step { sequence: &mut *self.sequence, ids: &ids };
        self.model.step(&self.workspace.context(), &mut [step], &mut self.scores).unwrap();
        &self.scores
    }
}

fn likeliest(scores: &[f32]) -> u32 {
    (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("scores") as u32
}

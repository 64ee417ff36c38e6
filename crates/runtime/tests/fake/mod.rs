//! A family whose answers are written in advance, for tests of everything around it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tiny_vlm_image::Image;
use tiny_vlm_models::{
    Family, Features, Line, ModelError, ModelInfo, PreparedPrompt, PromptParts, RequestShape, Sequence,
    Special, Step, Task, Thing,
};
use tiny_vlm_runtime::{LoadOptions, Model};
use tiny_vlm_tensor::Context;
use tiny_vlm_text::Tokenizer;

/// `é` is two tokens, a byte each.
const TOKENIZER: &str = r#"{
    "added_tokens": [{"id": 8, "content": "<end>", "special": true}, {"id": 9, "content": "<read>", "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ã": 2, "©": 3, "Ġ": 4, "E": 5, "N": 6, "D": 7}, "merges": []}
}"#;

pub(crate) const END: u32 = 8;
pub(crate) const READ: u32 = 9;
const VOCAB: usize = 10;

/// Says `answer`, token by token, whatever it is asked.
pub(crate) struct Fake {
    info: ModelInfo,
    tokenizer: Tokenizer,
    answer: Vec<u32>,
    step_time: Duration,
    encoded: Arc<AtomicUsize>,
}

impl Fake {
    pub(crate) fn saying(answer: &[u32]) -> Self {
        let mut info = ModelInfo::new("fake", VOCAB, 64);
        info.reads = true;
        Self {
            info,
            tokenizer: Tokenizer::from_json(TOKENIZER.as_bytes()).unwrap(),
            answer: answer.to_vec(),
            step_time: Duration::ZERO,
            encoded: Arc::default(),
        }
    }

    pub(crate) fn slow(self, step_time: Duration) -> Self {
        Self { step_time, ..self }
    }

    pub(crate) fn conversing(mut self) -> Self {
        self.info.converses = true;
        self.info.max_images = 3;
        self
    }

    /// Counts the images that were looked at.
    pub(crate) fn encoded(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.encoded)
    }

    pub(crate) fn load(self) -> Model {
        self.load_with(&LoadOptions::default().threads(1))
    }

    pub(crate) fn load_with(self, options: &LoadOptions) -> Model {
        Model::from_family(Arc::new(self), options)
    }
}

struct FakeSequence {
    prompt: usize,
    len: usize,
}

impl Sequence for FakeSequence {
    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn fork(&self) -> Box<dyn Sequence> {
        Box::new(Self { ..*self })
    }
}

impl Family for Fake {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn encode(&self, context: &Context<'_>, image: &Image, _: &RequestShape) -> Result<Features, ModelError> {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        context.check()?;
        let lines =
            ["one", "two"].map(|text| Line { text: text.into(), quad: [[0.0; 2]; 4], confidence: 0.9 });
        let thing = Thing { area: [0.0, 0.0, image.width() as f32, 1.0], confidence: 0.5 };
        Ok(Features::new(3, 1000, ()).with_finds(lines.to_vec(), vec![thing]))
    }

    fn prompt(&self, parts: &PromptParts<'_>, _: &[Arc<Features>]) -> Result<PreparedPrompt, ModelError> {
        let mut ids = Vec::new();
        for turn in parts.history {
            self.tokenizer.encode_into(&turn.question, &mut ids);
            self.tokenizer.encode_into(&turn.answer, &mut ids);
        }
        match parts.task {
            Task::Question(question) => self.tokenizer.encode_into(question, &mut ids),
            _ => ids.push(0),
        }
        Ok(PreparedPrompt::of_ids(ids))
    }

    fn begin(
        &self,
        _: &Context<'_>,
        prompt: &PreparedPrompt,
        _: &[Arc<Features>],
    ) -> Result<Box<dyn Sequence>, ModelError> {
        Ok(Box::new(FakeSequence { prompt: prompt.ids.len(), len: 0 }))
    }

    fn step(
        &self,
        context: &Context<'_>,
        batch: &mut [Step<'_>],
        scores: &mut [f32],
    ) -> Result<(), ModelError> {
        std::thread::sleep(self.step_time);
        context.check()?;
        for (step, scores) in batch.iter_mut().zip(scores.chunks_exact_mut(VOCAB)) {
            let any: &mut dyn std::any::Any = step.sequence;
            let sequence = any.downcast_mut::<FakeSequence>().unwrap();
            sequence.len += step.ids.len();
            let token = self.answer.get(sequence.len - sequence.prompt).copied().unwrap_or(END);
            scores.fill(0.0);
            scores[token as usize] = 5.0;
        }
        Ok(())
    }

    fn special(&self, token: u32) -> Special {
        match token {
            END => Special::End,
            READ => Special::Read,
            _ => Special::None,
        }
    }

    fn read(&self, _: &Context<'_>, _: &Image) -> Result<Vec<Line>, ModelError> {
        Ok(vec![Line { text: "print".into(), quad: [[0.0; 2]; 4], confidence: 1.0 }])
    }
}

pub(crate) fn image(shade: u8) -> Image {
    Image::from_rgb8(2, 1, 6, &[shade; 6]).unwrap()
}

//! `ask` and `caption`: one prompt, answered piece by piece.

use std::{ffi::OsString, process::ExitCode, sync::Arc, time::Duration};

use tiny_vlm::{Answer, Error, FinishReason, Image, Model, Prompt};

use crate::{
    args::Args,
    failure::Failure,
    input::{self, Encoded},
    interrupt, json,
    meter::Meter,
    model,
    output::Output,
    stats,
    words::Words,
};

/// `ask IMAGE... QUESTION`.
pub(crate) fn ask(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some((question, images)) = args.operands.split_last() else { return Ok(ExitCode::SUCCESS) };
    let question = input::question(question, args.request.max_question_bytes)?;
    // What is refused for sure is refused before a model is loaded for it.
    let (bytes, limit) = (question.len(), args.request.max_question_bytes);
    if bytes > limit {
        return Err(Error::QuestionTooLarge { bytes, limit }.into());
    }
    if question.trim().is_empty() {
        return Err(Error::QuestionEmpty.into());
    }
    answer(args, images, Some(&question), words, output)
}

/// `caption IMAGE...`.
pub(crate) fn caption(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    answer(args, &args.operands, None, words, output)
}

/// Answers about images together where the model takes them so, and about one after another where it does not.
fn answer(
    args: &Args,
    operands: &[OsString],
    question: Option<&str>,
    words: Words,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    interrupt::cancel_on_interrupt(&args.request.cancel);
    let images = operands.iter().map(|operand| input::image(operand, args.limits));
    let mut images: Vec<Encoded> = images.collect::<Result<_, _>>()?;
    // Nobody asks twice about an image here, so none is kept.
    let model = model::load(args, &args.load_options().feature_cache_bytes(0))?;
    let together = question.is_some() && images.len() <= model.info().max_images;
    let group = if together { images.len().max(1) } else { 1 };
    let mut task = Task { args, model, question, named: images.len() > group, words, output };
    while !images.is_empty() {
        task.answer(images.drain(..group.min(images.len())).collect())?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Task<'a> {
    args: &'a Args,
    model: Model,
    question: Option<&'a str>,
    /// Whether each answer says which image it is about.
    named: bool,
    words: Words,
    output: &'a mut Output,
}

impl Task<'_> {
    fn answer(&mut self, group: Vec<Encoded>) -> Result<(), Failure> {
        let mut decode_time = Duration::ZERO;
        let mut images: Vec<Image> = Vec::new();
        let names: Vec<String> = group.iter().map(|image| image.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for encoded in group {
            let (image, time) = encoded.decode(|limits| self.model.image_options(limits))?;
            decode_time += time;
            images.push(image);
        }
        interrupt::answering(true);
        let answer = self.stream(&images, &names);
        interrupt::answering(false);
        let answer = answer?;
        if self.args.json {
            self.output.line(&json::answer(&names, &answer, decode_time, self.words))?;
        }
        self.remark(&answer);
        if self.args.stats {
            stats::report(&answer, decode_time, self.words);
        }
        match answer.finish {
            FinishReason::Cancelled => Err(Failure::interrupt()),
            _ => Ok(()),
        }
    }

    fn stream(&mut self, images: &[Image], names: &[&str]) -> Result<Answer, Failure> {
        let meter = Arc::new(Meter::new(self.words));
        let mut request = self.args.request.clone();
        request.lang = self.args.lang.or(request.lang);
        let mut prompt = Prompt::new();
        for image in images {
            prompt = prompt.image(image);
        }
        prompt = match self.question {
            Some(question) => prompt.text(question),
            None => prompt.caption(self.words.lang()),
        };
        let mut session = self.model.session();
        session.set_progress(meter.clone());
        let subject = names.join(", ");
        let mut stream =
            session.stream(prompt, &request).map_err(|error| Failure::from(error).on(&subject))?;
        if self.named && !self.args.json {
            self.output.answer(&format!("{}: ", names[0]))?;
        }
        for piece in stream.by_ref() {
            let piece = piece.map_err(|error| Failure::from(error).on(&subject))?;
            meter.clear();
            if !self.args.json {
                self.output.answer(&piece)?;
            }
        }
        if !self.args.json {
            self.output.text("\n")?;
        }
        stream.answer().map_err(Failure::from)
    }

    /// Says on standard error what the reader of the answer should know.
    fn remark(&self, answer: &Answer) {
        for note in &answer.notes {
            self.say(&json::note(note, self.words));
        }
        match answer.finish {
            FinishReason::Length => {
                let tokens = answer.usage.completion_tokens.to_string();
                self.say(&self.words.say("note-length", &[("tokens", &tokens)]));
            }
            FinishReason::Deadline => self.say(self.words.get("note-deadline")),
            _ => {}
        }
    }

    fn say(&self, note: &str) {
        use std::io::Write;
        // A remark that cannot be written is no reason to fail.
        let _ = writeln!(std::io::stderr(), "tiny-vlm: {}: {note}", self.words.get("note"));
    }
}

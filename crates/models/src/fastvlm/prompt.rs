//! How a conversation is written down.

use tiny_vlm_text::{ChatTemplate, Content, Message, Part, Piece, Tokenizer};

use crate::{Lang, ModelError, PromptParts};

/// Where a picture goes.
const IMAGE: &str = "<image>";

/// What begins every conversation.
const SYSTEM: &str = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";

/// Who writes a conversation down.
#[derive(Debug)]
pub(super) enum Conversation {
    /// The checkpoint's template.
    Template(Box<ChatTemplate>),
    /// Apple's program: a picture is followed by a line's end.
    Apple,
}

/// What a description is asked for with.
pub(super) fn caption(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "Describe the image.",
        Lang::Es => "Describe la imagen en español.",
        Lang::Fr => "Décris l'image en français.",
        Lang::De => "Beschreibe das Bild auf Deutsch.",
        Lang::Ja => "画像を日本語で説明してください。",
        Lang::Zh => "请用中文描述这张图片。",
    }
}

/// One question or answer.
struct Said<'a> {
    role: &'static str,
    images: usize,
    text: &'a str,
}

impl<'a> Said<'a> {
    /// The same as templates take it.
    fn message(&self) -> Message<'a> {
        let images = std::iter::repeat_n(Part::Image, self.images);
        Message { role: self.role, content: Content::Parts(images.chain([Part::Text(self.text)]).collect()) }
    }
}

fn said<'a>(parts: &PromptParts<'a>) -> Result<Vec<Said<'a>>, ModelError> {
    let question = parts.task.question(caption)?;
    let turns = parts.history.iter().flat_map(|turn| {
        let asked = Said { role: "user", images: turn.images, text: &turn.question };
        [asked, Said { role: "assistant", images: 0, text: &turn.answer }]
    });
    Ok(turns.chain([Said { role: "user", images: parts.images, text: question }]).collect())
}

impl Conversation {
    /// The tokens of a prompt, in which each of `features` has as many placeholders as it has rows.
    pub(super) fn ids(
        &self,
        tokenizer: &Tokenizer,
        parts: &PromptParts<'_>,
        placeholder: u32,
        features: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<u32>, ModelError> {
        let pieces = self.pieces(&said(parts)?)?;
        let mut ids = Vec::new();
        let mut features = features.into_iter();
        for (number, part) in apart(pieces).into_iter().enumerate() {
            if number > 0 {
                let missing = || ModelError::stage("prompt", "more images are spoken of than there are");
                let rows = features.next().ok_or_else(missing)?;
                ids.extend(std::iter::repeat_n(placeholder, rows));
            }
            ids.extend(tokenizer.encode_pieces(&part));
        }
        match features.next() {
            None => Ok(ids),
            Some(_) => Err(ModelError::stage("prompt", "an image is not spoken of")),
        }
    }

    fn pieces(&self, said: &[Said<'_>]) -> Result<Vec<Piece>, ModelError> {
        let Self::Template(template) = self else { return Ok(by_apple(said)) };
        let messages: Vec<Message<'_>> = said.iter().map(Said::message).collect();
        Ok(template.render(&messages, true)?)
    }
}

fn by_apple(said: &[Said<'_>]) -> Vec<Piece> {
    let mut pieces = vec![Piece::Template(SYSTEM.to_owned())];
    for said in said {
        let images = format!("{IMAGE}\n").repeat(said.images);
        pieces.push(Piece::Template(format!("<|im_start|>{}\n{images}", said.role)));
        pieces.push(Piece::Text(said.text.to_owned()));
        pieces.push(Piece::Template("<|im_end|>\n".to_owned()));
    }
    pieces.push(Piece::Template("<|im_start|>assistant\n".to_owned()));
    pieces
}

/// What stands before, between and behind the pictures, each to be tokenized by itself. Only the template speaks of
/// pictures.
fn apart(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut parts = vec![Vec::new()];
    for piece in pieces {
        let Piece::Template(written) = &piece else {
            parts.last_mut().expect("there is a first part").push(piece);
            continue;
        };
        for (number, text) in written.split(IMAGE).enumerate() {
            if number > 0 {
                parts.push(Vec::new());
            }
            let part = parts.last_mut().expect("there is a first part");
            part.extend((!text.is_empty()).then(|| Piece::Template(text.to_owned())));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Task, Turn};

    fn template(text: &str) -> Piece {
        Piece::Template(text.to_owned())
    }

    #[test]
    fn turns_and_images_as_apple_writes_them() {
        let history = [Turn { images: 1, question: "What <image>?".to_owned(), answer: "A cat.".to_owned() }];
        let parts = PromptParts { history: &history, images: 0, task: Task::Question("Sure?"), lang: None };
        let parts = apart(by_apple(&said(&parts).unwrap()));
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], [template(SYSTEM), template("<|im_start|>user\n")]);
        assert_eq!(
            parts[1][..3],
            [template("\n"), Piece::Text("What <image>?".to_owned()), template("<|im_end|>\n")]
        );
        assert_eq!(parts[1].last().unwrap(), &template("<|im_start|>assistant\n"));
        let text = |piece: &Piece| match piece {
            Piece::Template(text) | Piece::Text(text) => text.clone(),
        };
        let rest: String = parts[1][3..].iter().map(text).collect();
        assert_eq!(
            rest,
            "<|im_start|>assistant\nA cat.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n"
        );
    }
}

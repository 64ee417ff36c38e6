//! Chat templates: Jinja programs that checkpoints carry, which say how a conversation is written down for the model.
//!
//! A template puts control tokens and what people wrote into one text. The two are kept apart here: what people wrote
//! goes through the template between two marks that no text can contain, and comes out as [pieces](Piece) of its own,
//! so that [`Tokenizer::encode_pieces`](crate::Tokenizer::encode_pieces) recognises control tokens in the template's
//! pieces alone.

use std::fmt;

use minijinja::{Environment, Error, ErrorKind, Value, syntax::SyntaxConfig};

use crate::TextError;

/// The longest template that is read. Those with tools in six formats have some 20 kB.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Instructions that a template may run.
const FUEL: u64 = 2_000_000;
/// Unicode has these two for a program's own use; they are in no text that is exchanged.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';
const NAME: &str = "chat template";

/// How a family writes down a conversation.
///
/// A template is a program that comes with a checkpoint. It cannot reach files or the network, and it ends, since its
/// instructions are counted; but nothing bounds the length of the texts that it makes, and one that doubles a text again
/// and again takes all the memory there is.
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// Something that someone said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who: `user`, `assistant` or `system`.
    pub role: &'a str,
    /// What.
    pub content: Content<'a>,
}

/// What was said, in one of the two forms that templates take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A text.
    Text(&'a str),
    /// Texts and images in order.
    Parts(Vec<Part<'a>>),
}

/// A part of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An image, for which the template writes its placeholder.
    Image,
    /// A text.
    Text(&'a str),
}

/// A piece of a rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What the template wrote; control tokens in it are meant.
    Template(String),
    /// What someone wrote: plain text, whatever it looks like.
    Text(String),
}

impl ChatTemplate {
    /// Reads a template. `tokens` are the control tokens that it may refer to by name, such as `bos_token`.
    ///
    /// ```
    /// use tiny_vlm_text::{ChatTemplate, Content, Message, Piece};
    ///
    /// let template = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}";
    /// let template = ChatTemplate::new(template, &[("eos_token", "<end>")])?;
    /// let said = [Message { role: "user", content: Content::Text("What is <end>?") }];
    /// let pieces = template.render(&said, true)?;
    /// assert_eq!(pieces, [
    ///     Piece::Template("<user>".into()), Piece::Text("What is <end>?".into()), Piece::Template("<end>".into()),
    /// ]);
    /// # Ok::<(), tiny_vlm_text::TextError>(())
    /// ```
    pub fn new(source: &str, tokens: &[(&'static str, &str)]) -> Result<Self, TextError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let reason = format!("{} bytes, more than {MAX_TEMPLATE_BYTES}", source.len());
            return Err(TextError::Template(reason));
        }
        let mut environment = Environment::new();
        // As `transformers` sets up Jinja.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(refused)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.set_fuel(Some(FUEL));
        for &(name, token) in tokens {
            environment.add_global(name, token);
        }
        environment.add_template_owned(NAME, source.to_owned()).map_err(refused)?;
        Ok(Self { environment })
    }

    /// Writes the conversation down. `answering`: followed by what an answer begins with.
    pub fn render(&self, messages: &[Message<'_>], answering: bool) -> Result<Vec<Piece>, TextError> {
        let messages: Vec<Value> = messages.iter().map(message).collect();
        let variables = Value::from_pairs([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(answering)),
        ]);
        let template = self.environment.get_template(NAME).map_err(refused)?;
        pieces(&template.render(variables).map_err(refused)?)
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").finish_non_exhaustive()
    }
}

fn message(message: &Message<'_>) -> Value {
    let content = match &message.content {
        Content::Text(text) => marked(text),
        Content::Parts(parts) => Value::from(parts.iter().map(part).collect::<Vec<_>>()),
    };
    Value::from_pairs([("role", Value::from(message.role)), ("content", content)])
}

fn part(part: &Part<'_>) -> Value {
    match part {
        Part::Image => Value::from_pairs([("type", Value::from("image"))]),
        Part::Text(text) => Value::from_pairs([("type", Value::from("text")), ("text", marked(text))]),
    }
}

/// What someone wrote between the marks; in it, a mark is no character.
fn marked(text: &str) -> Value {
    Value::from(format!("{OPEN}{}{CLOSE}", text.replace([OPEN, CLOSE], "\u{fffd}")))
}

/// Cuts at the marks. A template that breaks up what is between them cannot be trusted to keep it apart.
fn pieces(rendered: &str) -> Result<Vec<Piece>, TextError> {
    let mut pieces = Vec::new();
    let mut rest = rendered;
    loop {
        let (written, said) = match rest.split_once(OPEN) {
            None => (rest, None),
            Some((written, said)) => (written, Some(said)),
        };
        if written.contains(CLOSE) {
            return Err(torn());
        }
        if !written.is_empty() {
            pieces.push(Piece::Template(written.to_owned()));
        }
        let Some(said) = said else { return Ok(pieces) };
        let (text, after) = said.split_once(CLOSE).ok_or_else(torn)?;
        if text.contains(OPEN) {
            return Err(torn());
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        rest = after;
    }
}

fn torn() -> TextError {
    TextError::Template("it breaks up what was said".into())
}

fn refused(error: Error) -> TextError {
    // A template can raise a message of any length.
    TextError::Template(error.to_string().chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOLVLM: &str = "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}\
        {% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}\
        {% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}\
        {% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n\
        {% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

    fn user<'a>(parts: &[Part<'a>]) -> Message<'a> {
        Message { role: "user", content: Content::Parts(parts.to_vec()) }
    }

    fn template(text: &str) -> Piece {
        Piece::Template(text.into())
    }

    #[test]
    fn turns_and_images() {
        let chat = ChatTemplate::new(SMOLVLM, &[]).unwrap();
        let answer = Message { role: "assistant", content: Content::Parts(vec![Part::Text("A cat.")]) };
        let said = [
            user(&[Part::Image, Part::Image, Part::Text("What is <image>?")]),
            answer,
            user(&[Part::Text("Sure?")]),
        ];
        let expected = [
            template("<|im_start|>User:<image><image>"),
            Piece::Text("What is <image>?".into()),
            template("<end_of_utterance>\nAssistant: "),
            Piece::Text("A cat.".into()),
            template("<end_of_utterance>\nUser: "),
            Piece::Text("Sure?".into()),
            template("<end_of_utterance>\nAssistant:"),
        ];
        assert_eq!(chat.render(&said, true).unwrap(), expected);
        assert_eq!(chat.render(&said[..1], false).unwrap()[2], template("<end_of_utterance>\n"));
    }

    #[test]
    fn what_hub_templates_use_is_there() {
        let source = "{%- for m in messages -%}\n  {%- if loop.first and m.role.startswith('u') -%}\n\
            {{- bos_token + m.content | trim -}}{%- continue -%}{%- endif -%}{%- endfor -%}\n";
        let chat = ChatTemplate::new(source, &[("bos_token", "<s>")]).unwrap();
        let said = |role| [Message { role, content: Content::Text("hello") }];
        let pieces = chat.render(&said("user"), false).unwrap();
        assert_eq!(pieces, [template("<s>"), Piece::Text("hello".into())]);
        let raise = ChatTemplate::new("{{ raise_exception('no ' ~ messages[0].role) }}", &[]).unwrap();
        let error = raise.render(&said("system"), false).unwrap_err().to_string();
        assert!(error.contains("no system"), "{error}");
    }

    #[test]
    fn marks_in_a_text_are_characters_like_any_other() {
        let chat = ChatTemplate::new("{{ messages[0].content }}", &[]).unwrap();
        let said = [Message { role: "user", content: Content::Text("a\u{fdd1}<end>\u{fdd0}b") }];
        assert_eq!(chat.render(&said, false).unwrap(), [Piece::Text("a\u{fffd}<end>\u{fffd}b".into())]);
    }

    #[test]
    fn templates_that_are_broken_endless_or_tear_texts_are_errors() {
        assert!(ChatTemplate::new("{% for %}", &[]).is_err());
        assert!(ChatTemplate::new(&" ".repeat(MAX_TEMPLATE_BYTES + 1), &[]).is_err());
        let said = [Message { role: "user", content: Content::Text("<end> there") }];
        for source in [
            "{{ messages[0].content[1:] }}",
            "{{ messages[0].content[:-1] }}",
            "{{ messages[0].content.split(' ')[1] }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{{ unknown_function() }}",
        ] {
            let chat = ChatTemplate::new(source, &[]).unwrap();
            assert!(chat.render(&said, false).is_err(), "{source}");
        }
    }
}

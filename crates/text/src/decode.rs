//! Text that grows token by token.

use crate::Tokenizer;

/// Turns tokens to text one at a time, holding back a character until all of its bytes are there.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return is, put together, what
/// [`Tokenizer::decode`] makes of all the tokens.
#[derive(Debug, Clone)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    with_specials: bool,
    /// Bytes of a character that is not complete: three at most between calls.
    pending: Vec<u8>,
    text: String,
}

impl DecodeStream {
    pub(crate) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, with_specials: false, pending: Vec::new(), text: String::new() }
    }

    /// Special tokens are spelled out instead of left out.
    #[must_use]
    pub fn with_specials(mut self) -> Self {
        self.with_specials = true;
        self
    }

    /// The text that token `id` completes; empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> &str {
        self.text.clear();
        if self.with_specials || !self.tokenizer.is_special(id) {
            self.pending.extend_from_slice(self.tokenizer.token_bytes(id).unwrap_or_default());
        }
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, tail) = rest.split_at(error.valid_up_to());
                    self.text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    rest = tail;
                    let Some(invalid) = error.error_len() else { break };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        let done = self.pending.len() - rest.len();
        self.pending.drain(..done);
        &self.text
    }

    /// The end of the text: U+FFFD when the last character was never completed. The stream can be used
    /// again, for another text.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }
}

//! Added tokens: strings that are tokens as a whole, found before anything else is split.

use serde::Deserialize;

use crate::{error::TextError, unicode::is_word};

/// A string that is one token wherever a template writes it, such as `<|im_end|>`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AddedToken {
    /// The token it is.
    #[serde(default)]
    pub id: u32,
    /// The string.
    pub content: String,
    /// Left out of decoded text.
    #[serde(default)]
    pub special: bool,
    /// Takes the white space before it.
    #[serde(default)]
    pub lstrip: bool,
    /// Takes the white space after it.
    #[serde(default)]
    pub rstrip: bool,
    /// Not recognised inside a word.
    #[serde(default)]
    pub single_word: bool,
    /// Looked for in the normalized text instead of the text as given.
    #[serde(default)]
    pub normalized: bool,
}

impl AddedToken {
    /// A special token that takes no white space.
    pub fn special(id: u32, content: impl Into<String>) -> Self {
        Self {
            id,
            content: content.into(),
            special: true,
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
        }
    }

    /// The tokens that `tokenizer_config.json` (its `added_tokens_decoder`) or `added_tokens.json` lists,
    /// by id. The latter says nothing of its tokens; they are taken to be special.
    pub fn list_from_json(bytes: &[u8]) -> Result<Vec<Self>, TextError> {
        use std::collections::BTreeMap;
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum File {
            Config { added_tokens_decoder: BTreeMap<String, AddedToken> },
            Plain(BTreeMap<String, u32>),
        }
        let file = serde_json::from_slice(bytes)
            .map_err(|source| TextError::Json { file: "the list of added tokens", source })?;
        let mut tokens = match file {
            File::Plain(tokens) => {
                tokens.into_iter().map(|(content, id)| Self::special(id, content)).collect::<Vec<_>>()
            }
            File::Config { added_tokens_decoder } => added_tokens_decoder
                .into_iter()
                .map(|(id, token)| match id.parse() {
                    Ok(id) => Ok(Self { id, ..token }),
                    Err(_) => Err(TextError::Vocabulary(format!("`{id}` is not a token's number"))),
                })
                .collect::<Result<_, _>>()?,
        };
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }
}

/// What matching needs of an added token.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    id: u32,
    flags: u32,
    pub(crate) content: Box<str>,
}

const LSTRIP: u32 = 1;
const RSTRIP: u32 = 2;
const SINGLE_WORD: u32 = 4;
const NORMALIZED: u32 = 8;

impl Added {
    pub(crate) fn from_flags(id: u32, flags: u32, content: &str) -> Self {
        Self { id, flags, content: content.into() }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl AddedToken {
    pub(crate) fn flags(&self) -> u32 {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        flag(self.lstrip, LSTRIP)
            | flag(self.rstrip, RSTRIP)
            | flag(self.single_word, SINGLE_WORD)
            | flag(self.normalized, NORMALIZED)
    }
}

/// A part of a text that has been searched for added tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    /// Text between tokens.
    Text(&'a str),
    /// An added token.
    Token(u32),
}

/// Finds added tokens: leftmost first, the longest of those that begin at one place.
pub(crate) struct Matcher {
    /// Sorted by content, so that what shares a prefix is a range.
    tokens: Vec<Added>,
    starts: [bool; 256],
}

impl Matcher {
    /// Two matchers: of the tokens looked for in the text as given, and of those in the normalized text,
    /// whose contents `normalize` is applied to.
    pub(crate) fn pair(tokens: Vec<Added>, normalize: impl Fn(&str) -> Box<str>) -> [Self; 2] {
        let (mut normalized, raw): (Vec<_>, Vec<_>) = tokens.into_iter().partition(|t| t.has(NORMALIZED));
        for token in &mut normalized {
            token.content = normalize(&token.content);
        }
        [Self::new(raw), Self::new(normalized)]
    }

    fn new(mut tokens: Vec<Added>) -> Self {
        tokens.retain(|token| !token.content.is_empty());
        tokens.sort_by(|a, b| a.content.cmp(&b.content));
        let mut starts = [false; 256];
        for token in &tokens {
            starts[usize::from(token.content.as_bytes()[0])] = true;
        }
        Self { tokens, starts }
    }

    /// The longest token that `text` begins with.
    fn longest(&self, text: &[u8]) -> Option<&Added> {
        let mut candidates = self.tokens.as_slice();
        let mut best = None;
        for (depth, byte) in text.iter().enumerate() {
            // All candidates agree on the first `depth` bytes; keep those that agree on this one too.
            let at = |token: &Added| token.content.as_bytes().get(depth).copied();
            let low = candidates.partition_point(|token| at(token) < Some(*byte));
            let high = candidates.partition_point(|token| at(token) <= Some(*byte));
            candidates = &candidates[low..high];
            match candidates.first() {
                Some(first) if first.content.len() == depth + 1 => best = Some(first),
                Some(_) => {}
                None => break,
            }
        }
        best
    }

    /// Cuts `text` at the tokens in it.
    pub(crate) fn split<'a>(&self, text: &'a str, span: &mut dyn FnMut(Span<'a>)) {
        let bytes = text.as_bytes();
        let (mut at, mut done) = (0, 0);
        while at < bytes.len() {
            let token = if self.starts[usize::from(bytes[at])] { self.longest(&bytes[at..]) } else { None };
            let Some(token) = token else {
                at += 1;
                continue;
            };
            let (mut start, mut end) = (at, at + token.content.len());
            at = end;
            if token.has(SINGLE_WORD) {
                let touches = |c: Option<char>| c.is_some_and(is_word);
                if touches(text[..start].chars().next_back()) || touches(text[end..].chars().next()) {
                    continue;
                }
            }
            if token.has(LSTRIP) {
                // White space that the token before has taken is not taken again.
                start = text[..start].trim_end().len().max(done);
            }
            if token.has(RSTRIP) {
                end += text[end..].len() - text[end..].trim_start().len();
            }
            if done < start {
                span(Span::Text(&text[done..start]));
            }
            span(Span::Token(token.id));
            done = end;
        }
        if done < text.len() {
            span(Span::Text(&text[done..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(tokens: &[(&str, u32)], text: &str) -> Vec<String> {
        let tokens = tokens
            .iter()
            .enumerate()
            .map(|(id, (content, flags))| Added::from_flags(id as u32, *flags, content));
        let mut out = Vec::new();
        Matcher::new(tokens.collect()).split(text, &mut |span| {
            out.push(match span {
                Span::Text(text) => text.to_owned(),
                Span::Token(id) => format!("#{id}"),
            });
        });
        out
    }

    #[test]
    fn longest_of_the_leftmost() {
        let tokens = [("<a>", 0), ("<a>b", 0), ("b>", 0), ("<", 0)];
        assert_eq!(spans(&tokens, "x<a>bb><a"), ["x", "#1", "#2", "#3", "a"]);
        assert_eq!(spans(&tokens, "plain"), ["plain"]);
        assert!(spans(&tokens, "").is_empty());
    }

    #[test]
    fn stripping_takes_white_space_once() {
        let tokens = [("<l>", LSTRIP), ("<r>", RSTRIP)];
        assert_eq!(spans(&tokens, "a \n<l> b"), ["a", "#0", " b"]);
        assert_eq!(spans(&tokens, "a <r>  <l>"), ["a ", "#1", "#0"]);
    }

    #[test]
    fn single_words_stand_alone() {
        let tokens = [("yes", SINGLE_WORD)];
        assert_eq!(spans(&tokens, "yes, yesterday, oyes yes"), ["#0", ", yesterday, oyes ", "#0"]);
    }

    #[test]
    fn lists_of_both_kinds() {
        let config = br#"{"other": 1, "added_tokens_decoder": {"7": {"content": "<x>", "lstrip": true}, "3": {"content": "<y>", "special": true}}}"#;
        let tokens = AddedToken::list_from_json(config).unwrap();
        assert_eq!(tokens[0], AddedToken::special(3, "<y>"));
        assert!(tokens[1].lstrip && !tokens[1].special && tokens[1].id == 7);
        let plain = AddedToken::list_from_json(br#"{"<y>": 3}"#).unwrap();
        assert_eq!(plain, [AddedToken::special(3, "<y>")]);
        assert!(AddedToken::list_from_json(b"[").is_err());
    }
}

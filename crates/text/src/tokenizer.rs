use std::{borrow::Cow, fmt, ops::Deref, sync::Arc};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::{
    Piece,
    added::{AddedToken, Matcher, Span},
    decode::DecodeStream,
    error::TextError,
    flat::{Flat, Kind},
    json,
    merge::Merger,
    pattern::Pattern,
    split::split,
};

/// A byte-level BPE tokenizer. A clone shares its tables.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    flat: Flat,
    raw: Matcher,
    normalized: Matcher,
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`.
    ///
    /// What the file may ask for: a BPE model in GPT-2's byte spelling; `ByteLevel`, `Digits`, `Split` by a
    /// known [`Pattern`] and sequences of them; no normalizer or NFC; added tokens; a post-processor that
    /// puts tokens around a text (see [`frame`](Self::frame)). Anything else is an error that names it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TextError> {
        Self::from_bytes(json::read_tokenizer(bytes)?.compile()?)
    }

    /// Reads the older pair of files, `vocab.json` and `merges.txt`. They say nothing of the rest: the
    /// splitting pattern and the added tokens come with the call (see [`AddedToken::list_from_json`]), and
    /// Qwen2 wants `nfc`.
    pub fn from_vocab_and_merges(
        vocab: &[u8],
        merges: &str,
        pattern: Pattern,
        nfc: bool,
        added: Vec<AddedToken>,
    ) -> Result<Self, TextError> {
        let mut parts = json::read_vocabulary_and_merges(vocab, merges, pattern)?;
        parts.nfc = nfc;
        parts.added = added;
        Self::from_bytes(parts.compile()?)
    }

    /// Opens the compiled form that [`to_bytes`](Self::to_bytes) wrote. Nothing large is copied: bytes that
    /// are static are used where they lie. Bytes that lie are an error.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, TextError> {
        Self::from_source(Arc::new(bytes.into()))
    }

    /// As [`from_bytes`](Self::from_bytes), from bytes that something else owns, such as a mapped file.
    pub fn from_source(source: Arc<dyn Deref<Target = [u8]> + Send + Sync>) -> Result<Self, TextError> {
        let mut flat = Flat::open(source)?;
        let nfc = flat.nfc;
        let [raw, normalized] =
            Matcher::pair(std::mem::take(&mut flat.added), |text| normalize(nfc, text).into());
        Ok(Self { inner: Arc::new(Inner { flat, raw, normalized }) })
    }

    /// The compiled form: a header, counts and tables, versioned. It opens some hundred times faster than
    /// `tokenizer.json` is read.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.flat.bytes().to_vec()
    }

    /// The highest token id + 1. A model's table of embeddings may have more rows.
    pub fn vocab_size(&self) -> usize {
        self.inner.flat.tables().tokens()
    }

    /// The tokens of `text`, all of it plain text: added tokens spelled out in it are not recognised, so
    /// that no user can write one.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        self.encode_into(text, &mut out);
        out
    }

    /// Appends the tokens of plain `text` to `out`.
    pub fn encode_into(&self, text: &str, out: &mut Vec<u32>) {
        self.encode_plain(&normalize(self.inner.flat.nfc, text), &mut Merger::default(), out);
    }

    /// The tokens of `text`, in which added tokens are recognised: for templates and other text that the
    /// program wrote, never for a user's.
    pub fn encode_with_specials(&self, text: &str) -> Vec<u32> {
        let (mut out, mut merger) = (Vec::new(), Merger::default());
        self.inner.raw.split(text, &mut |span| match span {
            Span::Token(id) => out.push(id),
            Span::Text(text) => {
                let text = normalize(self.inner.flat.nfc, text);
                self.inner.normalized.split(&text, &mut |span| match span {
                    Span::Token(id) => out.push(id),
                    Span::Text(text) => self.encode_plain(text, &mut merger, &mut out),
                });
            }
        });
        out
    }

    /// The tokens of a rendered conversation: those of the whole text, in which added tokens are recognised where the
    /// template wrote them and nowhere else.
    pub fn encode_pieces(&self, pieces: &[Piece]) -> Vec<u32> {
        let nfc = self.inner.flat.nfc;
        let (mut out, mut merger) = (Vec::new(), Merger::default());
        // What lies between two added tokens is one text, whoever wrote its parts.
        let mut between = String::new();
        for piece in pieces {
            let written = match piece {
                Piece::Template(written) => written,
                Piece::Text(text) => {
                    between.push_str(text);
                    continue;
                }
            };
            self.inner.raw.split(written, &mut |span| match span {
                Span::Token(id) => self.flush(&mut between, &mut merger, Some(id), &mut out),
                Span::Text(text) => {
                    self.inner.normalized.split(&normalize(nfc, text), &mut |span| match span {
                        Span::Token(id) => self.flush(&mut between, &mut merger, Some(id), &mut out),
                        Span::Text(text) => between.push_str(text),
                    })
                }
            });
        }
        self.flush(&mut between, &mut merger, None, &mut out);
        out
    }

    /// Appends the tokens of `text`, which is then empty, and `token`.
    fn flush(&self, text: &mut String, merger: &mut Merger, token: Option<u32>, out: &mut Vec<u32>) {
        self.encode_plain(&normalize(self.inner.flat.nfc, text), merger, out);
        text.clear();
        out.extend(token);
    }

    fn encode_plain(&self, text: &str, merger: &mut Merger, out: &mut Vec<u32>) {
        let tables = self.inner.flat.tables();
        split(&self.inner.flat.steps, text, &mut |piece| merger.merge(&tables, piece.as_bytes(), out));
    }

    /// What the file's post-processor puts before and after a text, such as `<s>` and `</s>`. Encoding never
    /// adds them by itself.
    pub fn frame(&self) -> (&[u32], &[u32]) {
        (&self.inner.flat.prefix, &self.inner.flat.suffix)
    }

    /// The token whose text is exactly `text`; of an added and an ordinary one, the added.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.inner.flat.tables().find(text.as_bytes())
    }

    /// The bytes of a token: perhaps only a part of a character. `None` where no token has this id.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.inner.flat.tables().token(id)
    }

    /// Whether a token is special: part of a template, and left out of what a reader sees.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.flat.tables().kind(id) == Kind::Special
    }

    /// The text of tokens, without the special ones. Bytes that are not UTF-8 become U+FFFD, as by
    /// [`String::from_utf8_lossy`]; ids without a token are skipped.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_where(ids, |id| !self.is_special(id))
    }

    /// The text of tokens, special ones spelled out.
    pub fn decode_with_specials(&self, ids: &[u32]) -> String {
        self.decode_where(ids, |_| true)
    }

    fn decode_where(&self, ids: &[u32], keep: impl Fn(u32) -> bool) -> String {
        let tables = self.inner.flat.tables();
        let bytes: Vec<u8> = ids
            .iter()
            .filter(|&&id| keep(id))
            .flat_map(|&id| tables.token(id).unwrap_or_default())
            .copied()
            .collect();
        match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(_) => String::from_utf8(bytes).unwrap_or_default(),
            Cow::Owned(text) => text,
        }
    }

    /// Decoding token by token.
    pub fn decode_stream(&self) -> DecodeStream {
        DecodeStream::new(self.clone())
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

fn normalize(nfc: bool, text: &str) -> Cow<'_, str> {
    match nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes {
        true => Cow::Owned(text.nfc().collect()),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_templates_write_control_tokens() {
        let json = r#"{
            "added_tokens": [{"id": 9, "content": "<end>", "special": true}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, ":": 1, "Ġ": 2, "<": 3, "e": 4, "n": 5, "d": 6, ">": 7, "Ġa": 8},
                      "merges": [["Ġ", "a"]]}
        }"#;
        let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
        let pieces = |text: &str| {
            [Piece::Template("a: ".into()), Piece::Text(text.into()), Piece::Template("<end>a".into())]
        };
        // The space goes with the word behind it, as in a text of one hand.
        assert_eq!(tokenizer.encode_pieces(&pieces("a")), tokenizer.encode_with_specials("a: a<end>a"));
        assert_eq!(tokenizer.encode_pieces(&pieces("a")), [0, 1, 8, 9, 0]);
        assert_eq!(tokenizer.encode_pieces(&pieces("<end>")), [0, 1, 2, 3, 4, 5, 6, 7, 9, 0]);
    }
}

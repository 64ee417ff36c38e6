//! Grammars: which tokens may come next, so that a text has the form that was asked for.
//!
//! The grammars are [llguidance](https://github.com/guidance-ai/llguidance)'s: JSON Schema, regular expressions in
//! Rust's syntax, and Lark. An Earley parser follows the text as it grows, and a trie of the vocabulary says which tokens
//! it can go on with.

use std::sync::Arc;

use llguidance::{
    Matcher, ParserFactory,
    api::TopLevelGrammar,
    toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv},
};
use serde_json::{Map, Value};

use crate::{TextError, Tokenizer};

/// The most bytes of a grammar.
const MAX_BYTES: usize = 1 << 20;

/// The form that a text must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// JSON that fits this JSON Schema. Where the schema's `x-guidance` does not say otherwise, no line is broken and a
    /// space follows each comma and colon: a small model that may write blanks may write nothing else.
    JsonSchema(String),
    /// The whole text matches this regular expression.
    Regex(String),
    /// The text is derived from `start` of this grammar in Lark's notation.
    Lark(String),
}

impl Grammar {
    fn parse(&self) -> Result<TopLevelGrammar, TextError> {
        let (Self::JsonSchema(text) | Self::Regex(text) | Self::Lark(text)) = self;
        if text.len() > MAX_BYTES {
            return Err(refuse(format!("it has {} bytes, more than the limit of {MAX_BYTES}", text.len())));
        }
        Ok(match self {
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(compact(schema)?),
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::Lark(lark) => TopLevelGrammar::from_lark(lark.clone()),
        })
    }
}

/// A schema that says how blanks are written.
fn compact(schema: &str) -> Result<Value, TextError> {
    let mut schema: Value =
        serde_json::from_str(schema).map_err(|error| refuse(format!("the schema is not JSON: {error}")))?;
    if schema == Value::Bool(true) {
        schema = Value::Object(Map::new());
    }
    if let Some(schema) = schema.as_object_mut() {
        let blanks = serde_json::json!({
            "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false,
        });
        schema.entry("x-guidance").or_insert(blanks);
    }
    Ok(schema)
}

/// Makes constraints for the texts of one model.
///
/// ```
/// use tiny_vlm_text::{Grammar, GrammarCompiler, Tokenizer};
///
/// let json = r#"{
///     "added_tokens": [{"id": 3, "content": "<end>", "special": true}],
///     "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
///     "decoder": {"type": "ByteLevel"},
///     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
/// }"#;
/// let tokenizer = Tokenizer::from_json(json.as_bytes())?;
/// let compiler = GrammarCompiler::new(&tokenizer, 5, &[3])?;
/// let mut constraint = compiler.compile(&Grammar::Regex("(ab)+".into()))?;
/// constraint.accept(0)?;
/// let mut logits = [1.0; 5];
/// constraint.restrict(&mut logits)?; // after "a" comes "b", which no other token begins with
/// assert_eq!(logits, [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY]);
/// # Ok::<(), tiny_vlm_text::TextError>(())
/// ```
pub struct GrammarCompiler {
    factory: ParserFactory,
}

impl GrammarCompiler {
    /// For a model that gives scores to `vocab` tokens, of which those in `ends` end a text.
    ///
    /// # Errors
    /// If no token of the vocabulary ends a text.
    pub fn new(tokenizer: &Tokenizer, vocab: usize, ends: &[u32]) -> Result<Self, TextError> {
        let ends: Vec<u32> = ends.iter().copied().filter(|&end| (end as usize) < vocab).collect();
        let (Some(&end), Ok(size)) = (ends.first(), u32::try_from(vocab)) else {
            return Err(refuse("no token of the model ends a text".into()));
        };
        let word = |id: u32| match tokenizer.token_bytes(id) {
            Some(bytes) if tokenizer.is_special(id) => [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat(),
            bytes => bytes.unwrap_or_default().to_vec(),
        };
        let words: Vec<Vec<u8>> = (0..size).map(word).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, end), &words).with_eos_tokens(&ends);
        let vocabulary: Arc<dyn TokenizerEnv + Sync> =
            Arc::new(Vocabulary { trie, tokenizer: tokenizer.clone() });
        let mut factory = ParserFactory::new_simple(&vocabulary).map_err(refusal)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// The constraint that keeps a text to `grammar`, before its first token.
    ///
    /// # Errors
    /// If the grammar is none, asks for what is not supported, or is too large; the message says which.
    pub fn compile(&self, grammar: &Grammar) -> Result<Constraint, TextError> {
        let parser = self.factory.create_parser(grammar.parse()?).map_err(refusal)?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(error) => Err(refuse(one_line(&error))),
            None => Ok(Constraint { matcher }),
        }
    }
}

/// A text that must keep to a grammar, as far as it has come.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
}

impl Constraint {
    /// Sets the logits of all tokens that may not come next to −∞. When the text is complete, only its end may.
    ///
    /// # Errors
    /// If finding them takes more than a grammar may.
    pub fn restrict(&mut self, logits: &mut [f32]) -> Result<(), TextError> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(refusal)?;
        for (id, logit) in (0..).zip(logits) {
            if id >= allowed.len() || !allowed.is_allowed(id as TokenId) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Lets a token enter the text.
    ///
    /// # Errors
    /// If it may not come here.
    pub fn accept(&mut self, id: u32) -> Result<(), TextError> {
        match self.matcher.is_stopped() {
            true => Ok(()),
            false => self.matcher.consume_token(id).map_err(refusal),
        }
    }
}

/// The vocabulary as llguidance sees it.
struct Vocabulary {
    trie: TokTrie,
    tokenizer: Tokenizer,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.tokenizer.encode(text),
            Err(_) => self.trie.greedy_tokenize(bytes),
        }
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

fn refuse(detail: String) -> TextError {
    TextError::Grammar(detail)
}

fn refusal(error: impl std::fmt::Display) -> TextError {
    refuse(one_line(&error.to_string()))
}

/// What went wrong, on one line, without the trace that may follow it.
fn one_line(message: &str) -> String {
    let message = message.split("<backtrace>").next().unwrap_or_default();
    message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrammarCompiler").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte is a token; 256 ends a text, 257 is special.
    fn bytes() -> Tokenizer {
        let mut spelling: Vec<(char, usize)> = Vec::new();
        let mut next = 256;
        for byte in 0..=255_u8 {
            let plain = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let spelled = if plain { u32::from(byte) } else { next };
            next += u32::from(!plain);
            spelling.push((char::from_u32(spelled).unwrap(), byte.into()));
        }
        let vocab: Map<String, Value> =
            spelling.into_iter().map(|(c, id)| (c.to_string(), id.into())).collect();
        let json = serde_json::json!({
            "added_tokens": [
                {"id": 256, "content": "<end>", "special": true}, {"id": 257, "content": "<read>", "special": true},
            ],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocab, "merges": []},
        });
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    fn compiler() -> GrammarCompiler {
        GrammarCompiler::new(&bytes(), 260, &[256]).unwrap()
    }

    /// The text whose every token is the first allowed one of those liked most.
    fn write(grammar: Grammar, liked: &[u8]) -> String {
        let mut constraint = compiler().compile(&grammar).unwrap();
        let mut text = Vec::new();
        for _ in 0..200 {
            let mut logits = [0.0; 260];
            for (rank, &byte) in liked.iter().enumerate() {
                logits[usize::from(byte)] = 100.0 - rank as f32;
            }
            constraint.restrict(&mut logits).unwrap();
            let best = (0..260).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert!(logits[best] > f32::NEG_INFINITY, "nothing may follow {text:?}");
            constraint.accept(best as u32).unwrap();
            match best {
                256 => return String::from_utf8(text).unwrap(),
                byte => text.push(byte as u8),
            }
        }
        panic!("no end: {text:?}")
    }

    #[test]
    fn a_text_is_of_the_form_asked_for() {
        assert_eq!(write(Grammar::Regex("(yes|no)".into()), b"nxyz"), "no");
        assert_eq!(write(Grammar::Regex("[0-9]{3}-é".into()), b"8-"), "888-é");
        assert_eq!(write(Grammar::Lark("start: \"a\" b\nb: \"(\" b \")\" | \"c\"".into()), b"c)"), "ac");
        let schema = r#"{"type": "object", "required": ["count", "name"], "additionalProperties": false,
            "properties": {"count": {"type": "integer", "minimum": 1, "maximum": 9},
                           "name": {"enum": ["cat", "dog"]}}}"#;
        assert_eq!(write(Grammar::JsonSchema(schema.into()), b"47 dc"), r#"{"count": 4, "name": "dog"}"#);
    }

    #[test]
    fn a_grammar_that_is_none_is_refused_with_the_reason() {
        let long = "a".repeat(MAX_BYTES + 1);
        for (grammar, reason) in [
            (Grammar::JsonSchema("{".into()), "not JSON"),
            (Grammar::JsonSchema(r#"{"type": "thing"}"#.into()), "thing"),
            (Grammar::Regex("(".into()), "unclosed"),
            (Grammar::Lark("start: nothing".into()), "nothing"),
            (Grammar::Regex(long), "more than the limit"),
            (Grammar::JsonSchema("[".repeat(100_000)), "recursion limit"),
        ] {
            let error = compiler().compile(&grammar).unwrap_err().to_string();
            assert!(error.starts_with("grammar: ") && error.contains(reason), "{error}");
            assert!(error.len() < 2000 && !error.contains('\n'), "{error}");
        }
        assert!(GrammarCompiler::new(&bytes(), 260, &[]).is_err());
        assert!(GrammarCompiler::new(&bytes(), 200, &[256]).is_err());
    }

    #[test]
    fn a_grammar_of_enormous_counts_is_not_written_out() {
        let mut constraint = compiler().compile(&Grammar::Regex("((a{1000}){1000}){1000}".into())).unwrap();
        let mut logits = [0.0; 260];
        constraint.restrict(&mut logits).unwrap();
        assert_eq!(logits.iter().filter(|&&logit| logit == 0.0).count(), 1);
    }

    #[test]
    fn a_token_that_may_not_come_is_an_error_and_special_ones_never_may() {
        let mut constraint = compiler().compile(&Grammar::Regex(".*".into())).unwrap();
        let mut logits = [0.0; 260];
        constraint.restrict(&mut logits).unwrap();
        assert_eq!([logits[256], logits[257], logits[258]], [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        assert!(compiler().compile(&Grammar::Regex("a".into())).unwrap().accept(b'b'.into()).is_err());
    }
}

//! Strings to tokens to strings: byte-level BPE tokenizers, chat templates, streaming detokenisation.
//!
//! A [`Tokenizer`] is made from a Hugging Face `tokenizer.json`, from `vocab.json` and `merges.txt`, or from
//! the compiled form that it writes itself, which opens without being built. On the files it accepts it
//! gives the tokens that the `tokenizers` library gives; what it does not know is an error that says so. A
//! [`ChatTemplate`] writes a conversation down without letting what people wrote become control tokens.
//!
//! ```
//! use tiny_vlm_text::Tokenizer;
//!
//! let json = r#"{
//!     "added_tokens": [{"id": 4, "content": "<end>", "special": true}],
//!     "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
//!     "decoder": {"type": "ByteLevel"},
//!     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<": 3}, "merges": [["a", "b"]]}
//! }"#;
//! let tokenizer = Tokenizer::from_json(json.as_bytes())?;
//! assert_eq!(tokenizer.encode("abba"), [2, 1, 0]);
//! assert_eq!(tokenizer.encode_with_specials("ab<end>"), [2, 4]);
//! assert_eq!(tokenizer.decode(&[2, 1, 4]), "abb");
//!
//! let mut stream = tokenizer.decode_stream();
//! assert_eq!(stream.push(2), "ab");
//! assert_eq!(stream.finish(), "");
//!
//! let again = Tokenizer::from_bytes(tokenizer.to_bytes())?;
//! assert_eq!(again.encode("b"), [1]);
//! # Ok::<(), tiny_vlm_text::TextError>(())
//! ```
#![forbid(unsafe_code)]

mod added;
mod byte_level;
mod chat;
mod clean;
mod compile;
mod decode;
mod error;
mod flat;
#[cfg(feature = "grammar")]
mod grammar;
mod json;
mod lists;
mod merge;
mod older;
mod pattern;
mod split;
mod tokenizer;
mod unicode;

pub use added::AddedToken;
pub use chat::{ChatTemplate, Content, Message, Part, Piece};
pub use clean::{Cleaned, clean};
pub use decode::DecodeStream;
pub use error::TextError;
#[cfg(feature = "grammar")]
pub use grammar::{Constraint, Grammar, GrammarCompiler};
pub use lists::TokenLists;
pub use older::OlderFiles;
pub use pattern::Pattern;
pub use tokenizer::Tokenizer;

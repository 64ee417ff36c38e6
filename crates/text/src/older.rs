//! The files that tokenizers were kept in before `tokenizer.json`, and what they leave to the class that reads them.

use serde::Deserialize;

use crate::{AddedToken, Pattern, TextError, Tokenizer};

/// A tokenizer's files by what they hold.
#[derive(Clone, Copy, Debug)]
pub struct OlderFiles<'a> {
    /// `vocab.json`: tokens and their numbers.
    pub vocab: &'a [u8],
    /// `merges.txt`: pairs that merge, one a line.
    pub merges: &'a [u8],
    /// `tokenizer_config.json`, which names the class and lists added tokens.
    pub config: &'a [u8],
    /// `added_tokens.json`, which lists them where the configuration does not.
    pub added: Option<&'a [u8]>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    tokenizer_class: String,
    #[serde(default)]
    added_tokens_decoder: Option<serde::de::IgnoredAny>,
}

impl Tokenizer {
    /// Reads `vocab.json` and `merges.txt` as the class that `tokenizer_config.json` names does: `Qwen2Tokenizer` splits by
    /// [`Pattern::Qwen2`] and normalizes to NFC.
    ///
    /// ```
    /// use tiny_vlm_text::{OlderFiles, Tokenizer};
    ///
    /// let tokenizer = Tokenizer::from_older_files(OlderFiles {
    ///     vocab: br#"{"a": 0, "b": 1, "ab": 2}"#,
    ///     merges: b"#version: 0.2\na b\n",
    ///     config: br#"{"tokenizer_class": "Qwen2Tokenizer"}"#,
    ///     added: Some(br#"{"<end>": 3}"#),
    /// })?;
    /// assert_eq!(tokenizer.encode_with_specials("abb<end>"), [2, 1, 3]);
    /// # Ok::<(), tiny_vlm_text::TextError>(())
    /// ```
    pub fn from_older_files(files: OlderFiles<'_>) -> Result<Self, TextError> {
        let config: Config = serde_json::from_slice(files.config)
            .map_err(|source| TextError::Json { file: "tokenizer_config.json", source })?;
        match config.tokenizer_class.as_str() {
            "Qwen2Tokenizer" | "Qwen2TokenizerFast" => {}
            other => {
                return Err(TextError::unsupported(
                    "tokenizer without tokenizer.json",
                    other,
                    "Qwen2Tokenizer",
                ));
            }
        }
        let added = match (config.added_tokens_decoder, files.added) {
            (Some(_), _) => AddedToken::list_from_json(files.config)?,
            (None, Some(added)) => AddedToken::list_from_json(added)?,
            (None, None) => Vec::new(),
        };
        let merges = std::str::from_utf8(files.merges)
            .map_err(|_| TextError::Merge { index: 0, reason: "merges.txt is not UTF-8".into() })?;
        Self::from_vocab_and_merges(files.vocab, merges, Pattern::Qwen2, true, added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vocab: &str, merges: &[u8], config: &str) -> Result<Tokenizer, String> {
        let files =
            OlderFiles { vocab: vocab.as_bytes(), merges, config: config.as_bytes(), added: Some(b"{}") };
        Tokenizer::from_older_files(files).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_known_is_named() {
        let qwen2 = r#"{"tokenizer_class": "Qwen2TokenizerFast"}"#;
        assert!(read(r#"{"a": 0}"#, b"", qwen2).is_ok());
        let error = |vocab, merges: &[u8], config| read(vocab, merges, config).unwrap_err();
        assert!(error("{}", b"", r#"{"tokenizer_class": "T5Tokenizer"}"#).contains("T5Tokenizer"));
        assert!(error("{}", b"", "{}").contains("tokenizer.json"));
        assert!(error("{}", b"", "3").contains("tokenizer_config.json"));
        assert!(error("[]", b"", qwen2).contains("vocab.json"));
        assert!(error(r#"{"a": 0}"#, b"\xff", qwen2).contains("UTF-8"));
        assert!(error(r#"{"a": 0}"#, b"a b", qwen2).contains("merge 0"));
    }

    #[test]
    fn the_configuration_s_added_tokens_count_for_more() {
        let config =
            r#"{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": {"1": {"content": "<b>"}}}"#;
        let files =
            OlderFiles { vocab: br#"{"a": 0}"#, merges: b"", config: config.as_bytes(), added: Some(b"[") };
        let tokenizer = Tokenizer::from_older_files(files).unwrap();
        assert_eq!(tokenizer.encode_with_specials("a<b>"), [0, 1]);
    }
}

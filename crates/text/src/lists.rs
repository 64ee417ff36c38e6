//! Tokenizers of which no `tokenizer.json` tells: GGUF files list tokens and merges, and name the rest.

use crate::{
    added::AddedToken, compile::Parts, error::TextError, pattern::Pattern, split::Step, tokenizer::Tokenizer,
};

/// What makes a byte-level BPE tokenizer.
#[derive(Clone, Debug)]
pub struct TokenLists {
    /// Tokens made by merging, in GPT-2's byte spelling, with their ids.
    pub vocabulary: Vec<(String, u32)>,
    /// Pairs that merge, earliest first: two tokens with a space between.
    pub merges: Vec<String>,
    /// Tokens that are found whole.
    pub added: Vec<AddedToken>,
    /// How text is split into words.
    pub pattern: Pattern,
    /// Whether each digit stands alone.
    pub digits: bool,
    /// Whether text is normalized to NFC.
    pub nfc: bool,
    /// Whether a word that is a token is not taken apart.
    pub ignore_merges: bool,
}

impl Tokenizer {
    /// A tokenizer of listed tokens.
    ///
    /// ```
    /// use tiny_vlm_text::{Pattern, TokenLists, Tokenizer};
    ///
    /// let lists = TokenLists {
    ///     vocabulary: ["a", "b", "ab", "1"].iter().map(|t| t.to_string()).zip(0..).collect(),
    ///     merges: vec!["a b".to_owned()],
    ///     added: Vec::new(),
    ///     pattern: Pattern::Gpt2,
    ///     digits: true,
    ///     nfc: false,
    ///     ignore_merges: false,
    /// };
    /// assert_eq!(Tokenizer::from_lists(lists)?.encode("ab11b"), [2, 3, 3, 1]);
    /// # Ok::<(), tiny_vlm_text::TextError>(())
    /// ```
    ///
    /// # Errors
    /// If two tokens have one id or one spelling, or a merge is of no tokens.
    pub fn from_lists(lists: TokenLists) -> Result<Self, TextError> {
        let count = lists.vocabulary.len();
        let vocabulary: std::collections::HashMap<String, u32> = lists.vocabulary.into_iter().collect();
        if vocabulary.len() < count {
            return Err(TextError::Vocabulary("two tokens are spelled alike".to_owned()));
        }
        let merges = lists.merges.iter().enumerate().map(|(index, line)| match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => {
                let line: String = line.chars().take(80).collect();
                Err(TextError::Merge { index, reason: format!("`{line}` is not a pair of tokens") })
            }
        });
        let digits = lists.digits.then_some(Step::Digits { individual: true });
        let parts = Parts {
            vocabulary,
            merges: merges.collect::<Result<_, _>>()?,
            added: lists.added,
            steps: digits.into_iter().chain([Step::Words(lists.pattern)]).collect(),
            nfc: lists.nfc,
            ignore_merges: lists.ignore_merges,
            ..Parts::default()
        };
        Self::from_bytes(parts.compile()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_contradict_themselves_are_errors() {
        let lists = |tokens: &[(&str, u32)], merge: &str| TokenLists {
            vocabulary: tokens.iter().map(|&(token, id)| (token.to_owned(), id)).collect(),
            merges: vec![merge.to_owned()],
            added: Vec::new(),
            pattern: Pattern::Gpt2,
            digits: false,
            nfc: false,
            ignore_merges: false,
        };
        let fails = |tokens, merge| Tokenizer::from_lists(lists(tokens, merge)).is_err();
        let whole = [("a", 0), ("b", 1), ("ab", 2)];
        assert!(!fails(&whole, "a b"));
        assert!(fails(&whole, "a"));
        assert!(fails(&whole, "a b c"));
        assert!(fails(&whole, "b a"));
        assert!(fails(&[("a", 0), ("b", 0), ("ab", 2)], "a b"));
        assert!(fails(&[("a", 0), ("a", 1), ("b", 3), ("ab", 2)], "a b"));
        assert!(fails(&[], "a b"));
    }
}

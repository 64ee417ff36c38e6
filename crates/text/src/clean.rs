//! What is removed from user text before it is tokenized.

use std::borrow::Cow;

/// Text without control characters, and how many were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned<'a> {
    /// The text, borrowed when nothing had to go.
    pub text: Cow<'a, str>,
    /// How many characters were dropped; worth a note to the user when not 0.
    pub dropped: usize,
}

/// Drops control characters (Unicode category Cc, NUL among them), keeping tab, line feed and carriage
/// return, which text has a use for.
///
/// Nothing else is changed: letters that merely look odd, and special tokens spelled out, are plain text to
/// [`Tokenizer::encode`](crate::Tokenizer::encode).
///
/// ```
/// let cleaned = tiny_vlm_text::clean("what\0 is\tthis?\u{1b}");
/// assert_eq!((&*cleaned.text, cleaned.dropped), ("what is\tthis?", 2));
/// ```
pub fn clean(text: &str) -> Cleaned<'_> {
    let dropped = text.chars().filter(|&c| is_dropped(c)).count();
    let text = match dropped {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(text.chars().filter(|&c| !is_dropped(c)).collect()),
    };
    Cleaned { text, dropped }
}

fn is_dropped(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_text_is_borrowed() {
        let cleaned = clean("¿Qué es esto?\r\n\t何ですか");
        assert!(matches!(cleaned.text, Cow::Borrowed(_)));
        assert_eq!(cleaned.dropped, 0);
    }

    #[test]
    fn c0_c1_and_delete_go() {
        let all: String = (0..0x100u32).filter_map(char::from_u32).collect();
        let cleaned = clean(&all);
        assert_eq!(cleaned.dropped, 32 - 3 + 33);
        assert!(cleaned.text.starts_with("\t\n\r !"));
    }
}

//! Cutting text into the pieces within which merging happens.

use std::borrow::Cow;

use crate::pattern::Pattern;

/// One step of a pre-tokenizer, applied to every piece the steps before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Numeric characters become pieces of their own: one by one, or run by run.
    Digits { individual: bool },
    /// A piece that does not begin with a space gets one.
    PrefixSpace,
    /// The words of a pattern.
    Words(Pattern),
}

/// Calls `piece` with each piece of `text`, in order.
pub(crate) fn split(steps: &[Step], text: &str, piece: &mut dyn FnMut(&str)) {
    if text.is_empty() {
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        return piece(text);
    };
    match *step {
        Step::Digits { individual } => {
            let mut remaining = text;
            while let Some(first) = remaining.chars().next() {
                let numeric = first.is_numeric();
                let end = match numeric && individual {
                    true => first.len_utf8(),
                    false => remaining.find(|c: char| c.is_numeric() != numeric).unwrap_or(remaining.len()),
                };
                let (part, tail) = remaining.split_at(end);
                split(rest, part, piece);
                remaining = tail;
            }
        }
        Step::PrefixSpace => {
            let text = match text.starts_with(' ') {
                true => Cow::Borrowed(text),
                false => Cow::Owned(format!(" {text}")),
            };
            split(rest, &text, piece);
        }
        Step::Words(pattern) => {
            for word in pattern.words(text) {
                split(rest, word, piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(steps: &[Step], text: &str) -> Vec<String> {
        let mut out = Vec::new();
        split(steps, text, &mut |piece| out.push(piece.to_owned()));
        out
    }

    #[test]
    fn digits_end_the_pieces_that_words_see() {
        let steps = [Step::Digits { individual: true }, Step::Words(Pattern::Gpt2)];
        assert_eq!(pieces(&steps, "a  12 b"), ["a", "  ", "1", "2", " b"]);
        let steps = [Step::Digits { individual: false }];
        assert_eq!(pieces(&steps, "a12b3"), ["a", "12", "b", "3"]);
    }

    #[test]
    fn prefix_space_is_added_once() {
        let steps = [Step::PrefixSpace, Step::Words(Pattern::Gpt2)];
        assert_eq!(pieces(&steps, "a b"), [" a", " b"]);
        assert_eq!(pieces(&steps, " a b"), [" a", " b"]);
        assert!(pieces(&steps, "").is_empty());
    }
}

//! The regular expressions that cut text into words before merging, as matchers written by hand.
//!
//! A tokenizer file states its expression as a string. The published models use three, each a choice that
//! covers every character, so a matcher only has to say how long the word at the front of the text is. They
//! are selected by comparing the string; a general engine would cost more than the rest of this crate.

use crate::unicode::{Class, class};

/// A splitting expression this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// GPT-2's, also the `use_regex` of the `ByteLevel` pre-tokenizer.
    Gpt2,
    /// Qwen2's: contractions in any case, letters take one leading character, digits one by one.
    Qwen2,
    /// Llama 3's: as Qwen2's, with up to three digits together.
    Llama3,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Pattern {
    /// The pattern whose regular expression is exactly `regex`.
    pub fn from_regex(regex: &str) -> Option<Self> {
        [Self::Gpt2, Self::Qwen2, Self::Llama3].into_iter().find(|pattern| pattern.regex() == regex)
    }

    /// The regular expression, as tokenizer files spell it.
    pub fn regex(self) -> &'static str {
        match self {
            Self::Gpt2 => GPT2,
            Self::Qwen2 => QWEN2,
            Self::Llama3 => LLAMA3,
        }
    }

    /// Cuts `text` into words; together they are the whole text.
    pub fn words(self, text: &str) -> impl Iterator<Item = &str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let length = match self {
                Self::Gpt2 => gpt2_word(rest, first),
                Self::Qwen2 => qwen2_word(rest, first, 1),
                Self::Llama3 => qwen2_word(rest, first, 3),
            };
            let (word, tail) = rest.split_at(length);
            rest = tail;
            Some(word)
        })
    }
}

/// Length in bytes of the word that `text`, which begins with `first`, begins with.
fn gpt2_word(text: &str, first: char) -> usize {
    if first == '\''
        && let Some(length) = contraction(text, |c| c)
    {
        return length;
    }
    // ` ?\p{L}+`, ` ?\p{N}+` and ` ?[^\s\p{L}\p{N}]+`: the run of whatever class follows the space.
    let lead = usize::from(first == ' ');
    if let Some(kind) = text[lead..].chars().next().map(class)
        && kind != Class::Space
    {
        return lead + run(&text[lead..], |c| class(c) == kind);
    }
    space_word(text)
}

/// As [`gpt2_word`], for the Qwen2 family; numbers come in groups of up to `digits`.
fn qwen2_word(text: &str, first: char, digits: usize) -> usize {
    if first == '\''
        && let Some(length) = contraction(text, fold_case)
    {
        return length;
    }
    let kind = class(first);
    let second = text[first.len_utf8()..].chars().next();
    // `[^\r\n\p{L}\p{N}]?\p{L}+`
    if kind == Class::Letter {
        return run(text, is_letter);
    }
    if kind != Class::Number && !is_newline(first) && second.is_some_and(is_letter) {
        return first.len_utf8() + run(&text[first.len_utf8()..], is_letter);
    }
    // `\p{N}{1,digits}`
    if kind == Class::Number {
        return text
            .chars()
            .take(digits)
            .take_while(|&c| class(c) == Class::Number)
            .map(char::len_utf8)
            .sum();
    }
    // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
    let lead = usize::from(first == ' ');
    let marks = run(&text[lead..], |c| class(c) == Class::Other);
    if marks > 0 {
        let end = lead + marks;
        return end + run(&text[end..], is_newline);
    }
    // `\s*[\r\n]+`: up to the last line end of the run.
    let spaces = run(text, is_space);
    match text[..spaces].rfind(['\r', '\n']) {
        Some(last) => last + 1,
        None => space_word(text),
    }
}

/// `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word that follows, unless it is alone.
fn space_word(text: &str) -> usize {
    let length = run(text, is_space);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length == text.len() || length == last { length } else { length - last }
}

/// `'s|'t|'re|'ve|'m|'ll|'d`, on characters passed through `fold`.
fn contraction(text: &str, fold: impl Fn(char) -> char) -> Option<usize> {
    let mut chars = text.chars().skip(1);
    let first = chars.next()?;
    let one = 1 + first.len_utf8();
    match fold(first) {
        's' | 't' | 'm' | 'd' => Some(one),
        start @ ('r' | 'v' | 'l') => {
            let second = chars.next()?;
            let wanted = if start == 'l' { 'l' } else { 'e' };
            (fold(second) == wanted).then(|| one + second.len_utf8())
        }
        _ => None,
    }
}

/// Simple case folding, as far as the contractions' letters go: the long s is an s.
fn fold_case(c: char) -> char {
    if c == 'ſ' { 's' } else { c.to_ascii_lowercase() }
}

fn run(text: &str, mut belongs: impl FnMut(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn is_letter(c: char) -> bool {
    class(c) == Class::Letter
}

fn is_space(c: char) -> bool {
    class(c) == Class::Space
}

fn is_newline(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pattern: Pattern, text: &str) -> Vec<&str> {
        pattern.words(text).collect()
    }

    #[test]
    fn gpt2_words() {
        let words = |text| words(Pattern::Gpt2, text);
        assert_eq!(
            words("Hello  world's 12 cats!? \n"),
            ["Hello", " ", " world", "'s", " 12", " cats", "!?", " \n"]
        );
        assert_eq!(words("x'S we'LL"), ["x", "'", "S", " we", "'", "LL"]);
        assert_eq!(words("a\n\nb\tc"), ["a", "\n", "\n", "b", "\t", "c"]);
        assert_eq!(words("   "), ["   "]);
        assert!(words("").is_empty());
    }

    #[test]
    fn qwen2_words() {
        let words = |text| words(Pattern::Qwen2, text);
        assert_eq!(
            words("It'S 2024,\r\n\n  ok"),
            ["It", "'S", " ", "2", "0", "2", "4", ",\r\n\n", " ", " ok"]
        );
        assert_eq!(words("a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(words("(word) \tx"), ["(word", ")", " ", "\tx"]);
        assert_eq!(words("'ſx 'REx"), ["'ſ", "x", " '", "REx"]);
    }

    #[test]
    fn llama3_digits() {
        assert_eq!(words(Pattern::Llama3, "12345 6"), ["123", "45", " ", "6"]);
    }

    #[test]
    fn words_are_the_whole_text() {
        let text = "\u{3000}¿Qué?\u{a0}1²３\u{301}e\r\r\n '' \u{1f}🙂🙂 ";
        for pattern in [Pattern::Gpt2, Pattern::Qwen2, Pattern::Llama3] {
            assert_eq!(words(pattern, text).concat(), text);
            assert_eq!(Pattern::from_regex(pattern.regex()), Some(pattern));
        }
    }
}

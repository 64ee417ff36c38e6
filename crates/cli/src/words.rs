//! Every word that the command says, in six languages, and how a message is put together.
//!
//! The tables lie in the submodules, one entry a key: errors are keyed by their stable code. `{name}` in a
//! text stands for a particular of the message. A test holds the languages to the same particulars.

mod bench;
mod errors;
mod help;
mod hub;
mod labels;

use tiny_vlm::Lang;

/// One table row: the key, then English, Spanish, French, German, Japanese, Chinese.
type Entry = (&'static str, [&'static str; 6]);

fn tables() -> impl Iterator<Item = &'static Entry> {
    errors::ERRORS.iter().chain(bench::BENCH).chain(hub::HUB).chain(help::HELP).chain(labels::LABELS)
}

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    lang: Lang,
}

impl Words {
    pub(crate) fn new(lang: Lang) -> Self {
        Self { lang }
    }

    pub(crate) fn lang(self) -> Lang {
        self.lang
    }

    /// The text of `key`, or nothing where no table has it.
    pub(crate) fn find(self, key: &str) -> Option<&'static str> {
        tables().find(|(name, _)| *name == key).map(|(_, texts)| texts[self.lang.index()])
    }

    /// The text of a key that is in the tables.
    pub(crate) fn get(self, key: &'static str) -> &'static str {
        self.find(key).unwrap_or(key)
    }

    /// The text of `key` with its particulars filled in.
    pub(crate) fn say(self, key: &'static str, particulars: &[(&str, &str)]) -> String {
        fill(self.get(key), |name| {
            particulars.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }
}

/// Replaces each `{name}` by what `value` says of it; braces around anything else stay.
fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}').and_then(|(name, tail)| Some((value(name)?, tail))) {
            Some((filled, tail)) => {
                out.push_str(&printable(&filled));
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Text that came from outside, made fit for a terminal: no control characters, no more than a screen' worth.
pub(crate) fn printable(text: &str) -> String {
    const MAX: usize = 4000;
    let mut out: String = text.chars().take(MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use tiny_vlm::Error;

    use super::*;

    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
    }

    #[test]
    fn every_entry_is_complete_and_single() {
        let mut seen = BTreeMap::new();
        for (key, texts) in tables() {
            assert!(seen.insert(key, ()).is_none(), "{key} twice");
            for (lang, text) in Lang::ALL.iter().zip(texts) {
                assert!(!text.trim().is_empty(), "{key} says nothing in {lang}");
                assert_eq!(names(text), names(texts[0]), "{key} in {lang}");
            }
        }
    }

    #[test]
    fn every_error_of_the_library_has_words() {
        for code in Error::CODES {
            assert!(Words::new(Lang::En).find(code).is_some(), "no words for {code}");
        }
    }

    #[test]
    fn particulars_are_filled_in_and_made_printable() {
        let value = |name: &str| (name == "a").then(|| "1\u{1b}[31m".to_owned());
        assert_eq!(fill("{a} and {b} {", value), "1 [31m and {b} {");
        assert_eq!(fill("plain", value), "plain");
    }
}

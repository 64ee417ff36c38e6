//! The languages that answers, captions and messages come in.

use std::{fmt, str::FromStr};

/// One of the six languages that nano answers in and that the doors speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// German.
    De,
    /// Japanese.
    Ja,
    /// Chinese.
    Zh,
}

impl Lang {
    /// All of them, in the order of the tables of words.
    pub const ALL: [Self; 6] = [Self::En, Self::Es, Self::Fr, Self::De, Self::Ja, Self::Zh];

    /// The two letters of ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
            Self::Fr => "fr",
            Self::De => "de",
            Self::Ja => "ja",
            Self::Zh => "zh",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }

    /// The language of a tag or a locale, of which only the part before the first `-`, `_`, `.` or `@` counts:
    /// `fr`, `fr-CA` and `fr_FR.UTF-8` are all French.
    ///
    /// ```
    /// use tiny_vlm_models::Lang;
    ///
    /// assert_eq!(Lang::from_tag("zh-Hans"), Some(Lang::Zh));
    /// assert_eq!(Lang::from_tag("tlh"), None);
    /// ```
    pub fn from_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_', '.', '@']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|lang| language.eq_ignore_ascii_case(lang.code()))
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A language that is none of the six.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {0:?} (known: en, es, fr, de, ja, zh)")]
pub struct UnknownLang(pub String);

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(tag: &str) -> Result<Self, UnknownLang> {
        Self::from_tag(tag).ok_or_else(|| UnknownLang(tag.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_codes_agree() {
        for (i, lang) in Lang::ALL.into_iter().enumerate() {
            assert_eq!(lang.index(), i);
            assert_eq!(lang.code().parse(), Ok(lang));
        }
    }

    #[test]
    fn locales() {
        assert_eq!(Lang::from_tag("fr_FR.UTF-8"), Some(Lang::Fr));
        assert_eq!(Lang::from_tag("DE"), Some(Lang::De));
        for none in ["", "C", "POSIX", "C.UTF-8", "english", "_fr"] {
            assert_eq!(Lang::from_tag(none), None, "{none:?}");
        }
    }
}

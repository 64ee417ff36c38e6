//! The character classes that the splitting patterns are written in: `\p{L}`, `\p{N}`, `\s` and the rest.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Which of the four disjoint classes a character is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[^\s\p{L}\p{N}]`
    Other,
}

#[inline]
pub(crate) fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Number,
        ' ' | '\t'..='\r' => Class::Space,
        _ if c.is_ascii() => Class::Other,
        _ => class_beyond_ascii(c),
    }
}

fn class_beyond_ascii(c: char) -> Class {
    if c.is_whitespace() {
        return Class::Space;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Class::Letter,
        GeneralCategoryGroup::Number => Class::Number,
        _ => Class::Other,
    }
}

/// `\w`: what an added token marked `single_word` may not touch.
pub(crate) fn is_word(c: char) -> bool {
    use unicode_properties::GeneralCategory::ConnectorPunctuation;
    c.is_alphanumeric()
        || c.general_category_group() == GeneralCategoryGroup::Mark
        || c.general_category() == ConnectorPunctuation
        || matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (c, expected) in [
            ('a', Class::Letter),
            ('é', Class::Letter),
            ('何', Class::Letter),
            ('ー', Class::Letter),
            ('7', Class::Number),
            ('²', Class::Number),
            ('Ⅷ', Class::Number),
            ('٣', Class::Number),
            ('\u{a0}', Class::Space),
            ('\u{3000}', Class::Space),
            ('\u{85}', Class::Space),
            ('\u{b}', Class::Space),
            ('\u{1c}', Class::Other),
            ('_', Class::Other),
            ('\u{301}', Class::Other),
            ('Ⓐ', Class::Other),
            ('🙂', Class::Other),
        ] {
            assert_eq!(class(c), expected, "{c:?}");
        }
    }
}

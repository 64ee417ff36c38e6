//! Making a question fit to be tokenized: caps, control characters, emptiness.

use tiny_vlm_text::clean;

use crate::{Error, Note};

/// The question without control characters and without white space around it; a note says what was left out.
pub(crate) fn prepare(question: &str, max_bytes: usize, notes: &mut Vec<Note>) -> Result<String, Error> {
    if question.len() > max_bytes {
        return Err(Error::QuestionTooLarge { bytes: question.len(), limit: max_bytes });
    }
    let cleaned = clean(question);
    let text = cleaned.text.trim();
    if text.is_empty() {
        return Err(Error::QuestionEmpty);
    }
    if cleaned.dropped > 0 {
        notes.push(Note::ControlCharacters { count: cleaned.dropped });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_dropped_with_a_note() {
        let mut notes = Vec::new();
        assert_eq!(prepare(" What\0 is\u{7} this? \n", 100, &mut notes).unwrap(), "What is this?");
        assert_eq!(notes, [Note::ControlCharacters { count: 2 }]);
        notes.clear();
        assert_eq!(prepare("図は何？", 100, &mut notes).unwrap(), "図は何？");
        assert!(notes.is_empty());
    }

    #[test]
    fn empty_and_enormous_questions_are_errors() {
        let code = |question: &str| prepare(question, 1_000_000, &mut Vec::new()).unwrap_err().code();
        for empty in ["", "  \n", "\0\0", " \u{1b} "] {
            assert_eq!(code(empty), "question-empty");
        }
        assert_eq!(code(&"a".repeat(1_000_001)), "question-too-large");
        assert!(prepare(&"a".repeat(1_000_000), 1_000_000, &mut Vec::new()).is_ok());
    }
}

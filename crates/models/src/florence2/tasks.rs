//! What can be asked: a task by its token, the sentence that stands for it, and what its answer looks like.

use super::parse::Form;

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// What asks for it.
    pub(super) token: &'static str,
    /// What the model is asked, with `{}` for the particulars if it takes some.
    pub(super) sentence: &'static str,
    /// What the answer looks like.
    pub(super) form: Form,
}

const fn task(token: &'static str, sentence: &'static str, form: Form) -> Task {
    Task { token, sentence, form }
}

pub(super) const CAPTION: &str = "<CAPTION>";
pub(super) const DETECT: &str = "<OD>";
pub(super) const READ: &str = "<OCR_WITH_REGION>";

/// All tasks, those without particulars first: a question is the first one whose token it has.
pub(super) const TASKS: &[Task] = &[
    task("<OCR>", "What is the text in the image?", Form::Text),
    task(READ, "What is the text in the image, with regions?", Form::Quads),
    task(CAPTION, "What does the image describe?", Form::Text),
    task("<DETAILED_CAPTION>", "Describe in detail what is shown in the image.", Form::Text),
    task("<MORE_DETAILED_CAPTION>", "Describe with a paragraph what is shown in the image.", Form::Text),
    task(DETECT, "Locate the objects with category name in the image.", Form::Boxes),
    task("<DENSE_REGION_CAPTION>", "Locate the objects in the image, with their descriptions.", Form::Boxes),
    task("<REGION_PROPOSAL>", "Locate the region proposals in the image.", Form::BareBoxes),
    task("<CAPTION_TO_PHRASE_GROUNDING>", "Locate the phrases in the caption: {}", Form::Phrases),
    task("<REFERRING_EXPRESSION_SEGMENTATION>", "Locate {} in the image with mask", Form::Polygons),
    task("<REGION_TO_SEGMENTATION>", "What is the polygon mask of region {}", Form::Polygons),
    task("<OPEN_VOCABULARY_DETECTION>", "Locate {} in the image.", Form::BoxesOrPolygons),
    task("<REGION_TO_CATEGORY>", "What is the region {}?", Form::Text),
    task("<REGION_TO_DESCRIPTION>", "What does the region {} describe?", Form::Text),
    task("<REGION_TO_OCR>", "What text is in the region {}?", Form::Text),
];

/// The task of a question and what the model is asked; a question without a task is asked as it is, and the answer is
/// text. An error names the task that takes no particulars and was given some.
pub(super) fn prepare(question: &str) -> Result<(Option<&'static Task>, String), &'static str> {
    let Some(task) = TASKS.iter().find(|task| question.contains(task.token)) else {
        return Ok((None, question.to_owned()));
    };
    match task.sentence.split_once("{}") {
        None if question.trim() != task.token => Err(task.token),
        None => Ok((Some(task), task.sentence.to_owned())),
        Some((before, after)) => {
            let particulars = question.replace(task.token, "");
            Ok((Some(task), format!("{before}{}{after}", particulars.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(question: &str) -> (Option<&'static str>, String) {
        let (task, sentence) = prepare(question).unwrap();
        (task.map(|task| task.token), sentence)
    }

    #[test]
    fn tokens_choose_tasks() {
        assert_eq!(asked("<CAPTION>"), (Some("<CAPTION>"), "What does the image describe?".into()));
        assert_eq!(asked(" <OD>\n").0, Some("<OD>"));
        let (task, sentence) = asked("<CAPTION_TO_PHRASE_GROUNDING> a green car ");
        assert_eq!(task, Some("<CAPTION_TO_PHRASE_GROUNDING>"));
        assert_eq!(sentence, "Locate the phrases in the caption: a green car");
        let (_, sentence) = asked("<REGION_TO_CATEGORY><loc_1><loc_2><loc_3><loc_4>");
        assert_eq!(sentence, "What is the region <loc_1><loc_2><loc_3><loc_4>?");
        assert_eq!(asked("What is this?"), (None, "What is this?".into()));
        assert_eq!(prepare("<OD> of cats"), Err("<OD>"));
    }

    #[test]
    fn no_token_is_part_of_another() {
        for (place, task) in TASKS.iter().enumerate() {
            let first = TASKS.iter().position(|other| task.token.contains(other.token));
            assert_eq!(first, Some(place), "{}", task.token);
        }
    }
}

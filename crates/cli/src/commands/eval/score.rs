//! Judging an answer. `training/nano/evaluate.py` judges by the same rules.

use tiny_vlm::Lang;

use super::labels::{Label, Rule};

/// 1 for right and 0 for wrong; for print the share of wrong characters.
pub(crate) fn score(label: &Label, answer: &str) -> f64 {
    let said = plain(answer);
    let right = match &label.rule {
        Rule::OneOf(answers) => answers.iter().any(|accepted| plain(accepted) == said),
        Rule::Contains(answers) => answers.iter().any(|accepted| said.contains(&plain(accepted))),
        Rule::Caption(things) => caption(things, answer),
        Rule::Declines => said == plain(unknown(label.lang)),
        Rule::Answers => said != plain(unknown(label.lang)),
        Rule::Text(truth) => return edits(answer, truth) as f64 / truth.chars().count().max(1) as f64,
    };
    f64::from(u8::from(right))
}

/// How the embedded model declines.
fn unknown(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "I don't know.",
        Lang::Es => "No lo sé.",
        Lang::Fr => "Je ne sais pas.",
        Lang::De => "Ich weiß es nicht.",
        Lang::Ja => "わかりません。",
        Lang::Zh => "我不知道。",
    }
}

/// Text without what never counts.
fn plain(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', '。']).to_lowercase().replace('ß', "ss");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a caption names each thing with its place, in any order, and nothing else.
fn caption(things: &[(Vec<String>, String)], answer: &str) -> bool {
    let mut said = parts(answer);
    let all = things.iter().all(|(names, place)| {
        let place = plain(place);
        let fits = |(name, at): &(String, String)| *at == place && names.iter().any(|n| plain(n) == *name);
        said.iter().position(fits).map(|found| said.remove(found)).is_some()
    });
    all && said.is_empty()
}

/// A caption's names and places; the place of a thing by itself is empty.
fn parts(answer: &str) -> Vec<(String, String)> {
    let mut pieces: Vec<String> = Vec::new();
    // A comma parts two things where white space follows it; others belong to a name.
    for piece in answer.split(',') {
        match pieces.last_mut() {
            Some(last) if !piece.starts_with(char::is_whitespace) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => pieces.push(piece.to_owned()),
        }
    }
    let split = |piece: &String| {
        let piece = piece.trim();
        match piece.strip_suffix(')').and_then(|open| open.split_once(" (")) {
            Some((name, place)) => (plain(name), plain(place)),
            None => (plain(piece), String::new()),
        }
    };
    pieces.iter().map(split).collect()
}

/// Characters to insert, delete or replace until `a` is `b` (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rule: Rule, lang: Lang, answer: &str) -> f64 {
        let label = Label { image: String::new(), row: String::new(), lang, question: String::new(), rule };
        score(&label, answer)
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn names() {
        let rule = || Rule::OneOf(list(&["Fire engine", "fire truck"]));
        assert_eq!(judge(rule(), Lang::En, " fire  Truck. "), 1.0);
        assert_eq!(judge(rule(), Lang::En, "truck"), 0.0);
        assert_eq!(judge(rule(), Lang::En, "fire truck, dog"), 0.0);
        assert_eq!(judge(Rule::Contains(list(&["dog"])), Lang::En, "A dog!"), 1.0);
        assert_eq!(judge(Rule::OneOf(list(&["Straße"])), Lang::De, "STRASSE"), 1.0);
    }

    #[test]
    fn captions_in_any_order() {
        let rule =
            || Rule::Caption(vec![(list(&["dog"]), "left".into()), (list(&["apple"]), "right".into())]);
        assert_eq!(judge(rule(), Lang::En, "dog (left), apple (right)"), 1.0);
        assert_eq!(
            judge(rule(), Lang::En, "Apple (right), dog (left)."),
            0.0,
            "the full stop hides the place"
        );
        assert_eq!(judge(rule(), Lang::En, "apple (right), dog (left)"), 1.0);
        assert_eq!(judge(rule(), Lang::En, "dog (right), apple (left)"), 0.0);
        assert_eq!(judge(rule(), Lang::En, "dog (left)"), 0.0);
        assert_eq!(judge(rule(), Lang::En, "dog (left), apple (right), cat (middle)"), 0.0);
        let twice = Rule::Caption(vec![(list(&["dog"]), "left".into()), (list(&["dog"]), "left".into())]);
        assert_eq!(judge(twice, Lang::En, "dog (left)"), 0.0);
        assert_eq!(parts("a,b (x), c"), [("a,b".into(), "x".into()), ("c".into(), "".into())]);
    }

    #[test]
    fn declining() {
        assert_eq!(judge(Rule::Declines, Lang::Ja, "わかりません。"), 1.0);
        assert_eq!(judge(Rule::Declines, Lang::En, "apple"), 0.0);
        assert_eq!(judge(Rule::Answers, Lang::En, "apple"), 1.0);
        assert_eq!(judge(Rule::Answers, Lang::Fr, "je ne sais pas"), 0.0);
    }

    #[test]
    fn print_is_judged_by_its_wrong_characters() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("naïve", "naive"), 1);
        assert_eq!(judge(Rule::Text("abcd".into()), Lang::En, "abxd"), 0.25);
    }
}

//! A set of labelled images: a folder with a `labels.jsonl`, one question a line.
//!
//! ```json
//! {"image": "0001.png", "row": "naming", "lang": "en", "question": "What is this?", "answers": ["apple"], "score": "name"}
//! ```
//!
//! Only `image` and `question` must be there. What `answers` holds depends on `score`; see [`Rule`].

use std::{collections::HashMap, fs, path::Path};

use serde::Deserialize;
use tiny_vlm::Lang;

use crate::failure::Failure;

/// One question about one image, and how an answer to it is judged.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) image: String,
    pub(crate) row: String,
    pub(crate) lang: Lang,
    pub(crate) question: String,
    pub(crate) rule: Rule,
}

/// How an answer is judged. Letter case, white space and a last full stop never count.
#[derive(Debug, PartialEq)]
pub(crate) enum Rule {
    /// It is one of these (`name`, `exact`).
    OneOf(Vec<String>),
    /// It has one of these in it (`contains`).
    Contains(Vec<String>),
    /// It names each of these things, by any of its names, with its place, and nothing else (`caption`).
    Caption(Vec<(Vec<String>, String)>),
    /// It declines (`unknown`).
    Declines,
    /// It does not decline (`known`).
    Answers,
    /// It is this text, judged by the share of wrong characters (`text`).
    Text(String),
}

impl Rule {
    /// What the score counts for in its row: print counts by its characters, so that a row's score is its character
    /// error rate; all else counts alike.
    pub(crate) fn weight(&self) -> f64 {
        match self {
            Rule::Text(truth) => truth.chars().count().max(1) as f64,
            _ => 1.0,
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    image: String,
    question: String,
    #[serde(default)]
    row: String,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    answers: serde_json::Value,
    #[serde(default)]
    score: Option<String>,
}

/// Reads `labels.jsonl` in `folder`, at most `limit` questions of each row.
pub(crate) fn read(folder: &Path, limit: usize) -> Result<Vec<Label>, Failure> {
    let path = folder.join("labels.jsonl");
    let name = path.display().to_string();
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::input("set-read", &[("path", &name), ("reason", &error.to_string())]))?;
    let mut labels = Vec::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let label = parse(line).map_err(|reason| {
            let number = (number + 1).to_string();
            Failure::input("set-line", &[("path", &name), ("line", &number), ("reason", &reason)])
        })?;
        let count = counts.entry(label.row.clone()).or_default();
        if *count < limit {
            *count += 1;
            labels.push(label);
        }
    }
    match labels.is_empty() {
        true => Err(Failure::input("set-empty", &[("path", &name)])),
        false => Ok(labels),
    }
}

fn parse(line: &str) -> Result<Label, String> {
    let raw: Raw = serde_json::from_str(line).map_err(|error| error.to_string())?;
    // A set must not reach outside its folder.
    if Path::new(&raw.image).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(format!("image: {:?}", raw.image));
    }
    let lang = match &raw.lang {
        Some(tag) => tag.parse().map_err(|error: tiny_vlm::UnknownLang| error.to_string())?,
        None => Lang::En,
    };
    let row = if raw.row.is_empty() { "all".to_owned() } else { raw.row };
    let rule = rule(raw.score.as_deref().unwrap_or("exact"), raw.answers)?;
    Ok(Label { image: raw.image, row, lang, question: raw.question, rule })
}

fn rule(name: &str, answers: serde_json::Value) -> Result<Rule, String> {
    let strings =
        |value| serde_json::from_value::<Vec<String>>(value).map_err(|error| format!("answers: {error}"));
    Ok(match name {
        "name" | "exact" => Rule::OneOf(strings(answers)?),
        "contains" => Rule::Contains(strings(answers)?),
        "caption" => {
            Rule::Caption(serde_json::from_value(answers).map_err(|error| format!("answers: {error}"))?)
        }
        "unknown" => Rule::Declines,
        "known" => Rule::Answers,
        "text" => Rule::Text(strings(answers)?.into_iter().next().ok_or("answers: []")?),
        _ => return Err(format!("score: {name:?} (name, exact, contains, caption, unknown, known, text)")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read() {
        let rule = |score: &str, answers: &str| {
            parse(&format!(
                r#"{{"image": "a.png", "question": "?", "score": "{score}", "answers": {answers}}}"#
            ))
            .unwrap()
            .rule
        };
        assert_eq!(rule("name", r#"["a", "b"]"#), Rule::OneOf(vec!["a".into(), "b".into()]));
        assert_eq!(rule("unknown", "[]"), Rule::Declines);
        assert_eq!(rule("text", r#"["x\ny"]"#), Rule::Text("x\ny".into()));
        let caption = Rule::Caption(vec![(vec!["dog".into(), "hound".into()], "left".into())]);
        assert_eq!(rule("caption", r#"[[["dog", "hound"], "left"]]"#), caption);
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, part) in [
            ("nonsense", "expected"),
            (r#"{"image": "a.png"}"#, "question"),
            (r#"{"image": "../a.png", "question": "?", "answers": []}"#, "image"),
            (r#"{"image": "/a.png", "question": "?", "answers": []}"#, "image"),
            (r#"{"image": "a.png", "question": "?", "answers": [], "score": "luck"}"#, "luck"),
            (r#"{"image": "a.png", "question": "?", "answers": 3}"#, "answers"),
            (r#"{"image": "a.png", "question": "?", "answers": [], "score": "text"}"#, "answers"),
            (r#"{"image": "a.png", "question": "?", "answers": [], "lang": "tlh"}"#, "tlh"),
        ] {
            let reason = parse(line).unwrap_err();
            assert!(reason.contains(part), "{line}: {reason}");
        }
    }
}

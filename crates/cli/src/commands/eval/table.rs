//! The scores of a set, a row of the set a line, and how the precisions differ on the same images.

use std::fmt::Write as _;

use serde::Serialize;
use tiny_vlm::Precision;

use super::{
    Outcome,
    labels::{Label, Rule},
};
use crate::{json, words::Words};

#[derive(Debug, Serialize)]
pub(crate) struct Table {
    version: u32,
    precisions: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    row: String,
    count: usize,
    /// `right`: the share of right answers. `wrong-characters`: the character error rate, wrong characters of all pictures over
    /// all characters, of which less is better.
    measure: &'static str,
    /// In percent, one a precision.
    scores: Vec<f64>,
    /// Each later precision against the first, on the same images.
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    /// Mean of the paired differences, in points.
    mean: f64,
    /// Half of its 95 % interval, in points.
    within: f64,
    /// Questions that got another score.
    changed: usize,
}

impl Table {
    pub(super) fn new(labels: &[Label], precisions: &[Precision], outcomes: &[Vec<Outcome>]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for label in labels {
            if !names.contains(&label.row.as_str()) {
                names.push(&label.row);
            }
        }
        let rows = names.into_iter().map(|name| {
            let weights: Vec<f64> =
                labels.iter().filter(|label| label.row == name).map(|label| label.rule.weight()).collect();
            // So that the plain mean of these is the weighted mean of the scores.
            let even = mean(&weights);
            let of_row = |outcomes: &Vec<Outcome>| -> Vec<f64> {
                let pairs = labels.iter().zip(outcomes).filter(|(label, _)| label.row == name);
                pairs.map(|(label, outcome)| 100.0 * outcome.score * label.rule.weight() / even).collect()
            };
            let scores: Vec<Vec<f64>> = outcomes.iter().map(of_row).collect();
            let text = labels.iter().any(|label| label.row == name && matches!(label.rule, Rule::Text(_)));
            Row {
                row: name.to_owned(),
                count: scores.first().map_or(0, Vec::len),
                measure: if text { "wrong-characters" } else { "right" },
                differences: scores.iter().skip(1).map(|later| difference(&scores[0], later)).collect(),
                scores: scores.iter().map(|scores| mean(scores)).collect(),
            }
        });
        let rows = rows.collect();
        Self { version: json::VERSION, precisions: precisions.iter().map(|p| p.name()).collect(), rows }
    }

    /// The table for a person.
    pub(super) fn text(&self, words: Words) -> String {
        let mut out = String::new();
        let mut header = format!("{:42} {:>8}", words.get("eval-row"), words.get("eval-count"));
        for name in &self.precisions {
            push(&mut header, format_args!(" {name:>9}"));
        }
        for name in self.precisions.iter().skip(1) {
            push(&mut header, format_args!("  {name} − {} ", self.precisions[0]));
        }
        push(&mut out, format_args!("{}\n", header.trim_end()));
        for row in &self.rows {
            let mark = if row.measure == "right" { "" } else { " ↓" };
            push(&mut out, format_args!("{:42} {:>8}", format!("{}{mark}", row.row), row.count));
            for score in &row.scores {
                push(&mut out, format_args!(" {score:>7.2} %"));
            }
            for difference in &row.differences {
                push(&mut out, format_args!("  {:+.2} ± {:.2}", difference.mean, difference.within));
            }
            out.push('\n');
        }
        out
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn difference(first: &[f64], later: &[f64]) -> Difference {
    let differences: Vec<f64> = first.iter().zip(later).map(|(a, b)| b - a).collect();
    let mean = mean(&differences);
    let squares: f64 = differences.iter().map(|d| (d - mean) * (d - mean)).sum();
    let n = differences.len() as f64;
    let error = if n > 1.0 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
    Difference { mean, within: 1.96 * error, changed: differences.iter().filter(|d| **d != 0.0).count() }
}

#[cfg(test)]
mod tests {
    use tiny_vlm::Lang;

    use super::*;

    #[test]
    fn rows_keep_their_order_and_differences_are_paired() {
        let label = |row: &str, rule| Label {
            image: "a.png".into(),
            row: row.into(),
            lang: Lang::En,
            question: "?".into(),
            rule,
        };
        let labels = [
            label("print", Rule::Text("x".into())),
            label("print", Rule::Text("one two three four".into())),
            label("naming", Rule::Declines),
            label("naming", Rule::Declines),
        ];
        let outcome = |score| Outcome { answer: String::new(), score };
        // Of 19 characters 9 are wrong, then 10.
        let outcomes =
            [[0.0, 0.5, 1.0, 0.0], [1.0, 0.5, 0.0, 1.0]].map(|scores| scores.map(outcome).to_vec());
        let table = Table::new(&labels, &[Precision::F32, Precision::Int8], &outcomes);
        assert_eq!(table.rows[0].row, "print");
        assert_eq!(table.rows[0].measure, "wrong-characters");
        assert!((table.rows[0].scores[0] - 900.0 / 19.0).abs() < 1e-9);
        assert!((table.rows[0].differences[0].mean - 100.0 / 19.0).abs() < 1e-9);
        assert_eq!(table.rows[1].scores, [50.0, 50.0]);
        assert_eq!((table.rows[1].differences[0].mean, table.rows[1].differences[0].changed), (0.0, 2));
        let text = table.text(Words::new(Lang::En));
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("int8 − f32"));
    }
}

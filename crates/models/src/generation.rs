//! How a checkpoint wants its tokens chosen: `generation_config.json`.

use serde_json::Value;
use tiny_vlm_decoder::sampling::{EarlyStopping, MOST_BEAMS};

use crate::ModelError;

/// How tokens are chosen where the request does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generation {
    /// Texts that are written side by side, of which the best is the answer; 1 takes the likeliest token each time.
    pub num_beams: usize,
    /// The power of its length that a text's log-probability is divided by.
    pub length_penalty: f32,
    /// When a search by beams ends.
    pub early_stopping: EarlyStopping,
    /// Runs of this many tokens come once only; 0 lets them come again.
    pub no_repeat_ngram_size: usize,
    /// The first token of every answer.
    pub forced_first: Option<u32>,
    /// The last token of an answer that reaches the most tokens.
    pub forced_last: Option<u32>,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            no_repeat_ngram_size: 0,
            forced_first: None,
            forced_last: None,
        }
    }
}

impl Generation {
    /// What `json`, an object of `transformers`' names, says; `self` where it says nothing.
    pub(crate) fn with(self, file: &'static str, json: &Value) -> Result<Self, ModelError> {
        let wrong = |name: &str, value: &Value| Err(ModelError::config(file, format!("{name} is {value}")));
        let mut made = self;
        for (name, most, field) in [
            ("num_beams", MOST_BEAMS, &mut made.num_beams),
            ("no_repeat_ngram_size", 1 << 10, &mut made.no_repeat_ngram_size),
        ] {
            match &json[name] {
                Value::Null => {}
                value => match value.as_u64() {
                    Some(number) if number <= most as u64 => *field = number as usize,
                    _ => return wrong(name, value),
                },
            }
        }
        made.num_beams = made.num_beams.max(1);
        match &json["length_penalty"] {
            Value::Null => {}
            value => match value.as_f64() {
                Some(number) if number.abs() <= 100.0 => made.length_penalty = number as f32,
                _ => return wrong("length_penalty", value),
            },
        }
        made.early_stopping = match &json["early_stopping"] {
            Value::Null => made.early_stopping,
            Value::Bool(true) => EarlyStopping::Always,
            Value::Bool(false) => EarlyStopping::Heuristic,
            Value::String(word) if word == "never" => EarlyStopping::Never,
            other => return wrong("early_stopping", other),
        };
        for (name, field) in
            [("forced_bos_token_id", &mut made.forced_first), ("forced_eos_token_id", &mut made.forced_last)]
        {
            match &json[name] {
                Value::Null => {}
                value => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                    Some(id) => *field = Some(id),
                    None => return wrong(name, value),
                },
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_takes_the_place_of_what_was() {
        let first =
            Generation::default().with("a", &json!({"num_beams": 3, "forced_bos_token_id": 0})).unwrap();
        let both = first.with("b", &json!({"early_stopping": "never", "length_penalty": -0.5})).unwrap();
        assert_eq!((both.num_beams, both.forced_first, both.forced_last), (3, Some(0), None));
        assert_eq!((both.early_stopping, both.length_penalty), (EarlyStopping::Never, -0.5));
        for wrong in [
            json!({"num_beams": 1000}),
            json!({"num_beams": -1}),
            json!({"length_penalty": "long"}),
            json!({"early_stopping": 2}),
            json!({"forced_eos_token_id": 1_u64 << 40}),
        ] {
            let error = Generation::default().with("a", &wrong).unwrap_err();
            assert_eq!(error.code(), "model-config", "{wrong}");
        }
    }
}

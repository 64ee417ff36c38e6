//! What the host asks for, as JSON.

use crate::Failure;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tiny_vlm::{CachePrecision, Detail, Error, LoadOptions, Precision, Profile, RequestOptions, Stop};

/// How a model is loaded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Open {
    precision: Option<String>,
    profile: Option<String>,
    threads: Option<usize>,
    /// What keys and values are kept in.
    kv_cache: Option<String>,
    /// Bytes of image features that are kept.
    feature_cache: Option<usize>,
}

impl Open {
    pub(crate) fn options(&self) -> Result<LoadOptions, Failure> {
        let mut options = LoadOptions::default().threads(self.threads.unwrap_or(1));
        if let Some(name) = &self.precision {
            let precision: Result<Precision, _> = name.parse();
            options = options.precision(precision.map_err(|error| Failure::request(error.to_string()))?);
        }
        options = options.profile(match self.profile.as_deref() {
            None | Some("balanced") => Profile::Balanced,
            Some("fast") => Profile::Fast,
            Some("accuracy") => Profile::Accuracy,
            Some(_) => return Err(Failure::request("profile is fast, balanced or accuracy")),
        });
        if let Some(name) = &self.kv_cache {
            let kept = CachePrecision::ALL.into_iter().find(|precision| precision.name() == name);
            options = options.kv_cache(kept.ok_or_else(|| Failure::request("kvCache is f32, bf16 or int8"))?);
        }
        Ok(match self.feature_cache {
            Some(bytes) => options.feature_cache_bytes(bytes),
            None => options,
        })
    }
}

/// What is wanted of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Task {
    Ask,
    Caption,
    /// The print.
    Read,
    /// Where things are.
    Detect,
    /// An image model's vector.
    Embed,
    /// An image model's classes.
    Classify,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) task: Task,
    #[serde(default)]
    pub(crate) question: String,
    lang: Option<String>,
    /// How many of the likeliest classes.
    #[serde(default = "five")]
    pub(crate) top: usize,
    detail: Option<String>,
    max_tiles: Option<usize>,
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<String>,
    /// Milliseconds.
    deadline: Option<f64>,
}

fn five() -> usize {
    5
}

impl Run {
    pub(crate) fn options(&self, cancel: Stop) -> Result<RequestOptions, Failure> {
        let mut options = RequestOptions::default().cancel(cancel);
        if let Some(tag) = &self.lang {
            options = options.lang(tag.parse().map_err(Error::Language)?);
        }
        if let Some(name) = &self.detail {
            let detail = Detail::ALL.into_iter().find(|detail| detail.name() == name);
            let detail = detail.ok_or_else(|| Failure::request("detail is low, auto or high"))?;
            options.shape = options.shape.with_detail(detail);
        }
        options.shape = options.shape.with_max_tiles(self.max_tiles);
        options.max_tokens = self.max_tokens;
        options.temperature = self.temperature.unwrap_or(options.temperature);
        options.top_k = self.top_k.unwrap_or(options.top_k);
        options.top_p = self.top_p.unwrap_or(options.top_p);
        options.min_p = self.min_p.unwrap_or(options.min_p);
        options.repetition_penalty = self.repetition_penalty.unwrap_or(options.repetition_penalty);
        options.seed = self.seed.unwrap_or(options.seed);
        options.stop.clone_from(&self.stop);
        if let Some(ms) = self.deadline {
            let time = Duration::try_from_secs_f64(ms / 1e3);
            options.deadline = Some(time.map_err(|_| Failure::request("deadline is not a time"))?);
        }
        Ok(options)
    }
}

/// JSON of at most a few kilobytes, so that the host alone decides how deep and long it is.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Result<RequestOptions, Failure> {
        parse::<Run>(json.as_bytes())?.options(Stop::new())
    }

    #[test]
    fn a_request_says_only_what_matters() {
        let options =
            options(r#"{"task": "ask", "question": "?", "maxTokens": 3, "deadline": 1500}"#).unwrap();
        assert_eq!((options.max_tokens, options.top_p), (Some(3), 1.0));
        assert_eq!(options.deadline, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (json, code) in [
            ("", "request"),
            (r#"{"task": "dance"}"#, "request"),
            (r#"{"task": "ask", "maxTokens": -1}"#, "request"),
            (r#"{"task": "ask", "maxtokens": 1}"#, "request"),
            (r#"{"task": "ask", "deadline": -5}"#, "request"),
            (r#"{"task": "ask", "deadline": 1e300}"#, "request"),
            (r#"{"task": "ask", "detail": "best"}"#, "request"),
            (r#"{"task": "classify", "top": -1}"#, "request"),
            (r#"{"task": "caption", "lang": "tlh"}"#, "unknown-language"),
        ] {
            assert_eq!(options(json).unwrap_err().code(), code, "{json}");
        }
        for json in [r#"{"precision": "int3"}"#, r#"{"profile": "best"}"#, r#"{"kvCache": "int4"}"#] {
            assert_eq!(parse::<Open>(json.as_bytes()).unwrap().options().unwrap_err().code(), "request");
        }
    }
}

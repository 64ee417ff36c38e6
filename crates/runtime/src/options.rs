//! What is chosen when a model is loaded, and what with each request.

use std::time::Duration;

use tiny_vlm_decoder::sampling::MOST_BEAMS;
use tiny_vlm_models::{CachePrecision, Lang, ModelOptions, Precision, Profile, RequestShape};
use tiny_vlm_tensor::{Stop, default_threads};

use crate::Error;

/// How a model is loaded. Start from the default and change what matters:
///
/// ```
/// use tiny_vlm_runtime::{LoadOptions, Precision};
///
/// let options = LoadOptions::default().precision(Precision::F32).threads(2);
/// assert_eq!(options.threads, Some(2));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The form of the weights.
    pub precision: Precision,
    /// What the user would rather have more of.
    pub profile: Profile,
    /// What is kept of each token of a conversation is rounded to this: bf16 takes half the memory, int8 about a quarter.
    pub kv_cache: CachePrecision,
    /// Threads in all. `None` asks `TINY_VLM_THREADS`, and then takes what the system allows the process.
    pub threads: Option<usize>,
    /// How many requests may work at the same moment, each on its share of the threads; others wait for their turn
    /// at their next step. At least one.
    pub instances: usize,
    /// Bytes of image features that are kept for the next question about the same image; 0 keeps none.
    pub feature_cache_bytes: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            profile: Profile::default(),
            kv_cache: CachePrecision::default(),
            threads: None,
            instances: 1,
            feature_cache_bytes: 64 << 20,
        }
    }
}

impl LoadOptions {
    /// The same with another form of the weights.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same with another profile.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The same with keys and values of another precision.
    #[must_use]
    pub fn kv_cache(self, kv_cache: CachePrecision) -> Self {
        Self { kv_cache, ..self }
    }

    /// The same with this number of threads.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// The same with this many requests at the same moment.
    #[must_use]
    pub fn instances(self, instances: usize) -> Self {
        Self { instances, ..self }
    }

    /// The same with another budget for image features.
    #[must_use]
    pub fn feature_cache_bytes(self, feature_cache_bytes: usize) -> Self {
        Self { feature_cache_bytes, ..self }
    }

    /// The threads that a model loaded so works on.
    pub fn resolved_threads(&self) -> usize {
        let asked = self.threads.or_else(|| parse_threads(&std::env::var("TINY_VLM_THREADS").ok()?));
        asked.unwrap_or_else(default_threads).clamp(1, MAX_THREADS)
    }

    pub(crate) fn model(&self) -> ModelOptions {
        ModelOptions::default()
            .with_precision(self.precision)
            .with_profile(self.profile)
            .with_kv_cache(self.kv_cache)
    }
}

/// More threads than any machine that this is for has.
const MAX_THREADS: usize = 1024;

/// A number of threads as an environment variable gives it; what is none is as if it were not set.
fn parse_threads(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|&threads| threads > 0)
}

/// How one request is answered. Start from the default and change what matters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestOptions {
    /// Most tokens of the answer; `None` leaves it to the family.
    pub max_tokens: Option<usize>,
    /// 0 takes the likeliest token each time, as does the default.
    pub temperature: f32,
    /// Chance picks among this many of the likeliest tokens; 0 sets no such bound.
    pub top_k: usize,
    /// Chance picks among the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// Chance picks among tokens at least this probable, as a fraction of the likeliest one's probability.
    pub min_p: f32,
    /// Divides the scores of tokens that the answer already has; 1 leaves them.
    pub repetition_penalty: f32,
    /// Runs of this many tokens come once only; 0 lets them come again, `None` leaves it to the family.
    pub no_repeat_ngram_size: Option<usize>,
    /// Texts that are written side by side, of which the best as a whole is the answer; `None` leaves it to the family,
    /// and is 1 at a temperature above 0 and where a grammar is kept to. What several have in common is streamed, the rest when the best is known.
    pub num_beams: Option<usize>,
    /// The power of its length that the log-probability of such a text is divided by: above 0, long ones are favoured.
    /// `None` leaves it to the family.
    pub length_penalty: Option<f32>,
    /// Where chance starts: the same seed gives the same answer, on any number of threads.
    pub seed: u64,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    /// The form that the answer must have. Probabilities are then among the tokens that may come.
    #[cfg(feature = "grammar")]
    pub grammar: Option<tiny_vlm_text::Grammar>,
    /// Longest time from the call to the end of the answer.
    pub deadline: Option<Duration>,
    /// A handle that cancels the request from elsewhere.
    pub cancel: Stop,
    /// The language to answer in, where the family lets it be chosen; otherwise the question decides.
    pub lang: Option<Lang>,
    /// Most bytes of a question.
    pub max_question_bytes: usize,
    /// How much of an image is looked at.
    pub shape: RequestShape,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            max_tokens: None,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: None,
            num_beams: None,
            length_penalty: None,
            seed: 0,
            stop: Vec::new(),
            #[cfg(feature = "grammar")]
            grammar: None,
            deadline: None,
            cancel: Stop::new(),
            lang: None,
            max_question_bytes: 1_000_000,
            shape: RequestShape::default(),
        }
    }
}

impl RequestOptions {
    /// The same with at most this many tokens of answer.
    #[must_use]
    pub fn max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens: Some(max_tokens), ..self }
    }

    /// The same with this temperature.
    #[must_use]
    pub fn temperature(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// The same with this many texts side by side.
    #[must_use]
    pub fn num_beams(self, num_beams: usize) -> Self {
        Self { num_beams: Some(num_beams), ..self }
    }

    /// The same with this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same, also ending before `stop`.
    #[must_use]
    pub fn stop(mut self, stop: impl Into<String>) -> Self {
        self.stop.push(stop.into());
        self
    }

    /// The same with an answer of this form.
    #[cfg(feature = "grammar")]
    #[must_use]
    pub fn grammar(self, grammar: tiny_vlm_text::Grammar) -> Self {
        Self { grammar: Some(grammar), ..self }
    }

    /// The same with a bound on the time.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The same under a handle that cancels it.
    #[must_use]
    pub fn cancel(self, cancel: Stop) -> Self {
        Self { cancel, ..self }
    }

    /// The same in this language.
    #[must_use]
    pub fn lang(self, lang: Lang) -> Self {
        Self { lang: Some(lang), ..self }
    }

    /// Whether every number is one that can be used.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |name, value: &dyn ToString, range| {
            Err(Error::Parameter { name, value: value.to_string(), range })
        };
        if self.max_tokens == Some(0) {
            return wrong("max_tokens", &0, "> 0");
        }
        if !(0.0..=100.0).contains(&self.temperature) {
            return wrong("temperature", &self.temperature, "0..100");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", &self.top_p, "> 0, ≤ 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return wrong("min_p", &self.min_p, "0..1");
        }
        if !(0.01..=100.0).contains(&self.repetition_penalty) {
            return wrong("repetition_penalty", &self.repetition_penalty, "0.01..100");
        }
        if let Some(size) = self.no_repeat_ngram_size.filter(|&size| size > 1024) {
            return wrong("no_repeat_ngram_size", &size, "≤ 1024");
        }
        if let Some(beams) = self.num_beams {
            if !(1..=MOST_BEAMS).contains(&beams) {
                return wrong("num_beams", &beams, "1..64");
            }
            if beams > 1 && self.temperature > 0.0 {
                return wrong("num_beams", &beams, "1, temperature > 0");
            }
            #[cfg(feature = "grammar")]
            if beams > 1 && self.grammar.is_some() {
                return wrong("num_beams", &beams, "1, grammar");
            }
        }
        if let Some(penalty) = self.length_penalty.filter(|penalty| !(-100.0..=100.0).contains(penalty)) {
            return wrong("length_penalty", &penalty, "-100..100");
        }
        if self.stop.len() > MAX_STOPS {
            return wrong("stop", &self.stop.len(), "≤ 16");
        }
        if let Some(long) = self.stop.iter().map(String::len).find(|&bytes| bytes > MAX_STOP_BYTES) {
            return wrong("stop", &long, "≤ 1000");
        }
        Ok(())
    }
}

/// Bounds on what is compared with every piece of text.
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        assert!(RequestOptions::default().check().is_ok());
        let name = |options: RequestOptions| match options.check() {
            Err(Error::Parameter { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name(RequestOptions::default().temperature(f32::NAN)), "temperature");
        assert_eq!(name(RequestOptions::default().temperature(-1.0)), "temperature");
        assert_eq!(name(RequestOptions::default().max_tokens(0)), "max_tokens");
        assert_eq!(name(RequestOptions { top_p: 0.0, ..Default::default() }), "top_p");
        assert_eq!(name(RequestOptions { min_p: 1.5, ..Default::default() }), "min_p");
        assert_eq!(
            name(RequestOptions { repetition_penalty: 0.0, ..Default::default() }),
            "repetition_penalty"
        );
        assert_eq!(name(RequestOptions::default().num_beams(0)), "num_beams");
        assert_eq!(name(RequestOptions::default().num_beams(65)), "num_beams");
        assert_eq!(name(RequestOptions::default().num_beams(2).temperature(0.5)), "num_beams");
        assert!(RequestOptions::default().num_beams(1).temperature(0.5).check().is_ok());
        let penalty = RequestOptions { length_penalty: Some(f32::NAN), ..Default::default() };
        assert_eq!(name(penalty), "length_penalty");
        let runs = RequestOptions { no_repeat_ngram_size: Some(2000), ..Default::default() };
        assert_eq!(name(runs), "no_repeat_ngram_size");
        assert_eq!(name(RequestOptions { stop: vec![String::new(); 17], ..Default::default() }), "stop");
    }

    #[test]
    fn numbers_of_threads() {
        assert_eq!(parse_threads(" 3 "), Some(3));
        assert_eq!(parse_threads("0"), None);
        assert_eq!(parse_threads("many"), None);
        assert_eq!(LoadOptions::default().threads(0).resolved_threads(), 1);
        assert_eq!(LoadOptions::default().threads(5).resolved_threads(), 5);
    }
}

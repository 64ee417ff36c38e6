/// How the next token is chosen.
///
/// The defaults choose the likeliest token. Filters apply in the order of the fields, each to what the one
/// before it left, as in `transformers`.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// Divides the logits of tokens that have occurred when they are positive, and multiplies them when not
    /// (Keskar et al., 2019, arXiv:1909.05858). 1 does nothing.
    pub repetition_penalty: f32,
    /// Runs of this many tokens come once only, those of the prompt counted; 0 lets them come again.
    pub no_repeat_ngram: usize,
    /// Divides all logits. 0 chooses the likeliest token, whatever the filters say.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; `None` keeps all.
    pub top_k: Option<usize>,
    /// Keeps the fewest of the likeliest tokens whose probabilities sum to this (Holtzman et al., 2019,
    /// arXiv:1904.09751). 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this many times as likely as the likeliest (Nguyen et al., 2024,
    /// arXiv:2407.01082). 0 keeps all.
    pub min_p: f32,
    /// The same seed and logits make the same tokens.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

/// An option that is outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} is {value}, which is not {range}")]
pub struct SamplingError {
    /// The option's name.
    pub name: &'static str,
    /// What it was set to.
    pub value: f32,
    /// What it can be.
    pub range: &'static str,
}

impl SamplingOptions {
    /// Whether every option is in its range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let within = |name, value: f32, good: bool, range| match good {
            true => Ok(()),
            false => Err(SamplingError { name, value, range }),
        };
        let penalty = self.repetition_penalty;
        within("repetition_penalty", penalty, penalty.is_finite() && penalty > 0.0, "a number above 0")?;
        let temperature = self.temperature;
        within(
            "temperature",
            temperature,
            temperature.is_finite() && temperature >= 0.0,
            "a number from 0 up",
        )?;
        within("top_k", 0.0, self.top_k != Some(0), "a number from 1 up")?;
        within("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1")?;
        within("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1")
    }
}

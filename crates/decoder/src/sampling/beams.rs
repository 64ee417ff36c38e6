//! Beam search: several texts are written side by side, and those that are likeliest as a whole go on.
//!
//! Scores, ties and ends are those of `transformers`' beam search for one text, in f32 as there, so that the same
//! tokens come out. What two beams share, their caches can share; whose cache a beam goes on from, [`Beam`] says.

use super::{SamplingError, ngrams, sampler::log_normalizer};

/// When a search that has enough finished texts ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When no beam could become better than the worst of them, were it to end here.
    #[default]
    Heuristic,
    /// At once.
    Always,
    /// When no beam could become better than the worst of them at any length.
    Never,
}

/// How a search goes.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamOptions {
    /// Texts side by side.
    pub beams: usize,
    /// A finished text's log-probability is divided by its length to this power: above 0, long texts are favoured.
    pub length_penalty: f32,
    /// When it ends.
    pub early_stopping: EarlyStopping,
    /// As in [`SamplingOptions`](super::SamplingOptions), of log-probabilities.
    pub repetition_penalty: f32,
    /// Runs of this many tokens come once only; 0 lets them come again.
    pub no_repeat_ngram: usize,
    /// What follows a prompt of one token.
    pub forced_first: Option<u32>,
    /// The token that a text ends with that reaches [`max_tokens`](Self::max_tokens).
    pub forced_last: Option<u32>,
    /// The tokens that end a text.
    pub ends: Vec<u32>,
    /// Most tokens behind the prompt.
    pub max_tokens: usize,
}

impl Default for BeamOptions {
    fn default() -> Self {
        Self {
            beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            forced_first: None,
            forced_last: None,
            ends: Vec::new(),
            max_tokens: 256,
        }
    }
}

/// Most beams that a search may have.
pub const MOST_BEAMS: usize = 64;

impl BeamOptions {
    /// Whether every option is in its range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let within = |name, value: f32, good: bool, range| match good {
            true => Ok(()),
            false => Err(SamplingError { name, value, range }),
        };
        within("beams", self.beams as f32, (1..=MOST_BEAMS).contains(&self.beams), "between 1 and 64")?;
        let (length, repetition) = (self.length_penalty, self.repetition_penalty);
        within("length_penalty", length, (-100.0..=100.0).contains(&length), "between -100 and 100")?;
        let good = repetition.is_finite() && repetition > 0.0;
        within("repetition_penalty", repetition, good, "a number above 0")?;
        within("max_tokens", 0.0, self.max_tokens > 0, "a number from 1 up")
    }
}

/// How a beam goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beam {
    /// The beam of the last step that it goes on from.
    pub parent: usize,
    /// The token that it goes on with.
    pub token: u32,
}

/// A text that is being written.
#[derive(Debug, Clone)]
struct Running {
    ids: Vec<u32>,
    score: f32,
}

/// A text that is complete, or the place of one.
#[derive(Debug, Clone)]
struct Finished {
    ids: Vec<u32>,
    /// Divided by the length.
    score: f32,
    /// Not divided.
    sum: f32,
    complete: bool,
}

/// One way on for one beam.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    beam: usize,
    token: u32,
    score: f32,
    ends: bool,
}

/// What is added to scores that are out of the question.
const OUT: f32 = -1e9;

/// A search for the likeliest continuation of one prompt.
///
/// ```
/// use tiny_vlm_decoder::sampling::{BeamOptions, BeamSearch};
///
/// let options = BeamOptions { beams: 2, ends: vec![0], max_tokens: 3, ..BeamOptions::default() };
/// let mut search = BeamSearch::new(options, &[1], 3)?;
/// search.advance(&[0.0, 4.0, 3.0]); // after the prompt
/// assert_eq!(search.beams().iter().map(|beam| beam.token).collect::<Vec<_>>(), [1, 2]);
/// search.advance(&[0.0, 0.0, 0.0, 9.0, 0.0, 0.0]); // after each beam: the second ends
/// assert_eq!(search.best(), [2, 0]);
/// # Ok::<(), tiny_vlm_decoder::sampling::SamplingError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BeamSearch {
    options: BeamOptions,
    vocab: usize,
    prompt: usize,
    running: Vec<Running>,
    finished: Vec<Finished>,
    beams: Vec<Beam>,
    /// Log-probabilities of every token after every beam.
    scores: Vec<f32>,
    ended: bool,
}

impl BeamSearch {
    /// A search for what follows the tokens of `prompt`, among `vocab` tokens.
    pub fn new(options: BeamOptions, prompt: &[u32], vocab: usize) -> Result<Self, SamplingError> {
        options.check()?;
        // All beams begin alike; only the first one counts, so that they do not all go on alike.
        let running = |beam| Running { ids: prompt.to_vec(), score: if beam == 0 { 0.0 } else { OUT } };
        let place = Finished { ids: prompt.to_vec(), score: OUT, sum: OUT, complete: false };
        Ok(Self {
            vocab,
            prompt: prompt.len(),
            running: (0..options.beams).map(running).collect(),
            finished: vec![place; options.beams],
            beams: Vec::with_capacity(options.beams),
            scores: vec![0.0; vocab.saturating_mul(options.beams)],
            ended: vocab == 0,
            options,
        })
    }

    /// Takes the logits of what follows each beam, a row each, and goes one token on. One row alone is for all beams:
    /// those of the prompt. Logits that are not numbers are taken as −∞.
    ///
    /// # Panics
    /// If there are neither as many rows as beams nor one.
    pub fn advance(&mut self, logits: &[f32]) {
        if self.ended {
            return;
        }
        let rows = logits.len() / self.vocab;
        assert!(
            logits.len() == rows * self.vocab && (rows == 1 || rows == self.options.beams),
            "{} logits for {} beams of {} tokens",
            logits.len(),
            self.options.beams,
            self.vocab
        );
        let length = self.running[0].ids.len() - self.prompt;
        for (beam, running) in self.running.iter().enumerate() {
            let row = if rows == 1 { 0 } else { beam };
            let logits = &logits[row * self.vocab..][..self.vocab];
            let scores = &mut self.scores[beam * self.vocab..][..self.vocab];
            log_probabilities(logits, scores);
            self.options.process(&running.ids, length, scores);
            scores.iter_mut().for_each(|score| *score += running.score);
        }
        let candidates = self.candidates(length);
        self.finish(&candidates, length);
        self.go_on(&candidates);

        let length = length + 1;
        let all_end = candidates.iter().all(|candidate| candidate.ends);
        let enough = self.finished.iter().all(|text| text.complete);
        let enough = enough && self.options.early_stopping == EarlyStopping::Always;
        self.ended = all_end || enough || !self.could_improve(length);
    }

    /// How the beams go on, the likeliest first; as many as the options say.
    pub fn beams(&self) -> &[Beam] {
        &self.beams
    }

    /// Whether the search is over.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The best text so far, without the prompt: one that is complete if there is one.
    pub fn best(&self) -> &[u32] {
        &self.best_text().0[self.prompt..]
    }

    /// The log-probability of the best text.
    pub fn best_logprob(&self) -> f32 {
        self.best_text().1
    }

    /// The log-probability of the best text over its length to the power of the penalty, where it is complete.
    pub fn best_score(&self) -> Option<f32> {
        self.finished.first().filter(|text| text.complete).map(|text| text.score)
    }

    fn best_text(&self) -> (&[u32], f32) {
        match self.finished.first().filter(|text| text.complete) {
            Some(text) => (&text.ids, text.sum),
            None => (&self.running[0].ids, self.running[0].score),
        }
    }

    /// The tokens that all texts begin with, without the prompt: whichever wins, its text begins so.
    pub fn settled(&self) -> &[u32] {
        if self.ended {
            return self.best();
        }
        let complete = self.finished.iter().filter(|text| text.complete).map(|text| &text.ids);
        let first = &self.running[0].ids;
        let common = self
            .running
            .iter()
            .map(|text| &text.ids)
            .chain(complete)
            .map(|ids| first.iter().zip(ids).take_while(|(one, other)| one == other).count());
        &first[self.prompt..common.min().unwrap_or(self.prompt).max(self.prompt)]
    }

    /// The best ways on: enough that as many beams as there are go on even if each of them could end.
    fn candidates(&self, length: usize) -> Vec<Candidate> {
        let BeamOptions { beams, ref ends, max_tokens, .. } = self.options;
        let wanted = ((1 + ends.len()).max(2) * beams).min(self.scores.len());
        let mut best: Vec<(usize, f32)> = Vec::with_capacity(wanted + 1);
        for (index, &score) in self.scores.iter().enumerate() {
            if best.len() == wanted && best.last().is_some_and(|&(_, worst)| score <= worst) {
                continue;
            }
            let place = best.partition_point(|&(_, other)| other >= score);
            best.insert(place, (index, score));
            best.truncate(wanted);
        }
        let candidate = |(index, score)| {
            let token = (index % self.vocab) as u32;
            let ends = ends.contains(&token) || length + 1 >= max_tokens;
            Candidate { beam: index / self.vocab, token, score, ends }
        };
        best.into_iter().map(candidate).collect()
    }

    /// Keeps the best of the texts that were complete and those that are now.
    fn finish(&mut self, candidates: &[Candidate], length: usize) {
        let divisor = power(length + 1, self.options.length_penalty);
        for (rank, candidate) in candidates.iter().enumerate() {
            let complete = candidate.ends && rank < self.options.beams;
            let score = candidate.score / divisor + if complete { 0.0 } else { OUT };
            let place = self.finished.partition_point(|other| other.score >= score);
            if place < self.finished.len() {
                let ids = [&self.running[candidate.beam].ids[..], &[candidate.token]].concat();
                self.finished.insert(place, Finished { ids, score, sum: candidate.score, complete });
                self.finished.truncate(self.options.beams);
            }
        }
    }

    /// Lets the best of the texts that do not end go on.
    fn go_on(&mut self, candidates: &[Candidate]) {
        let scored = |candidate: &Candidate| {
            let score = candidate.score + if candidate.ends { OUT } else { 0.0 };
            Candidate { score, ..*candidate }
        };
        let mut open: Vec<Candidate> = candidates.iter().map(scored).collect();
        // Stable: of equals, the one that was likelier.
        open.sort_by(|one, other| other.score.total_cmp(&one.score));
        // A vocabulary smaller than the number of beams leaves some of them without a way on of their own.
        let open = open.iter().cycle().take(self.options.beams);
        self.beams.clear();
        self.beams.extend(open.clone().map(|open| Beam { parent: open.beam, token: open.token }));
        let next = open.map(|open| {
            let ids = [&self.running[open.beam].ids[..], &[open.token]].concat();
            Running { ids, score: open.score }
        });
        self.running = next.collect();
    }

    /// Whether a text that goes on could become better than the worst that is complete.
    fn could_improve(&self, length: usize) -> bool {
        let BeamOptions { length_penalty, early_stopping, max_tokens, .. } = self.options;
        let hoped = match early_stopping {
            EarlyStopping::Never if length_penalty > 0.0 => max_tokens,
            _ => length,
        };
        let best = self.running[0].score / power(hoped, length_penalty);
        let worst = self.finished.iter().fold(f32::INFINITY, |worst, text| worst.min(text.score));
        self.finished.iter().any(|text| best > if text.complete { worst } else { OUT })
    }
}

impl BeamOptions {
    /// Changes the log-probabilities of what follows `ids`, of which `length` come behind the prompt.
    fn process(&self, ids: &[u32], length: usize, scores: &mut [f32]) {
        if self.repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = ids.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                if let Some(score) = scores.get_mut(id as usize) {
                    let penalty = self.repetition_penalty;
                    *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
                }
            }
        }
        ngrams::repeated(ids, self.no_repeat_ngram, |id| {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = f32::NEG_INFINITY;
            }
        });
        let first = self.forced_first.filter(|_| ids.len() == 1);
        let last = self.forced_last.filter(|_| length + 1 == self.max_tokens);
        if let Some(forced) = last.or(first)
            && (forced as usize) < scores.len()
        {
            scores.fill(f32::NEG_INFINITY);
            scores[forced as usize] = 0.0;
        }
    }
}

fn power(length: usize, penalty: f32) -> f32 {
    (length as f64).powf(f64::from(penalty)) as f32
}

/// Writes the logarithm of the softmax of `logits` to `out`.
fn log_probabilities(logits: &[f32], out: &mut [f32]) {
    match log_normalizer(logits) {
        Some((highest, log_sum)) => {
            for (out, &logit) in out.iter_mut().zip(logits) {
                *out = if logit.is_nan() { f32::NEG_INFINITY } else { logit - highest - log_sum };
            }
        }
        None => out.fill(f32::NEG_INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Case {
        table: Vec<Vec<f32>>,
        prompt: Vec<u32>,
        options: BeamOptions,
        ids: Vec<u32>,
        score: f32,
    }

    fn cases() -> Vec<Case> {
        let json = include_str!("../../../../fixtures/models/florence2/beams.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        let ids = |value: &serde_json::Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
        let case = |case: &serde_json::Value| Case {
            table: serde_json::from_value(case["table"].clone()).unwrap(),
            prompt: ids(&case["prompt"]),
            options: BeamOptions {
                beams: case["num_beams"].as_u64().unwrap() as usize,
                length_penalty: case["length_penalty"].as_f64().unwrap() as f32,
                early_stopping: match &case["early_stopping"] {
                    serde_json::Value::Bool(true) => EarlyStopping::Always,
                    serde_json::Value::Bool(false) => EarlyStopping::Heuristic,
                    _ => EarlyStopping::Never,
                },
                repetition_penalty: case["repetition_penalty"].as_f64().unwrap() as f32,
                no_repeat_ngram: case["no_repeat_ngram_size"].as_u64().unwrap() as usize,
                forced_first: case["forced_bos_token_id"].as_u64().map(|id| id as u32),
                forced_last: case["forced_eos_token_id"].as_u64().map(|id| id as u32),
                ends: ids(&case["ends"]),
                max_tokens: case["max_new_tokens"].as_u64().unwrap() as usize,
            },
            ids: ids(&case["ids"]),
            score: case["score"].as_f64().unwrap() as f32,
        };
        cases.iter().map(case).collect()
    }

    /// Chains of tokens (`fixtures/golden/florence2.py`) give the same texts as the reference's search.
    #[test]
    fn chains_are_the_references() {
        for (number, case) in cases().iter().enumerate() {
            let vocab = case.table.len();
            let mut search = BeamSearch::new(case.options.clone(), &case.prompt, vocab).unwrap();
            let mut place = case.prompt.len() - 1;
            let follow = |token: u32, place: usize| -> Vec<f32> {
                case.table[token as usize].iter().map(|x| x * (1.0 + place as f32 / 16.0)).collect()
            };
            search.advance(&follow(*case.prompt.last().unwrap(), place));
            let mut settled = search.settled().to_vec();
            while !search.ended() {
                place += 1;
                let rows: Vec<f32> =
                    search.beams().iter().flat_map(|beam| follow(beam.token, place)).collect();
                search.advance(&rows);
                assert!(search.settled().starts_with(&settled), "case {number}");
                settled = search.settled().to_vec();
            }
            // Tokens behind an end belong to no text.
            let end = search.best().iter().position(|id| case.options.ends.contains(id));
            let ids = &search.best()[..end.map_or(search.best().len(), |end| end + 1)];
            assert_eq!(ids, case.ids, "case {number}: {:?}", case.options);
            let score = search.best_score().unwrap();
            assert!((score - case.score).abs() <= 1e-4 * case.score.abs().max(1.0), "case {number}: {score}");
        }
    }

    #[test]
    fn nonsense_ends_without_a_panic() {
        let options = BeamOptions { beams: 3, ends: vec![9], max_tokens: 4, ..BeamOptions::default() };
        let mut search = BeamSearch::new(options.clone(), &[1], 2).unwrap();
        search.advance(&[f32::NAN; 2]);
        while !search.ended() {
            search.advance(&[f32::NEG_INFINITY; 6]);
        }
        assert!(search.best().len() <= 4);
        assert!(BeamSearch::new(options, &[1], 0).unwrap().ended());
        let error = |options: BeamOptions| BeamSearch::new(options, &[], 3).unwrap_err().name;
        assert_eq!(error(BeamOptions { beams: 0, ..BeamOptions::default() }), "beams");
        assert_eq!(
            error(BeamOptions { length_penalty: f32::NAN, ..BeamOptions::default() }),
            "length_penalty"
        );
        assert_eq!(error(BeamOptions { max_tokens: 0, ..BeamOptions::default() }), "max_tokens");
    }
}

//! Choosing a token from logits, without allocating.

use super::{SamplingError, SamplingOptions, ngrams, random::Random};

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub id: u32,
    /// Its log-probability under the model: of the logits as they came, before penalty, temperature and
    /// filters.
    pub logprob: f32,
}

/// Chooses the tokens of one sequence.
///
/// It holds what it needs for its vocabulary from the start; [`choose`](Self::choose) allocates nothing.
///
/// ```
/// use tiny_vlm_decoder::sampling::{Sampler, SamplingOptions};
///
/// let mut greedy = Sampler::new(SamplingOptions::default(), 4)?;
/// let choice = greedy.choose(&[0.0, 2.0, 2.0, 1.0]);
/// assert_eq!(choice.id, 1);
/// # Ok::<(), tiny_vlm_decoder::sampling::SamplingError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplingOptions,
    random: Random,
    /// Bit `i % 64` of word `i / 64` says whether token `i` has occurred.
    occurred: Vec<u64>,
    /// Tokens in the order that they occurred in, where runs of them may come once only.
    history: Vec<u32>,
    /// Tokens that would complete such a run again.
    banned: Vec<u32>,
    /// What the filters have left; as long as the vocabulary at most.
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    /// The logit after penalty and temperature; its weight relative to the likeliest once weighed.
    score: f32,
}

impl Candidate {
    /// Likelier first; of equals, the lower id.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

/// Tokens of a text that there is room for from the start, where they are to be remembered.
const HISTORY: usize = 4096;

/// How many candidates top-p sorts at first; most texts need no more.
const FIRST_SORTED: usize = 64;

impl Sampler {
    /// A sampler for logits of up to `vocab` tokens.
    pub fn new(options: SamplingOptions, vocab: usize) -> Result<Self, SamplingError> {
        options.check()?;
        let random = Random::new(options.seed);
        let candidates = if options.temperature > 0.0 { vocab } else { 0 };
        let room = if options.no_repeat_ngram > 0 { HISTORY } else { 0 };
        Ok(Self {
            options,
            random,
            occurred: vec![0; vocab.div_ceil(64)],
            history: Vec::with_capacity(room),
            banned: Vec::with_capacity(room),
            candidates: Vec::with_capacity(candidates),
        })
    }

    /// Marks a token as having occurred, for what is not to be repeated: those of the prompt, and those chosen.
    pub fn observe(&mut self, id: u32) {
        if let Some(word) = self.occurred.get_mut(id as usize / 64) {
            *word |= 1 << (id % 64);
        }
        if self.options.no_repeat_ngram > 0 {
            self.history.push(id);
        }
    }

    /// Chooses the next token; the caller [observes](Self::observe) it if it goes into the text.
    ///
    /// Logits that are not numbers are taken as −∞; with no others, and with none at all, it is token 0.
    pub fn choose(&mut self, logits: &[f32]) -> Choice {
        self.banned.clear();
        ngrams::repeated(&self.history, self.options.no_repeat_ngram, |id| self.banned.push(id));
        let id = if self.options.temperature > 0.0 { self.sample(logits) } else { self.greedy(logits) };
        Choice { id, logprob: log_probability(logits, id) }
    }

    /// The token `id` as a choice, whatever its score.
    pub fn forced(&self, logits: &[f32], id: u32) -> Choice {
        Choice { id, logprob: log_probability(logits, id) }
    }

    /// The highest score; of equals, the lowest id.
    fn greedy(&self, logits: &[f32]) -> u32 {
        if self.options.repetition_penalty == 1.0 && self.banned.is_empty() {
            return argmax(logits.iter().copied());
        }
        argmax((0..).zip(logits).map(|(id, &logit)| self.penalized(id, logit)))
    }

    fn penalized(&self, id: u32, logit: f32) -> f32 {
        if self.banned.contains(&id) {
            return f32::NEG_INFINITY;
        }
        let penalty = self.options.repetition_penalty;
        let occurred = self.occurred.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1);
        match occurred {
            true if logit < 0.0 => logit * penalty,
            true => logit / penalty,
            false => logit,
        }
    }

    fn sample(&mut self, logits: &[f32]) -> u32 {
        let temperature = self.options.temperature;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend((0..).zip(logits).filter(|(_, logit)| !logit.is_nan()).map(|(id, &logit)| {
            // A temperature near 0 must not turn finite logits to infinities, whose difference is no number.
            let score = (self.penalized(id, logit) / temperature).clamp(f32::MIN, f32::MAX);
            Candidate { id, score }
        }));
        self.keep_top_k(&mut candidates);
        let highest = candidates.iter().fold(f32::NEG_INFINITY, |highest, c| highest.max(c.score));
        for candidate in &mut candidates {
            candidate.score = (candidate.score - highest).exp();
        }
        self.keep_top_p(&mut candidates);
        // Relative to the likeliest, whose weight is 1.
        candidates.retain(|candidate| candidate.score >= self.options.min_p);

        let total: f64 = candidates.iter().map(|candidate| f64::from(candidate.score)).sum();
        let mut left = self.random.unit() * total;
        let chosen = candidates.iter().find(|candidate| {
            left -= f64::from(candidate.score);
            left < 0.0
        });
        // Rounding may leave a little; the last token that can be chosen takes it.
        let last = || candidates.iter().rfind(|candidate| candidate.score > 0.0);
        let id = chosen.or_else(last).map_or(0, |candidate| candidate.id);
        self.candidates = candidates;
        id
    }

    fn keep_top_k(&self, candidates: &mut Vec<Candidate>) {
        if let Some(k) = self.options.top_k
            && k < candidates.len()
        {
            candidates.select_nth_unstable_by(k, Candidate::order);
            candidates.truncate(k);
        }
    }

    /// Sorts no more candidates than it keeps, in runs of growing length.
    fn keep_top_p(&self, candidates: &mut Vec<Candidate>) {
        if self.options.top_p >= 1.0 {
            return;
        }
        let total: f64 = candidates.iter().map(|candidate| f64::from(candidate.score)).sum();
        let wanted = total * f64::from(self.options.top_p);
        let (mut sorted, mut run, mut sum) = (0, FIRST_SORTED, 0.0);
        while sorted < candidates.len() {
            let rest = &mut candidates[sorted..];
            let run_length = run.min(rest.len());
            if run_length < rest.len() {
                rest.select_nth_unstable_by(run_length, Candidate::order);
            }
            rest[..run_length].sort_unstable_by(Candidate::order);
            for candidate in &rest[..run_length] {
                sum += f64::from(candidate.score);
                sorted += 1;
                if sum >= wanted {
                    return candidates.truncate(sorted);
                }
            }
            run *= 4;
        }
    }
}

/// Where the highest number is; the first of equals, 0 where there is none.
fn argmax(values: impl Iterator<Item = f32>) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, value) in (0..).zip(values) {
        if value > best.1 {
            best = (id, value);
        }
    }
    best.0
}

/// The logarithm of what softmax makes of the logit of `id`.
fn log_probability(logits: &[f32], id: u32) -> f32 {
    match (logits.get(id as usize), log_normalizer(logits)) {
        (Some(logit), Some((highest, log_sum))) => logit - highest - log_sum,
        _ => f32::NEG_INFINITY,
    }
}

/// What is subtracted from a logit to make its log-probability, in two parts: the highest logit, and the logarithm of the
/// sum of the exponentials of what is left. Nothing where the highest is not finite.
pub(super) fn log_normalizer(logits: &[f32]) -> Option<(f32, f32)> {
    let highest = logits.iter().fold(f32::NEG_INFINITY, |highest, &logit| highest.max(logit));
    if !highest.is_finite() {
        return None;
    }
    let mut sums = [0.0_f32; 16];
    let (rows, rest) = logits.as_chunks::<16>();
    for row in rows {
        for (sum, &logit) in sums.iter_mut().zip(row) {
            *sum += exp_of_negative(logit - highest);
        }
    }
    let mut sum: f32 = sums.iter().sum();
    sum += rest.iter().map(|&logit| exp_of_negative(logit - highest)).sum::<f32>();
    Some((highest, sum.ln()))
}

/// eˣ for x ≤ 0 to 3e-7 of itself, in operations that the compiler can do several of at a time; what is not a
/// number counts as −∞.
///
/// x = n ln 2 + r with |r| ≤ ½ ln 2; eʳ is its Taylor series and 2ⁿ is made from its exponent.
#[inline]
fn exp_of_negative(x: f32) -> f32 {
    // Below −87 the result is smaller than any share of a sum that begins with 1.
    let x = if x > -87.0 { x } else { -87.0 };
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, so that the product with the first is exact.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.0
        + r * (1.0 + r * (1.0 / 2.0 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    let exponent = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    series * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(options: SamplingOptions) -> Sampler {
        Sampler::new(options, 1000).unwrap()
    }

    /// How often each token is chosen.
    fn histogram(options: SamplingOptions, logits: &[f32], draws: usize) -> Vec<f64> {
        let mut sampler = sampler(options);
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..draws {
            counts[sampler.choose(logits).id as usize] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / draws as f64).collect()
    }

    fn sampled() -> SamplingOptions {
        SamplingOptions { temperature: 1.0, ..SamplingOptions::default() }
    }

    #[test]
    fn greedy_takes_the_first_of_the_highest() {
        let mut greedy = sampler(SamplingOptions::default());
        assert_eq!(greedy.choose(&[-1.0, 3.0, 3.0]).id, 1);
        assert_eq!(greedy.choose(&[f32::NAN, -5.0, f32::NAN]).id, 1);
        assert_eq!(greedy.choose(&[f32::NAN; 3]).id, 0);
        assert_eq!(greedy.choose(&[]).id, 0);
        assert_eq!(greedy.choose(&[f32::NEG_INFINITY, -1e30]).id, 1);
    }

    #[test]
    fn logprobs_are_of_the_logits_as_they_came() {
        let logits: Vec<f32> = (0..77).map(|i| ((i * 37) % 77) as f32 * 0.3 - 11.0).collect();
        let exact = |id: u32| {
            let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            (f64::from(logits[id as usize]) - sum.ln()) as f32
        };
        let options = SamplingOptions { temperature: 3.0, top_k: Some(20), seed: 5, ..sampled() };
        let mut sampler = sampler(options);
        for _ in 0..50 {
            let choice = sampler.choose(&logits);
            assert!((choice.logprob - exact(choice.id)).abs() < 2e-6, "{choice:?}");
        }
    }

    #[test]
    fn exponentials_are_close() {
        for i in 0..87_000 {
            let x = -(i as f32) / 1000.0;
            let (got, wanted) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            assert!((got / wanted - 1.0).abs() < 3e-7, "exp({x}) = {got}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert!(exp_of_negative(f32::NEG_INFINITY) < 1e-37 && exp_of_negative(f32::NAN) < 1e-37);
    }

    #[test]
    fn temperature_sharpens_and_flattens() {
        let logits = [1.0, 0.0];
        for temperature in [0.5_f32, 1.0, 2.0] {
            let expected = 1.0 / (1.0 + (-1.0 / f64::from(temperature)).exp());
            let got = histogram(SamplingOptions { temperature, ..sampled() }, &logits, 40_000);
            assert!((got[0] - expected).abs() < 0.01, "{temperature}: {got:?}");
        }
        let coldest = SamplingOptions { temperature: f32::MIN_POSITIVE, ..sampled() };
        assert_eq!(histogram(coldest, &[3.0, 3.5, -2.0], 100), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn filters_keep_what_they_say() {
        // Probabilities 0.4, 0.3, 0.2, 0.1, out of order.
        let logits = [0.1_f32, 0.4, 0.2, 0.3].map(f32::ln);
        let kept = |options: SamplingOptions| -> Vec<usize> {
            let counts = histogram(options, &logits, 4000);
            (0..4).filter(|&id| counts[id] > 0.0).collect()
        };
        assert_eq!(kept(sampled()), [0, 1, 2, 3]);
        assert_eq!(kept(SamplingOptions { top_k: Some(2), ..sampled() }), [1, 3]);
        assert_eq!(kept(SamplingOptions { top_k: Some(9), ..sampled() }), [0, 1, 2, 3]);
        assert_eq!(kept(SamplingOptions { top_p: 0.39, ..sampled() }), [1]);
        assert_eq!(kept(SamplingOptions { top_p: 0.65, ..sampled() }), [1, 3]);
        assert_eq!(kept(SamplingOptions { top_p: 0.75, ..sampled() }), [1, 2, 3]);
        assert_eq!(kept(SamplingOptions { min_p: 0.45, ..sampled() }), [1, 2, 3]);
        assert_eq!(kept(SamplingOptions { min_p: 1.0, ..sampled() }), [1]);
        assert_eq!(kept(SamplingOptions { top_k: Some(3), top_p: 0.5, ..sampled() }), [1, 3]);
    }

    #[test]
    fn top_p_over_many_tokens_keeps_the_fewest() {
        let mut logits: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1000) as f32 * 0.002).collect();
        logits[17] = f32::NAN;
        let mut order: Vec<usize> = (0..1000).filter(|&i| i != 17).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let total: f64 = order.iter().map(|&i| f64::from(logits[i]).exp()).sum();
        let mut sum = 0.0;
        let enough = order.iter().position(|&i| {
            sum += f64::from(logits[i]).exp();
            sum >= 0.5 * total
        });
        let kept = &order[..=enough.unwrap()];
        let mut sampler = sampler(SamplingOptions { top_p: 0.5, ..sampled() });
        for _ in 0..5000 {
            let id = sampler.choose(&logits).id as usize;
            assert!(kept.contains(&id), "{id}");
        }
    }

    #[test]
    fn penalty_falls_on_what_has_occurred() {
        let options = SamplingOptions { repetition_penalty: 2.0, ..SamplingOptions::default() };
        let mut sampler = sampler(options);
        assert_eq!(sampler.choose(&[3.0, 2.0, -1.0]).id, 0);
        sampler.observe(0);
        sampler.observe(u32::MAX);
        assert_eq!(sampler.choose(&[3.0, 2.0, -1.0]).id, 1);
        assert_eq!(sampler.choose(&[-0.6, -1.0, -5.0]).id, 1);
    }

    #[test]
    fn runs_of_tokens_come_once() {
        for temperature in [0.0, 1.0] {
            let options = SamplingOptions { no_repeat_ngram: 2, temperature, ..SamplingOptions::default() };
            let mut sampler = sampler(options);
            [4, 7, 4].into_iter().for_each(|id| sampler.observe(id));
            let mut logits = [-20.0; 9];
            (logits[7], logits[2]) = (9.0, 1.0);
            let choice = sampler.choose(&logits);
            assert_eq!(choice.id, 2);
            assert!((choice.logprob + 8.0).abs() < 1e-2);
            sampler.observe(2);
            assert_eq!(sampler.choose(&logits).id, 7);
        }
    }

    #[test]
    fn seeds_repeat() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32).sin()).collect();
        let tokens = |seed| -> Vec<u32> {
            let mut sampler = sampler(SamplingOptions { seed, ..sampled() });
            (0..30).map(|_| sampler.choose(&logits).id).collect()
        };
        assert_eq!(tokens(3), tokens(3));
        assert_ne!(tokens(3), tokens(4));
    }

    #[test]
    fn options_out_of_range_are_named() {
        let check = |options: SamplingOptions| options.check().unwrap_err().name;
        assert_eq!(check(SamplingOptions { temperature: f32::NAN, ..sampled() }), "temperature");
        assert_eq!(check(SamplingOptions { temperature: -1.0, ..sampled() }), "temperature");
        assert_eq!(check(SamplingOptions { top_k: Some(0), ..sampled() }), "top_k");
        assert_eq!(check(SamplingOptions { top_p: 0.0, ..sampled() }), "top_p");
        assert_eq!(check(SamplingOptions { min_p: 1.5, ..sampled() }), "min_p");
        assert_eq!(check(SamplingOptions { repetition_penalty: 0.0, ..sampled() }), "repetition_penalty");
    }
}

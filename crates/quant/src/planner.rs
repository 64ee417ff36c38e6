//! Adaptive precision: the number format of each layer, so that all of them fit a budget and lose the least.
//!
//! A multiple-choice knapsack, solved layer by layer over the frontier of what the layers so far can be: for each number
//! of bytes the least error (Nemhauser and Ullmann, 1969). That is exact as long as the frontier has no more than
//! [`FRONTIER`] states. Beyond that it is thinned to the best state of each of as many equal intervals of bytes; a plan is
//! then no worse than the best one for a budget that is smaller by an interval a layer.

use crate::{Candidate, Layer, Precision, QuantError};

/// The most states that are kept after each layer.
const FRONTIER: usize = 1 << 15;

/// The share of itself by which an error budget may be missed.
const ROUNDING: f64 = 1e-12;

/// What a plan has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// At most so many bytes of packed matrices; the sum of the errors is to be the least.
    Bytes(usize),
    /// At most so large a sum of the errors; the bytes are to be the fewest.
    Error(f64),
}

/// A precision for each layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The name and the candidate of each layer, in their order.
    pub choices: Vec<(String, Candidate)>,
    /// Bytes of them all.
    pub bytes: usize,
    /// The sum of their errors.
    pub error: f64,
}

impl Plan {
    /// Chooses a candidate for each layer.
    ///
    /// ```
    /// use tiny_vlm_quant::{Budget, Candidate, Layer, Plan, Precision};
    ///
    /// let candidate = |precision, bytes, error| Candidate { precision, bytes, error };
    /// let layer = |name: &str, sensitivity| Layer {
    ///     name: name.to_owned(),
    ///     candidates: vec![
    ///         candidate(Precision::Int8, 100, sensitivity),
    ///         candidate(Precision::F32, 400, 0.0),
    ///     ],
    /// };
    /// let plan = Plan::new(&[layer("first", 0.5), layer("second", 0.1)], Budget::Bytes(600))?;
    /// assert_eq!(plan.precision("first"), Some(Precision::F32));
    /// assert_eq!(plan.precision("second"), Some(Precision::Int8));
    /// assert_eq!((plan.bytes, plan.error), (500, 0.1));
    /// # Ok::<(), tiny_vlm_quant::QuantError>(())
    /// ```
    ///
    /// # Errors
    /// If the budget is below the least that is possible, which the error tells, a layer has no candidates, or the error
    /// of one is negative or not finite.
    pub fn new(layers: &[Layer], budget: Budget) -> Result<Plan, QuantError> {
        Plan::over(layers, budget, FRONTIER)
    }

    /// As [`new`](Plan::new), with a frontier of at most `most` states.
    fn over(layers: &[Layer], budget: Budget, most: usize) -> Result<Plan, QuantError> {
        check(layers)?;
        let rests = rests(layers);
        let least = rests[0];
        let (most_bytes, most_error) = match budget {
            Budget::Bytes(budget) if budget < least.bytes => {
                return Err(QuantError::ByteBudget { budget, least: least.bytes });
            }
            Budget::Bytes(budget) => (budget, f64::INFINITY),
            Budget::Error(budget) => {
                // Sums in another order may differ in their last bits.
                let most = budget + budget.abs() * ROUNDING;
                if most.is_nan() || most < least.error {
                    return Err(QuantError::ErrorBudget { budget, least: least.error });
                }
                (usize::MAX, most)
            }
        };
        let mut frontiers = vec![vec![State::default()]];
        for (layer, rest) in layers.iter().zip(&rests[1..]) {
            let before = &frontiers[frontiers.len() - 1];
            let mut states = Vec::with_capacity(before.len() * layer.candidates.len());
            for (choice, candidate) in layer.candidates.iter().enumerate() {
                for (parent, state) in before.iter().enumerate() {
                    let bytes = state.bytes.saturating_add(candidate.bytes);
                    let error = state.error + candidate.error;
                    if bytes.saturating_add(rest.bytes) <= most_bytes && error + rest.error <= most_error {
                        states.push(State { bytes, error, choice, parent });
                    }
                }
            }
            keep_frontier(&mut states);
            thin(&mut states, most);
            frontiers.push(states);
        }
        let last = &frontiers[frontiers.len() - 1];
        // Bytes rise and errors fall along a frontier.
        let mut at = match budget {
            Budget::Bytes(_) => last.len() - 1,
            Budget::Error(_) => 0,
        };
        let State { bytes, error, .. } = last[at];
        let mut choices = Vec::with_capacity(layers.len());
        for (layer, states) in layers.iter().zip(&frontiers[1..]).rev() {
            let State { choice, parent, .. } = states[at];
            choices.push((layer.name.clone(), layer.candidates[choice]));
            at = parent;
        }
        choices.reverse();
        Ok(Plan { choices, bytes, error })
    }

    /// The precision of the layer of this name.
    pub fn precision(&self, name: &str) -> Option<Precision> {
        self.choices.iter().find(|(layer, _)| layer == name).map(|(_, candidate)| candidate.precision)
    }
}

/// What the layers so far can be.
#[derive(Clone, Copy, Default)]
struct State {
    bytes: usize,
    error: f64,
    /// Candidate of the last of them.
    choice: usize,
    /// State of those before it.
    parent: usize,
}

/// The least that some layers take.
#[derive(Clone, Copy, Default)]
struct Least {
    bytes: usize,
    error: f64,
}

fn check(layers: &[Layer]) -> Result<(), QuantError> {
    for Layer { name, candidates } in layers {
        if candidates.is_empty() {
            return Err(QuantError::NoCandidates { layer: name.clone() });
        }
        if let Some(odd) = candidates.iter().find(|c| !(c.error >= 0.0 && c.error.is_finite())) {
            let Candidate { precision, error, .. } = *odd;
            return Err(QuantError::CandidateError { layer: name.clone(), precision, error });
        }
    }
    Ok(())
}

/// The least that the layers from each on take, and nothing for those after the last.
fn rests(layers: &[Layer]) -> Vec<Least> {
    let mut rests = vec![Least::default(); layers.len() + 1];
    for (i, Layer { candidates, .. }) in layers.iter().enumerate().rev() {
        let bytes = candidates.iter().map(|c| c.bytes).min().unwrap_or(0);
        let error = candidates.iter().map(|c| c.error).fold(f64::INFINITY, f64::min);
        let rest = rests[i + 1];
        rests[i] = Least { bytes: rest.bytes.saturating_add(bytes), error: rest.error + error };
    }
    rests
}

/// Sorts by bytes and leaves out every state for which another has neither more bytes nor more error.
fn keep_frontier(states: &mut Vec<State>) {
    states.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error)));
    let mut least = f64::INFINITY;
    states.retain(|state| {
        let better = state.error < least;
        least = least.min(state.error);
        better
    });
}

/// Keeps of each of `most` equal intervals of bytes the state of least error, and that of fewest bytes, with which alone
/// a narrow budget may be kept.
fn thin(states: &mut Vec<State>, most: usize) {
    if states.len() <= most {
        return;
    }
    let first = states[0].bytes;
    let width = (states[states.len() - 1].bytes - first) / most + 1;
    let interval = |state: &State| (state.bytes - first) / width;
    let mut at = 0;
    let ends: Vec<bool> = states.iter().zip(&states[1..]).map(|(a, b)| interval(a) != interval(b)).collect();
    states.retain(|_| {
        at += 1;
        at == 1 || ends.get(at - 1).is_none_or(|end| *end)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers of a few candidates each, better ones larger, by and large.
    fn layers(count: usize, candidates: usize, seed: u64) -> Vec<Layer> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 40
        };
        (0..count)
            .map(|i| {
                let size = 1 + next() % 1000;
                let candidate = |j: usize, luck: u64| Candidate {
                    precision: Precision::ALL[j],
                    bytes: (size * (1 << j) + luck % size) as usize,
                    error: (luck % 1000) as f64 / 4.0_f64.powi(j as i32),
                };
                let candidates = (0..candidates).map(|j| candidate(j, next())).collect();
                Layer { name: format!("layer {i}"), candidates }
            })
            .collect()
    }

    /// Bytes and error of every plan there is.
    fn every(layers: &[Layer]) -> Vec<(usize, f64)> {
        layers.iter().fold(vec![(0, 0.0)], |plans, layer| {
            let with =
                |c: &Candidate| plans.iter().map(|(b, e)| (b + c.bytes, e + c.error)).collect::<Vec<_>>();
            layer.candidates.iter().flat_map(with).collect()
        })
    }

    fn holds_together(plan: &Plan, layers: &[Layer]) {
        assert_eq!(plan.choices.len(), layers.len());
        for ((name, choice), layer) in plan.choices.iter().zip(layers) {
            assert!(*name == layer.name && layer.candidates.contains(choice));
        }
        assert_eq!(plan.bytes, plan.choices.iter().map(|(_, c)| c.bytes).sum::<usize>());
        assert_eq!(plan.error, plan.choices.iter().map(|(_, c)| c.error).sum::<f64>());
    }

    #[test]
    fn plans_are_the_best_there_are() {
        for seed in 1..9 {
            let layers = layers(5, 4, seed);
            let every = every(&layers);
            for (bytes, error) in every.iter().copied().step_by(7) {
                let plan = Plan::new(&layers, Budget::Bytes(bytes)).unwrap();
                holds_together(&plan, &layers);
                let fit = every.iter().filter(|plan| plan.0 <= bytes);
                assert_eq!(plan.error, fit.map(|plan| plan.1).fold(f64::INFINITY, f64::min));
                let plan = Plan::new(&layers, Budget::Error(error)).unwrap();
                holds_together(&plan, &layers);
                let fit = every.iter().filter(|plan| plan.1 <= error);
                assert_eq!(Some(plan.bytes), fit.map(|plan| plan.0).min());
            }
        }
    }

    #[test]
    fn a_thinned_frontier_costs_no_more_than_an_interval_a_layer() {
        let layers = layers(6, 4, 3);
        let every = every(&layers);
        let (most, states) = (every.iter().map(|plan| plan.0).max().unwrap(), 64);
        let slack = layers.len() * (most / states + 1);
        for (bytes, error) in every.iter().copied().step_by(31) {
            let plan = Plan::over(&layers, Budget::Bytes(bytes), states).unwrap();
            holds_together(&plan, &layers);
            let fit = every.iter().filter(|plan| plan.0 + slack <= bytes);
            assert!(plan.bytes <= bytes);
            assert!(plan.error <= fit.map(|plan| plan.1).fold(f64::INFINITY, f64::min));
            let plan = Plan::over(&layers, Budget::Error(error), states).unwrap();
            holds_together(&plan, &layers);
            let fit = every.iter().filter(|plan| plan.1 <= error);
            assert!(plan.error <= error && plan.bytes <= fit.map(|plan| plan.0).min().unwrap() + slack);
        }
    }

    #[test]
    fn the_least_is_possible_and_less_is_refused() {
        let layers = layers(7, 3, 1);
        let least = rests(&layers)[0];
        assert_eq!(Plan::new(&layers, Budget::Bytes(least.bytes)).unwrap().bytes, least.bytes);
        assert_eq!(Plan::over(&layers, Budget::Bytes(least.bytes), 2).unwrap().bytes, least.bytes);
        let error = Plan::new(&layers, Budget::Bytes(least.bytes - 1)).unwrap_err();
        assert_eq!(error, QuantError::ByteBudget { budget: least.bytes - 1, least: least.bytes });
        assert_eq!(Plan::new(&layers, Budget::Error(least.error)).unwrap().error, least.error);
        let budget = least.error * 0.999;
        let error = Plan::new(&layers, Budget::Error(budget)).unwrap_err();
        assert_eq!(error, QuantError::ErrorBudget { budget, least: least.error });
        assert!(Plan::new(&layers, Budget::Error(f64::NAN)).is_err());
        assert_eq!(
            QuantError::ByteBudget { budget: 7, least: 9 }.to_string(),
            "a budget of 7 bytes, and the least possible is 9"
        );
    }

    #[test]
    fn layers_that_cannot_be_planned_are_named() {
        let mut layers = layers(2, 2, 1);
        layers[1].candidates[0].error = f64::NAN;
        let error = Plan::new(&layers, Budget::Bytes(1 << 30)).unwrap_err().to_string();
        assert_eq!(error, "layer layer 1 in int2 has an error of NaN");
        layers[1].candidates.clear();
        let error = Plan::new(&layers, Budget::Bytes(1 << 30)).unwrap_err().to_string();
        assert_eq!(error, "layer layer 1 has no candidates");
        let nothing = Plan::new(&[], Budget::Bytes(0)).unwrap();
        assert_eq!((nothing.bytes, nothing.error, nothing.choices.len()), (0, 0.0, 0));
        assert_eq!(nothing.precision("layer 1"), None);
    }
}

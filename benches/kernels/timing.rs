//! Contestants that take turns, and the statistics of their rates.

use std::time::{Duration, Instant};

/// Something that is timed: it says how much one call does, in operations or bytes.
pub(crate) type Contestant<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Rates in units of 10⁹ a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A sample lasts at least this long, so that the clock's steps and calls do not matter.
const SAMPLE: Duration = Duration::from_millis(2);
const FEWEST: usize = 7;
const MOST: usize = 101;

/// Times all of them in turns for about `time` together.
pub(crate) fn race(contestants: &mut [Contestant<'_>], time: Duration) -> Vec<Rate> {
    let calls: Vec<usize> = contestants.iter_mut().map(|run| calls(run)).collect();
    let mut rates = vec![Vec::new(); contestants.len()];
    let start = Instant::now();
    while rates[0].len() < FEWEST || rates[0].len() < MOST && start.elapsed() < time {
        for ((run, calls), rates) in contestants.iter_mut().zip(&calls).zip(&mut rates) {
            let start = Instant::now();
            let done: f64 = (0..*calls).map(|_| run()).sum();
            rates.push(done / start.elapsed().as_secs_f64() * 1e-9);
        }
    }
    rates.into_iter().map(statistics).collect()
}

/// Calls of a sample.
fn calls(run: &mut Contestant<'_>) -> usize {
    run();
    let mut calls = 1;
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| _ = run());
        let taken = start.elapsed();
        if taken * 2 >= SAMPLE {
            let more = SAMPLE.as_secs_f64() / taken.as_secs_f64().max(1e-9);
            return ((calls as f64 * more).ceil() as usize).max(1);
        }
        calls *= 2;
    }
}

fn statistics(mut rates: Vec<f64>) -> Rate {
    rates.sort_by(f64::total_cmp);
    Rate { median: rates[rates.len() / 2], min: rates[0], max: rates[rates.len() - 1] }
}

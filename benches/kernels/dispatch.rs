//! Is the instruction set that detection picks the fastest for every shape? `cargo xtask bench dispatch`.

use anyhow::{Result, bail};
use std::time::Duration;
use tiny_vlm_simd::{Kind, Level};
use tiny_vlm_tensor::Workspace;

use crate::cases::{self, Case};
use crate::timing::{Contestant, race};

/// What the pick may lack to the fastest.
const TOLERANCE: f64 = 0.05;

/// The rates of one case, the pick's first.
struct Found {
    pick: f64,
    best: (Level, f64),
}

impl Found {
    fn lacks(&self) -> f64 {
        1.0 - self.pick / self.best.1
    }
}

/// Prints how the pick does in each of the cases that are wanted; with `assert`, one that is too slow twice is an error.
/// Portable code is left out: one call of it takes seconds on the larger shapes.
pub(crate) fn run(wanted: impl Fn(&Case) -> bool, time: Duration, assert: bool) -> Result<()> {
    let pick = Level::detect();
    let others = Level::available();
    let others = others.into_iter().filter(|level| *level != pick && level.kind() != Kind::Scalar);
    let others: Vec<Level> = others.collect();
    println!("{:<50} {:>10} {:>10}  fastest", "case", pick.name(), "best");
    let mut slow = Vec::new();
    for case in cases::all().into_iter().filter(Case::computes).filter(wanted) {
        let mut found = measure(&case, pick, &others, time);
        if found.lacks() > TOLERANCE {
            // A neighbour that wakes up is not the pick's fault.
            found = measure(&case, pick, &others, 4 * time);
        }
        let name = case.name();
        println!("{name:<50} {:>10.1} {:>10.1}  {}", found.pick, found.best.1, found.best.0.name());
        if found.lacks() > TOLERANCE {
            slow.push(format!("{name}: {:.1} % slower than {}", 100.0 * found.lacks(), found.best.0.name()));
        }
    }
    if assert && !slow.is_empty() {
        bail!("{} is not the best pick for\n  {}", pick.name(), slow.join("\n  "));
    }
    Ok(())
}

/// All levels in turns, on one thread.
fn measure(case: &Case, pick: Level, others: &[Level], time: Duration) -> Found {
    let workspace = Workspace::new(1);
    let ctx = workspace.context();
    let levels: Vec<Level> = [pick].into_iter().chain(others.iter().copied()).collect();
    let contestants = levels.iter().map(|level| -> Contestant<'_> {
        let mut subject = case.subject(*level);
        let ctx = &ctx;
        Box::new(move || {
            (subject.run)(ctx);
            subject.work
        })
    });
    let rates = race(&mut contestants.collect::<Vec<_>>(), time);
    let rated = levels.into_iter().zip(rates.iter().map(|rate| rate.median));
    let best = rated.max_by(|a, b| a.1.total_cmp(&b.1)).expect("the pick at least");
    Found { pick: rates[0].median, best }
}

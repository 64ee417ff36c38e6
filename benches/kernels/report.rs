//! A row of the table.

use anyhow::Result;
use serde::Serialize;
use std::time::Duration;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::Workspace;

use crate::cases::Case;
use crate::limits::{Limit, Loop};
use crate::peers::Pool;
use crate::timing::{Contestant, Rate, race};

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    op: &'static str,
    format: &'static str,
    group: Option<usize>,
    shape: String,
    isa: &'static str,
    threads: usize,
    kernel: String,
    median: f64,
    min: f64,
    max: f64,
    unit: &'static str,
    peak: Option<f64>,
    share_of_peak: Option<f64>,
    peer: Option<String>,
    peer_median: Option<f64>,
    /// All of them, the fastest first.
    peers: Vec<Peer>,
}

#[derive(Debug, Clone, Serialize)]
struct Peer {
    name: String,
    median: f64,
}

/// Times a case beside its limit and its peers. `peer` is the fastest of them.
pub(crate) fn measure(case: &Case, level: Level, workspace: &Workspace, pool: &Pool, time: Duration) -> Row {
    let threads = workspace.executor().threads();
    let subject = case.subject(level);
    let ctx = workspace.context();
    let mut limit = Loop::new(subject.limit, level);
    let mut run = subject.run;
    let work = subject.work;
    let mut contestants: Vec<Contestant<'_>> = vec![Box::new(|| {
        run(&ctx);
        work
    })];
    let limited = subject.limit != Limit::Time;
    if limited {
        contestants.push(Box::new(|| limit.run(&ctx)));
    }
    let others = contestants.len();
    let mut names = Vec::new();
    for (name, run) in case.peers(level, workspace, pool) {
        names.push(name);
        contestants.push(if let Limit::Read(_) = subject.limit {
            let mut run = run;
            // The same bytes as the subject's, whatever the peer reads: what counts is when it is done.
            Box::new(move || {
                run();
                work
            })
        } else {
            run
        });
    }
    let rates = race(&mut contestants, time);
    let rated = names.into_iter().zip(&rates[others..]);
    let mut peers: Vec<Peer> = rated.map(|(name, rate)| Peer { name, median: rate.median }).collect();
    peers.sort_by(|a, b| b.median.total_cmp(&a.median));
    let peer = peers.first().cloned();
    let (rate, peak) = (rates[0], limited.then(|| rates[1].median));
    // A rate of 10⁹ calls a second is a nanosecond a call.
    let microseconds = |rate: f64| 1e-3 / rate;
    let (rate, unit) = match subject.limit {
        Limit::Read(_) => (rate, "GB/s"),
        Limit::Time => {
            let [median, min, max] = [rate.median, rate.max, rate.min].map(microseconds);
            (Rate { median, min, max }, "µs")
        }
        _ => (rate, "Gop/s"),
    };
    Row {
        op: case.op,
        format: case.format,
        group: case.group,
        shape: case.shape(),
        isa: level.name(),
        threads,
        kernel: subject.kernel,
        median: rate.median,
        min: rate.min,
        max: rate.max,
        unit,
        peak,
        share_of_peak: peak.map(|peak| rate.median / peak),
        peer_median: peer.as_ref().map(|peer| peer.median),
        peer: peer.map(|peer| peer.name),
        peers,
    }
}

pub(crate) fn heading() {
    println!(
        "{:<12} {:<11} {:>5} {:<20} {:<10} {:>3} {:>8} {:>8} {:>8} {:<5} {:>8} {:>6}  peers",
        "op", "format", "group", "shape", "isa", "thr", "median", "min", "max", "unit", "peak", "share"
    );
}

pub(crate) fn print(row: &Row, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(row)?);
        return Ok(());
    }
    let group = row.group.map(|group| group.to_string()).unwrap_or_default();
    let peers: Vec<String> =
        row.peers.iter().map(|Peer { name, median }| format!("{median:.1} {name}")).collect();
    // A microsecond is to be told from one and a half.
    let digits = if row.peak.is_none() { 2 } else { 1 };
    let share = row.share_of_peak.map(|share| format!("{:.1}%", 100.0 * share)).unwrap_or_default();
    let peak = row.peak.map(|peak| format!("{peak:.1}")).unwrap_or_default();
    println!(
        "{:<12} {:<11} {group:>5} {:<20} {:<10} {:>3} {:>8.digits$} {:>8.digits$} {:>8.digits$} {:<5} {peak:>8} \
         {share:>6}  {}",
        row.op,
        row.format,
        row.shape,
        row.isa,
        row.threads,
        row.median,
        row.min,
        row.max,
        row.unit,
        peers.join(", "),
    );
    Ok(())
}

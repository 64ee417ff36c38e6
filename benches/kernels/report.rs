//! A row of the table.

use anyhow::Result;
use serde::Serialize;
use std::time::Duration;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::Workspace;

use crate::cases::Case;
use crate::limits::{Limit, Loop};
use crate::peers::Pool;
use crate::timing::{Contestant, race};

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
    peak: f64,
    share_of_peak: f64,
    peer: Option<String>,
    peer_median: Option<f64>,
}

/// Times a case beside its limit and its peers. Of several peers the fastest counts.
pub(crate) fn measure(case: &Case, level: Level, workspace: &Workspace, pool: &Pool, time: Duration) -> Row {
    let threads = workspace.executor().threads();
    let subject = case.subject(level);
    let ctx = workspace.context();
    let mut limit = Loop::new(subject.limit, level);
    let mut run = subject.run;
    let work = subject.work;
    let mut contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| {
            run(&ctx);
            work
        }),
        Box::new(|| limit.run(&ctx)),
    ];
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
    let peer = names.into_iter().zip(&rates[2..]).max_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let (rate, peak) = (rates[0], rates[1].median);
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
        unit: if let Limit::Read(_) = subject.limit { "GB/s" } else { "Gop/s" },
        peak,
        share_of_peak: rate.median / peak,
        peer_median: peer.as_ref().map(|(_, rate)| rate.median),
        peer: peer.map(|(name, _)| name),
    }
}

pub(crate) fn heading() {
    println!(
        "{:<12} {:<11} {:>5} {:<20} {:<10} {:>3} {:>8} {:>8} {:>8} {:<5} {:>8} {:>6}  peer",
        "op", "format", "group", "shape", "isa", "thr", "median", "min", "max", "unit", "peak", "share"
    );
}

pub(crate) fn print(row: &Row, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(row)?);
        return Ok(());
    }
    let group = row.group.map(|group| group.to_string()).unwrap_or_default();
    let peer = match (&row.peer, row.peer_median) {
        (Some(peer), Some(median)) => format!("{median:.1} {peer}"),
        _ => String::new(),
    };
    println!(
        "{:<12} {:<11} {group:>5} {:<20} {:<10} {:>3} {:>8.1} {:>8.1} {:>8.1} {:<5} {:>8.1} {:>5.1}%  {peer}",
        row.op,
        row.format,
        row.shape,
        row.isa,
        row.threads,
        row.median,
        row.min,
        row.max,
        row.unit,
        row.peak,
        100.0 * row.share_of_peak,
    );
    Ok(())
}

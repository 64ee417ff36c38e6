//! A checkpoint against what its reference implementation makes of it: `parity CHECKPOINT GOLDEN`, which
//! `cargo xtask parity` calls. Prints how far each stage is off in f32, and how far other precisions are from f32.

#[path = "../tests/golden/mod.rs"]
mod golden;

use std::path::PathBuf;
use std::process::ExitCode;

use golden::{CLOSE, Golden};
use tiny_vlm_models::{ModelOptions, Precision, open};
use tiny_vlm_tensor::default_threads;

fn main() -> ExitCode {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(checkpoint), Some(golden)) = (folders.next(), folders.next()) else {
        eprintln!("usage: parity CHECKPOINT GOLDEN");
        return ExitCode::FAILURE;
    };
    let load = |precision| open(&checkpoint, &ModelOptions::default().with_precision(precision));
    let exact = match load(Precision::F32) {
        Ok(model) => model,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (golden, threads) = (Golden::open(&golden), default_threads());
    let mut right = true;
    println!(
        "| f32 | pixels | prompt | farthest stage | off by | tokens answered alike |\n|---|---|---|---|---:|---:|"
    );
    for outcome in golden.compare(&*exact, threads) {
        let same = |same| if same { "identical" } else { "DIFFERENT" };
        let ((stage, far), (alike, tokens)) = (outcome.farthest(), outcome.generated);
        println!(
            "| {} | {} | {} | {stage} of {} | {far:.1e} | {alike} of {tokens} |",
            outcome.case,
            same(outcome.pixels),
            same(outcome.prompt),
            outcome.stages.len(),
        );
        right &= outcome.pixels && outcome.prompt && far < CLOSE && alike == tokens;
    }
    println!(
        "\n| precision | weights, MB | divergence from f32, nats | likeliest token the same |\n|---|---:|---:|---:|"
    );
    for precision in [Precision::Bf16, Precision::Int8, Precision::Int4] {
        let model = match load(precision) {
            Ok(model) => model,
            Err(error) => {
                eprintln!("{precision}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let (divergence, same) = golden.divergence(&*exact, &*model, threads);
        let megabytes = model.info().weight_bytes as f64 / 1e6;
        println!("| {precision} | {megabytes:.0} | {divergence:.2e} | {:.0} % |", 100.0 * same);
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

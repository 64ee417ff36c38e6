//! The `tiny-vlm` command: arguments in, answers on standard output, everything else on standard error.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod help;
mod hub;
mod input;
mod interrupt;
mod json;
mod language;
mod meter;
mod model;
mod output;
mod picture;
mod stats;
mod words;

use std::{ffi::OsString, io::Write, process::ExitCode};

use args::{Args, Command, Name};
use failure::Failure;
use output::Output;
use tiny_vlm::System;
use words::Words;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words = Words::new(language::choose(&arguments));
    let json = arguments.iter().take_while(|a| *a != "--").any(|argument| argument == "--json");
    let mut output = Output::new();
    let result = Args::parse(arguments).and_then(|args| run(&args, words, &mut output));
    let result = result.and_then(|code| output.flush().map(|()| code));
    match result {
        Ok(code) => code,
        Err(failure) => {
            if json {
                // The failure itself is reported below, whether or not this can be written.
                let _ = output.line(&json::failure(&failure, words)).and_then(|()| output.flush());
            }
            if let Some(report) = failure.report(words) {
                // Nobody is left to be told where standard error is closed.
                let _ = writeln!(std::io::stderr(), "{report}");
            }
            failure.exit_code()
        }
    }
}

fn run(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Help(name) => output.text(&help::text(name, words)).map(|()| ExitCode::SUCCESS),
        Command::Version => {
            output.line(concat!("tiny-vlm ", env!("CARGO_PKG_VERSION"))).map(|()| ExitCode::SUCCESS)
        }
        Command::Run(name) => {
            check_environment()?;
            match name {
                Name::Ask => commands::ask(args, words, output),
                Name::Caption => commands::caption(args, words, output),
                Name::Ocr => commands::ocr(args, words, output),
                Name::Detect => commands::detect(args, words, output),
                Name::Classify => commands::classify(args, words, output),
                Name::Embed => commands::embed(args, words, output),
                Name::Info => commands::info(args, words, output),
                Name::Inspect => commands::inspect(args, words, output),
                Name::Quantize => commands::quantize(args, words, output),
                Name::Bench => commands::bench(args, words, output),
                Name::Eval => commands::eval(args, words, output),
                Name::SelfTest => commands::self_test(args, words, output),
                Name::Pull => commands::pull(args, words, output),
                Name::Completions => commands::completions(args, output),
            }
        }
    }
}

/// A variable that names nothing known is a mistake worth knowing of before its effect is missed.
fn check_environment() -> Result<(), Failure> {
    match System::detect().unknown_isa {
        Some(isa) => {
            let known = "scalar, avx2, avxvnni, avx512, avx512vnni, avx512bf16, neon, dotprod, i8mm, simd128, relaxed";
            Err(Failure::usage(
                "value-wrong",
                &[("name", "TINY_VLM_ISA"), ("value", &isa), ("expected", known)],
            ))
        }
        None => Ok(()),
    }
}

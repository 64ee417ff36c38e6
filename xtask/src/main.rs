//! Builds, tests, lints and benches the workspace: `cargo xtask help` lists what it does.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod ci;
mod cross;
mod demo;
mod eval;
mod fuzz;
mod golden;
mod lint;
mod package;
mod parity;
mod sanitize;
mod shell;
mod size;
mod test;
mod wasm;
mod workspace;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser};
use std::process::ExitCode;
use workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  lint                      format, clippy, docs, layers, unsafe, file sizes, dependencies, fixtures, licences
  test [-p CRATE]...        every test and doctest of the host
       [--isa LEVEL|all]    the kernel crates' tests with TINY_VLM_ISA lowered to LEVEL, or to each level here
       [--target aarch64]   the tests of the crates below the runtime for 64-bit Arm, emulated
       [--target wasm32]    the same as WebAssembly in Node; those of the kernel crates with relaxed SIMD, too
  check [--target T|all]    the library crates checked for another target (default wasm32-unknown-unknown)
  bench [ARGUMENT]...       the criterion benchmarks; arguments go to them, a name filters
  bench kernels [--help]    every kernel on the shapes of the models, beside the machine's limits and other libraries
  bench dispatch [--assert] whether the instruction set that is picked is the fastest for each of those shapes
  bench quantization        what each number format loses of weights and products: the trained model's and made-up ones
  eval [SET] [--make N]     what nano can do, a row at a time, beside Tesseract; SET (default fixtures/eval) is a folder
                            with a labels.jsonl, which --make writes first, N pictures a row
  golden [FAMILY]...        the values that tests compare with, made again by the reference implementations that
                            fixtures/golden/requirements.txt and training/requirements.txt pin; PYTHON is the interpreter
  parity --family NAME --full FOLDER
                            a checkpoint at its published size against its reference implementation, stage by stage, and
                            its other precisions against f32
  parity --questions SET [--full FOLDER]
                            the same of precisions alone, on the questions of a set, such as fixtures/eval; without a
                            folder, of the model that is carried along
  fuzz [TARGET] [--seconds N]
                            a target of fuzz/, or each, from the fixtures on for N seconds (default 120); needs cargo-fuzz
  sanitize [--miri]         the tests of the crates with unsafe code under AddressSanitizer; in Miri, what it can run
  package                   every crate to be published, packed and built from its package, nothing uploaded
  wasm [--build NAME] [--test]
                            the package for browsers and Node, in target/npm/tiny-vlm, with the sizes of its parts; only
                            one of its modules; and its tests
  wasm --bench [--models DIR] [--rows TEXT] [--threads N,..] [--json]
                            what that package takes in a browser, with checkpoints in DIR and beside onnxruntime-web
  demo [--port N] [--plain] the page of crates/wasm/www with that package on this machine; without the headers that
       [--models DIR]       threads need; with the models in DIR below /models/
  size                      the embedded model within its limits of bytes and parameters
  ci [--skip S,..]          all of the above but bench, eval, golden, parity and fuzz, as CI runs it; names of steps as listed by `ci --list`
     [--only S,..]
";

fn main() -> ExitCode {
    match command(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(mut parser: Parser) -> Result<()> {
    let name = match parser.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => "help".to_owned(),
        Some(Arg::Value(name)) => name.to_string_lossy().into_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    let workspace = Workspace::load()?;
    match name.as_str() {
        "lint" => no_more(parser).and_then(|()| lint::run(&workspace)),
        "test" => test::command(&workspace, parser),
        "check" => check::command(&workspace, parser),
        "eval" => eval::command(&workspace, parser),
        "golden" => golden::command(&workspace, parser),
        "parity" => parity::command(&workspace, parser),
        "fuzz" => fuzz::command(&workspace, parser),
        "sanitize" => sanitize::command(&workspace, parser),
        "bench" => bench::command(&workspace, parser),
        "package" => no_more(parser).and_then(|()| package::run(&workspace)),
        "size" => no_more(parser).and_then(|()| size::run(&workspace)),
        "wasm" => wasm::command(&workspace, parser),
        "demo" => demo::command(&workspace, parser),
        "ci" => ci::command(&workspace, parser),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}

/// Refuses arguments after a command that takes none.
fn no_more(mut parser: Parser) -> Result<()> {
    match parser.next()? {
        None => Ok(()),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

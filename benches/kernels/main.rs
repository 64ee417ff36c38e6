//! Every kernel timed on the shapes of the models, beside the machine's own limits and beside other libraries, all in
//! the same run: `cargo xtask bench kernels`.
//!
//! The subject, its peers and the loop that shows the limit take turns, sample by sample, so that a clock that
//! changes or a neighbour that wakes up hits them alike.

#[cfg(not(target_family = "wasm"))]
mod candle;
mod cases;
mod dispatch;
mod limits;
#[cfg_attr(target_family = "wasm", path = "no_peers.rs")]
mod peers;
mod report;
mod timing;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::time::Duration;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::Workspace;

use crate::cases::Case;
use crate::peers::Pool;

const HELP: &str = "\
cargo xtask bench kernels [OPTION]...

  --filter WORDS    only rows whose op, format, group and shape hold each of these words, parted by spaces
  --threads N,N     numbers of threads (1); candle-core, whose threads are for life, runs beside the first
  --isa NAME,NAME   levels, by the names that TINY_VLM_ISA takes (the best of the machine)
  --time SECONDS    how long to measure a row (0.5)
  --json            one object a line
  --target wasm32   in Node, with relaxed vectors, one thread and no other libraries

cargo xtask bench dispatch [--filter WORDS] [--time SECONDS] [--assert]

  the level that is picked beside the others that the machine has, but for portable code; with --assert, an error where
  it is over 5 % slower than the best of them
";

struct Options {
    filter: Vec<String>,
    threads: Vec<usize>,
    levels: Vec<Level>,
    time: Duration,
    json: bool,
    dispatch: bool,
    assert: bool,
}

impl Options {
    fn want(&self, case: &Case) -> bool {
        let name = case.name();
        self.filter.iter().all(|word| name.split(' ').any(|part| part.contains(word.as_str())))
    }
}

fn main() -> Result<()> {
    let Some(options) = options(Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    if options.dispatch {
        return dispatch::run(|case| options.want(case), options.time, options.assert);
    }
    if let Some(threads) = options.threads.first() {
        // SAFETY: every thread is started below.
        unsafe { peers::set_threads(*threads) };
    }
    if !options.json {
        report::heading();
    }
    for case in cases::all().into_iter().filter(|case| options.want(case)) {
        for &threads in &options.threads {
            let workspace = Workspace::new(threads);
            let pool = Pool::new(threads)?;
            for &level in &options.levels {
                let row = report::measure(&case, level, &workspace, &pool, options.time);
                report::print(&row, options.json)?;
            }
        }
    }
    Ok(())
}

fn options(mut parser: Parser) -> Result<Option<Options>> {
    let mut options = Options {
        filter: Vec::new(),
        threads: vec![1],
        levels: vec![Level::detect()],
        time: Duration::from_millis(500),
        json: false,
        dispatch: false,
        assert: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("filter") => {
                let words = parser.value()?.string()?;
                options.filter.extend(words.split_whitespace().map(str::to_owned));
            }
            Arg::Long("threads") => {
                let list = parser.value()?.string()?;
                options.threads = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
                if options.threads.contains(&0) {
                    bail!("no threads cannot run anything");
                }
            }
            Arg::Long("isa") => {
                let list = parser.value()?.string()?;
                options.levels = list
                    .split(',')
                    .map(|name| match Level::at_most(name) {
                        Ok(level) => Ok(level),
                        Err(unknown) => bail!("{unknown}"),
                    })
                    .collect::<Result<_>>()?;
            }
            Arg::Long("time") => options.time = Duration::from_secs_f64(parser.value()?.parse()?),
            Arg::Long("json") => options.json = true,
            Arg::Long("assert") => options.assert = true,
            Arg::Value(command) if command == "dispatch" => options.dispatch = true,
            Arg::Long("help") => return Ok(None),
            // Cargo and the runner of WebAssembly's programs add these.
            Arg::Long("bench" | "nocapture") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    if options.assert && !options.dispatch {
        bail!("--assert goes with `dispatch`");
    }
    Ok(Some(options))
}

//! `cargo xtask fuzz`: a target of `fuzz/` for a while, from what the fixtures give it to start with.

use crate::lint::Faults;
use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

struct Target {
    name: &'static str,
    /// Folders whose files are what the first inputs are made of.
    seeds: &'static [&'static str],
    /// Bytes of the longest input.
    longest: u32,
}

const TARGETS: &[Target] = &[
    Target { name: "image", seeds: &["fixtures/image"], longest: 4096 },
    Target { name: "weights", seeds: &["fixtures/decoder"], longest: 16_384 },
    Target { name: "gguf", seeds: &["fixtures/gguf"], longest: 16_384 },
    Target { name: "tokenizer", seeds: &["fixtures/nano", "fixtures/text"], longest: 40_000 },
    Target { name: "compiled", seeds: &[], longest: 4096 },
    Target {
        name: "config",
        seeds: &[
            "crates/nano/model",
            "fixtures/models/fastvlm",
            "fixtures/models/fastvlm-apple",
            "fixtures/models/florence2",
            "fixtures/models/smolvlm-tiny-granite",
            "fixtures/models/smolvlm-tiny-tied",
        ],
        longest: 4096,
    },
    Target {
        name: "beside",
        seeds: &[
            "fixtures/models/smolvlm-tiny-tied",
            "fixtures/models/florence2",
            "fixtures/models/resnet-paper",
        ],
        longest: 2048,
    },
    Target { name: "index", seeds: &["fixtures/models/smolvlm-tiny"], longest: 8192 },
    Target { name: "regions", seeds: &["fixtures/models/florence2"], longest: 1024 },
    Target { name: "request", seeds: &["fuzz/seeds/request"], longest: 1024 },
    Target { name: "template", seeds: &["fixtures/models/smolvlm-tiny-tied"], longest: 4096 },
    Target { name: "tiles", seeds: &["fixtures/models/smolvlm-tiny"], longest: 4096 },
    Target {
        name: "image_config",
        seeds: &[
            "fixtures/models/resnet18-timm",
            "fixtures/models/resnet-bottleneck",
            "fixtures/models/fastvit-t8",
        ],
        longest: 4096,
    },
];

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut chosen, mut seconds) = (None, 120);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("seconds") => seconds = parser.value()?.parse()?,
            Arg::Value(name) if chosen.is_none() => chosen = Some(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let install = "`cargo install --locked cargo-fuzz`, and a C++ compiler";
    ensure!(shell::find("cargo-fuzz").is_some(), "cargo-fuzz is not installed: {install}");
    let Some(chosen) = chosen else {
        return TARGETS.iter().try_for_each(|target| run(workspace, target, seconds));
    };
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let target = TARGETS.iter().find(|target| target.name == chosen);
    run(workspace, target.with_context(|| format!("no such target; there are {}", names()))?, seconds)
}

/// Every target of the package is one of the above.
pub(crate) fn check(targets: &Workspace, faults: &mut Faults) {
    let files = targets.packages.iter().flat_map(|package| &package.targets).map(|target| &target.src_path);
    for file in
        files.filter(|file| !TARGETS.iter().any(|target| file.ends_with(format!("{}.rs", target.name))))
    {
        let file = targets.relative(file).display();
        faults
            .push(format!("fuzz/{file}: `cargo xtask fuzz` does not know it: name it in xtask/src/fuzz.rs"));
    }
}

/// What is found is kept in `fuzz/corpus/TARGET`, which comes before the folders that are only read.
fn run(workspace: &Workspace, target: &Target, seconds: u32) -> Result<()> {
    let corpus = format!("fuzz/corpus/{}", target.name);
    std::fs::create_dir_all(workspace.root.join(&corpus))?;
    shell::run(
        shell::cargo()
            .current_dir(&workspace.root)
            // Instrumenting is not stable; the compiler is told to allow it.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", target.name, &corpus])
            .args(target.seeds)
            .args(["--", &format!("-max_total_time={seconds}"), &format!("-max_len={}", target.longest)]),
    )
}

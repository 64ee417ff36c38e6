//! What a visitor has to fetch, compressed as servers compress it, and held against what it may be.

use crate::shell;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

/// Bytes of a module, by Brotli at its best.
const MODULE: u64 = 1_100_000;
/// Bytes of the page with everything but weights, by gzip: the scripts and one module.
const PAGE: u64 = 1_600_000;

/// Prints `name, bytes, gzip, brotli` of each argument, a line each.
const MEASURE: &str = "
const { readFileSync } = require('fs'), { basename } = require('path'), zlib = require('zlib');
for (const file of process.argv.slice(1)) {
  const bytes = readFileSync(file);
  const brotli = zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 11 } });
  console.log(basename(file), bytes.length, zlib.gzipSync(bytes, { level: 9 }).length, brotli.length);
}";

struct Size {
    name: String,
    bytes: u64,
    gzip: u64,
    brotli: u64,
}

pub(crate) fn check(workspace: &Workspace, package: &Path) -> Result<()> {
    if shell::find("node").is_none() {
        eprintln!("xtask: NOT CHECKED: sizes of the package, because there is no node to compress it");
        return Ok(());
    }
    let mut modules = measure(package, &["wasm"])?;
    let mut scripts = measure(package, &["js"])?;
    let page = workspace.root.join("crates/wasm/www");
    if page.is_dir() {
        scripts.extend(measure(&page, &["html", "css", "js"])?);
    }
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    println!("{:<24} {:>10} {:>10} {:>10}", "", "bytes", "gzip", "brotli");
    for size in modules.iter().chain(&scripts) {
        println!("{:<24} {:>10} {:>10} {:>10}", size.name, size.bytes, size.gzip, size.brotli);
    }
    let mut page: u64 = scripts.iter().map(|size| size.gzip).sum();
    page += modules.iter().map(|size| size.gzip).max().unwrap_or(0);
    println!("{:<24} {:>10} {:>10}", "page with one module", "", page);
    for size in &modules {
        ensure!(size.brotli <= MODULE, "{}: {} bytes by Brotli, at most {MODULE}", size.name, size.brotli);
    }
    ensure!(page <= PAGE, "the page has {page} bytes by gzip, at most {PAGE}");
    Ok(())
}

fn measure(folder: &Path, extensions: &[&str]) -> Result<Vec<Size>> {
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
            files.push(path);
        }
    }
    files.sort();
    let lines = shell::output(Command::new("node").args(["-e", MEASURE]).args(&files))?;
    lines.lines().map(size).collect()
}

fn size(line: &str) -> Result<Size> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [name, bytes, gzip, brotli] = fields[..] else { bail!("unexpected `{line}`") };
    Ok(Size { name: name.to_owned(), bytes: bytes.parse()?, gzip: gzip.parse()?, brotli: brotli.parse()? })
}

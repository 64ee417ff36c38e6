//! Rules of the source that no compiler knows: where `unsafe` may be, how long a file is, what is left undone.

use super::Faults;
use crate::workspace::{Package, Workspace};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// The crates that may hold `unsafe`; each block is then justified under clippy's eye. The browser's module may at its
/// boundary, and denies it elsewhere.
const UNSAFE: &[&str] =
    &["tiny-vlm-memory", "tiny-vlm-simd", "tiny-vlm-kernels", "tiny-vlm-tensor", "tiny-vlm-wasm"];
const FORBID: &str = "#![forbid(unsafe_code)]";

const LONGEST: usize = 700;
const CODE: &[&str] = &["rs", "py", "js", "mjs", "ts", "sh"];

/// Marks of unfinished work, spelt so that this file does not hold them. Clippy knows the macros of that kind.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("#[ig", "nore]"),
];

pub(super) fn check<'p>(
    workspace: &Workspace,
    packages: impl Iterator<Item = &'p Package>,
    faults: &mut Faults,
) -> Result<()> {
    for package in packages {
        let manifest = read(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            let manifest = workspace.relative(&package.manifest_path).display();
            faults.push(format!("{manifest}: `[lints]` with `workspace = true` is missing"));
        }
        if UNSAFE.contains(&package.name.as_str()) {
            continue;
        }
        for target in package.targets.iter().filter(|target| target.is("lib") || target.is("bin")) {
            if !read(&target.src_path)?.contains(FORBID) {
                let root = workspace.relative(&target.src_path).display();
                faults.push(format!("{root}: `{FORBID}` is missing"));
            }
        }
    }

    for path in workspace.files()? {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if !CODE.contains(&extension.as_ref()) {
            continue;
        }
        let text = read(&workspace.root.join(&path))?;
        let lines = text.lines().count();
        if lines > LONGEST {
            let path = path.display();
            faults.push(format!("{path}: {lines} lines, at most {LONGEST}; one idea a file, split it"));
        }
        for (number, line) in text.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| holds(line, word)) {
                faults.push(format!("{}:{}: `{word}`: finish it or take it out", path.display(), number + 1));
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Whether `line` holds `word`, and not as part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let joins = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !joins(before.chars().next_back()) && !joins(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_word_is_found_only_whole() {
        let mark = concat!("TO", "DO");
        assert!(holds(&format!("// {mark}: more"), mark));
        assert!(!holds(&format!("let m{mark} = 1;"), mark));
        assert!(!holds(&format!("{mark}S"), mark));
        assert!(holds(&format!("{mark}S {mark}"), mark));
    }
}

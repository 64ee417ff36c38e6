//! Two tables kept true: why each dependency is there, and where each fixture comes from.

use super::Faults;
use crate::workspace::{Package, Workspace};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

const DEPENDENCIES: &str = "docs/dependencies.md";
const FIXTURES: &str = "fixtures/README.md";

pub(super) fn check<'p>(
    workspace: &Workspace,
    packages: impl Iterator<Item = &'p Package>,
    faults: &mut Faults,
) -> Result<()> {
    dependencies(workspace, packages, faults)?;
    fixtures(workspace, faults)
}

/// Every crate that a manifest here names has a row, and every row is such a crate.
fn dependencies<'p>(
    workspace: &Workspace,
    packages: impl Iterator<Item = &'p Package>,
    faults: &mut Faults,
) -> Result<()> {
    let listed = first_column(workspace, DEPENDENCIES)?;
    let used: BTreeSet<String> = packages
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.clone())
        .collect();
    for name in used.difference(&listed) {
        faults.push(format!("{DEPENDENCIES}: `{name}` is missing; say in one row why it is needed"));
    }
    for name in listed.difference(&used) {
        faults.push(format!("{DEPENDENCIES}: `{name}` is no dependency any more; take its row out"));
    }
    Ok(())
}

/// Every fixture has a row of its own or lies in a folder that has one (`folder/`); every row is there.
fn fixtures(workspace: &Workspace, faults: &mut Faults) -> Result<()> {
    let listed = first_column(workspace, FIXTURES)?;
    let mut unseen = listed.clone();
    let mut missing: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for path in workspace.files()? {
        let Ok(file) = path.strip_prefix("fixtures") else { continue };
        let file = file.to_string_lossy().into_owned();
        let covers = |row: &String| *row == file || row.ends_with('/') && file.starts_with(row);
        unseen.retain(|row| !covers(row));
        if file != "README.md" && !listed.iter().any(covers) {
            missing.entry(path.with_file_name("")).or_default().push(file);
        }
    }
    for (folder, files) in missing {
        let (folder, count, first) = (folder.display(), files.len(), &files[0]);
        faults.push(format!(
            "{folder}: {count} files without a row in {FIXTURES}, first `{first}`; say whence and what licence"
        ));
    }
    for row in unseen {
        faults.push(format!("{FIXTURES}: there is no `{row}`; take its row out"));
    }
    Ok(())
}

/// The names in back quotes that open the rows of a Markdown table; a row may open with several.
fn first_column(workspace: &Workspace, path: &str) -> Result<BTreeSet<String>> {
    let text =
        fs::read_to_string(workspace.root.join(path)).with_context(|| format!("{path} cannot be read"))?;
    let cells = text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    Ok(cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect())
}

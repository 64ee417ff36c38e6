//! Where models of the hub lie on this machine.

#[cfg(feature = "hub")]
use std::path::Path;
use std::{env, ffi::OsString, fs, path::PathBuf};

use super::{Repo, repo::is_commit};

/// The cache of the hub's clients.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache that the environment names, or the usual one.
    pub(crate) fn find() -> Option<Self> {
        Self::from_variables(|name| env::var_os(name))
    }

    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `huggingface/hub` where caches are kept.
    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let root = named.or_else(|| Some(hub_home(path)?.join("hub")))?;
        Some(Self { root })
    }

    /// The folder of a model's files at a revision, if it was fetched.
    pub(crate) fn snapshot(&self, repo: &Repo, revision: &str) -> Option<PathBuf> {
        let folder = self.folder(repo);
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else {
            fs::read_to_string(folder.join("refs").join(revision)).ok()?.trim().to_owned()
        };
        let snapshot = folder.join("snapshots").join(&commit);
        (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// All that the cache has of a model.
    pub(super) fn folder(&self, repo: &Repo) -> PathBuf {
        self.root.join(repo.folder())
    }
}

/// `HF_HOME`, else `huggingface` where caches are kept.
pub(super) fn hub_home(path: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let caches = || {
        let home = path("HOME").or_else(|| path("USERPROFILE"));
        path("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")))
    };
    path("HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
}

/// Makes `link` stand for `file`: as a relative link, or where the system has none as a second name or a copy.
#[cfg(feature = "hub")]
pub(super) fn link(file: &Path, link: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(link).is_ok() {
        if fs::canonicalize(link).ok() == fs::canonicalize(file).ok() {
            return Ok(());
        }
        fs::remove_file(link)?;
    }
    #[cfg(unix)]
    if let Some(name) = file.file_name() {
        // From snapshots/COMMIT/ to blobs/.
        let target = Path::new("../../blobs").join(name);
        if std::os::unix::fs::symlink(target, link).is_ok() {
            return Ok(());
        }
    }
    fs::hard_link(file, link).or_else(|_| fs::copy(file, link).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let root = |pairs: &[(&str, &str)]| {
            Cache::from_variables(|name| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).into())
            })
            .map(|cache| cache.root)
        };
        assert_eq!(root(&[("HOME", "/h")]), Some(PathBuf::from("/h/.cache/huggingface/hub")));
        assert_eq!(root(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/huggingface/hub".into()));
        assert_eq!(root(&[("HOME", "/h"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "")]), Some("/f/hub".into()));
        assert_eq!(root(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Some("/c".into()));
        assert_eq!(root(&[]), None);
    }
}

//! What a model of the hub is called.

use std::fmt;

/// `OWNER/NAME`, both made of letters, digits, `-`, `_` and `.` as the hub has them; nothing that could lead a path
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repo {
    owner: String,
    name: String,
}

impl Repo {
    /// The model of this name, if it is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        let both = is_part(owner) && is_part(name);
        both.then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// The model and the revision of `OWNER/NAME` or `OWNER/NAME@REVISION`, which is `main` where it is not said.
    pub(crate) fn parse_with_revision(text: &str) -> Option<(Self, &str)> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        is_revision(revision).then_some((Self::parse(name)?, revision))
    }

    /// Its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

fn is_part(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let ends = |edge: &[char]| text.starts_with(edge) || text.ends_with(edge);
    (1..=96).contains(&text.len())
        && letters
        && !ends(&['-', '.'])
        && !text.contains("..")
        && !text.contains("--")
}

/// Whether this may name a revision: a branch, a tag, a commit, or `refs/pr/N`.
pub(crate) fn is_revision(text: &str) -> bool {
    let part = |part: &str| {
        let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
        !part.is_empty() && letters && !part.starts_with(['.', '-']) && !part.contains("..")
    };
    text.len() <= 200 && text.split('/').all(part)
}

/// Whether this is the full name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Whether this is a number of so many hexadecimal digits in lower case.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_nowhere_else() {
        let repo = Repo::parse("microsoft/resnet-50").unwrap();
        assert_eq!(
            (repo.folder().as_str(), repo.to_string().as_str()),
            ("models--microsoft--resnet-50", "microsoft/resnet-50")
        );
        assert!(Repo::parse("timm/resnet50.a1_in1k").is_some());
        for wrong in [
            "resnet", "a/b/c", "/a", "a/", "../b", "a/..", "a/.b", "a/b..c", "a--b/c", "a b/c", "a/b\n",
            "a\\b/c", "ä/b",
        ] {
            assert!(Repo::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn revisions_that_lead_nowhere_else() {
        assert_eq!(Repo::parse_with_revision("a/b").unwrap().1, "main");
        assert_eq!(Repo::parse_with_revision("a/b@refs/pr/1").unwrap().1, "refs/pr/1");
        for wrong in ["", "/main", "main/", "a//b", "..", "a/../b", "-x", "a b", ".hidden"] {
            assert!(!is_revision(wrong), "{wrong:?}");
            assert!(Repo::parse_with_revision(&format!("a/b@{wrong}")).is_none());
        }
        assert!(is_commit(&"0a".repeat(20)) && !is_commit(&"0A".repeat(20)) && !is_commit("abc"));
    }
}

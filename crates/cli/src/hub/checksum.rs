//! What the hub says the contents of a file add up to: SHA-256 of large files, git's name of small ones.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::repo::is_hex;

/// The checksum of a file, which is also its name among the cache's blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// SHA-256 of the contents.
    Sha256(String),
    /// SHA-1 of git's header and the contents.
    Git(String),
}

impl Checksum {
    pub(super) fn sha256(hex: &str) -> Option<Self> {
        is_hex(hex, 64).then(|| Self::Sha256(hex.to_owned()))
    }

    pub(super) fn git(hex: &str) -> Option<Self> {
        is_hex(hex, 40).then(|| Self::Git(hex.to_owned()))
    }

    /// Its hexadecimal digits.
    pub(super) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    /// Begins to add up contents of `size` bytes.
    pub(super) fn begin(&self, size: u64) -> Sum {
        match self {
            Self::Sha256(_) => Sum::Sha256(Sha256::new()),
            Self::Git(_) => Sum::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

/// Contents that are being added up.
pub(super) enum Sum {
    Sha256(Sha256),
    Git(Sha1),
}

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Git(sum) => sum.update(bytes),
        }
    }

    /// Whether it is what it should be.
    pub(super) fn is(self, checksum: &Checksum) -> bool {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sum = match self {
            Self::Sha256(sum) => hex(&sum.finalize()),
            Self::Git(sum) => hex(&sum.finalize()),
        };
        sum == checksum.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `git hash-object` and `sha256sum` say of these bytes.
    #[test]
    fn sums_are_git_s_and_sha256_s() {
        for checksum in [
            Checksum::git("ce013625030ba8dba906f756967f9e9ca394464a").unwrap(),
            Checksum::sha256("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03").unwrap(),
        ] {
            let mut sum = checksum.begin(6);
            sum.add(b"hel");
            sum.add(b"lo\n");
            assert!(sum.is(&checksum));
            assert!(!checksum.begin(6).is(&checksum));
        }
        assert!(Checksum::git("../../x").is_none() && Checksum::sha256(&"g".repeat(64)).is_none());
    }
}

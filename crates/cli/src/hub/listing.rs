//! What files a model has on the hub, and which of them are needed here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{checksum::Checksum, repo::is_commit};

/// The weights where they are one file, and where they are several.
const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// More bytes than a configuration, a vocabulary or a template has.
const MOST_BYTES_OF_TEXT: u64 = 256 << 20;

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
}

/// The files of a model at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Listing {
    /// Reads the hub's answer to what a revision has; what cannot be used is said.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !is_commit(&answer.sha) {
            return Err(format!("{:?} is no commit", answer.sha.chars().take(80).collect::<String>()));
        }
        let files = answer.siblings.iter().filter(|file| is_plain(&file.rfilename));
        let files = files.map(Sibling::file).collect::<Result<_, _>>()?;
        Ok(Self { commit: answer.sha, files })
    }

    /// Configurations, vocabularies and templates: what a model needs besides its weights.
    pub(super) fn texts(&self) -> impl Iterator<Item = &RemoteFile> {
        self.files.iter().filter(|file| {
            let kind = file.name.rsplit_once('.').map_or("", |(_, kind)| kind);
            let other_weights = file.name.ends_with(".index.json") && file.name != INDEX;
            ["json", "txt", "jinja"].contains(&kind) && !other_weights && file.size <= MOST_BYTES_OF_TEXT
        })
    }

    /// Whether the weights are several files, which [`INDEX`] names.
    pub(super) fn is_sharded(&self) -> bool {
        self.file(WEIGHTS).is_none() && self.file(INDEX).is_some()
    }

    /// The one file of the weights.
    pub(super) fn weights(&self) -> Option<&RemoteFile> {
        self.file(WEIGHTS)
    }

    /// The files of the weights that an index names.
    pub(super) fn shards(&self, index: &[u8]) -> Result<Vec<&RemoteFile>, String> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        let shard = |name: &String| {
            let known = self.file(name).filter(|_| name.ends_with(".safetensors"));
            known.ok_or_else(|| format!("no shard {:?}", name.chars().take(80).collect::<String>()))
        };
        names.into_iter().map(shard).collect()
    }

    fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Sibling {
    fn file(&self) -> Result<RemoteFile, String> {
        let name = self.rfilename.clone();
        let large = self.lfs.as_ref().map(|lfs| (Checksum::sha256(&lfs.sha256), lfs.size));
        let small = || Some((Checksum::git(self.blob_id.as_deref()?), self.size?));
        match large.or_else(small) {
            Some((Some(checksum), size)) => Ok(RemoteFile { name, size, checksum }),
            _ => Err(format!("no size and checksum of {name}")),
        }
    }
}

/// Whether a file lies at the top of its model, under a name that is one everywhere.
fn is_plain(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
    (1..=200).contains(&name.len()) && letters && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[&str]) -> Result<Listing, String> {
        let sibling =
            |name: &&str| serde_json::json!({"rfilename": name, "size": 3, "blobId": "ab".repeat(20)});
        let siblings: Vec<_> = files.iter().map(sibling).collect();
        Listing::parse(
            serde_json::json!({"sha": "cd".repeat(20), "siblings": siblings}).to_string().as_bytes(),
        )
    }

    #[test]
    fn only_what_a_model_needs() {
        let listing = listing(&[
            "config.json",
            "merges.txt",
            "chat_template.jinja",
            "README.md",
            ".gitattributes",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "model.safetensors",
            "onnx/config.json",
            "../evil.json",
            "a b.json",
            "tf_model.h5",
            "preprocessor_config.json",
        ]);
        let listing = listing.unwrap();
        let names: Vec<_> = listing.texts().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["config.json", "merges.txt", "chat_template.jinja", "preprocessor_config.json"]);
        assert!(!listing.is_sharded() && listing.weights().is_some());
    }

    #[test]
    fn shards_are_those_of_the_index() {
        let listing =
            listing(&[INDEX, "model-1.safetensors", "model-2.safetensors", "other.safetensors"]).unwrap();
        assert!(listing.is_sharded());
        let index = br#"{"metadata": {}, "weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}"#;
        let shards = listing.shards(index).unwrap();
        assert_eq!(
            shards.iter().map(|file| &file.name[..]).collect::<Vec<_>>(),
            ["model-1.safetensors", "model-2.safetensors"]
        );
        for wrong in
            [&b"{}"[..], b"", br#"{"weight_map": {"a": "../x"}}"#, br#"{"weight_map": {"a": "config.json"}}"#]
        {
            assert!(listing.shards(wrong).is_err());
        }
    }

    #[test]
    fn answers_that_are_none_say_so() {
        assert!(Listing::parse(b"[]").is_err() && Listing::parse(b"").is_err());
        assert!(Listing::parse(br#"{"sha": "../..", "siblings": []}"#).unwrap_err().contains("no commit"));
        let sha = "0".repeat(40);
        let unsummed =
            format!(r#"{{"sha": "{sha}", "siblings": [{{"rfilename": "config.json", "size": 3}}]}}"#);
        assert!(Listing::parse(unsummed.as_bytes()).unwrap_err().contains("config.json"));
        let evil = format!(
            r#"{{"sha": "{sha}", "siblings": [{{"rfilename": "config.json", "size": 3, "blobId": "../x"}}]}}"#
        );
        assert!(Listing::parse(evil.as_bytes()).is_err());
    }
}

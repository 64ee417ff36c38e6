//! Models of the hub: where they lie on this machine, and how they come there.
//!
//! The cache is the one that the hub's own clients share: `models--OWNER--NAME/` with the files' contents in `blobs/`
//! under their checksums, `snapshots/COMMIT/` whose files are links to those, and `refs/REVISION` that names a commit.
//! Whatever fetched a model, `--model OWNER/NAME` finds it; only `pull` opens the network.

mod cache;
#[cfg(feature = "hub")]
mod checksum;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod listing;
mod repo;

pub(crate) use cache::Cache;
pub(crate) use repo::Repo;
#[cfg(feature = "hub")]
pub(crate) use {client::Client, download::Download, download::Fetched, repo::is_revision};

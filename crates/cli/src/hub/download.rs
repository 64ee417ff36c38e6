//! Files of a model into the cache: resumed where they were left, and kept only if they add up.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use ureq::{Body, http::Response, http::header};

use super::{
    Cache, Client, Repo,
    cache::link,
    checksum::Sum,
    listing::{INDEX, Listing, RemoteFile},
    repo::is_commit,
};
use crate::{failure::Failure, meter::Meter};

/// A model on its way into the cache.
pub(crate) struct Download<'a> {
    client: &'a Client,
    repo: &'a Repo,
    folder: PathBuf,
    listing: Listing,
    meter: &'a Meter,
}

/// A file that is there now.
pub(crate) struct Fetched {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Whether any of it had to be fetched.
    pub(crate) is_new: bool,
}

impl<'a> Download<'a> {
    /// Asks what the model has at a revision.
    pub(crate) fn new(
        client: &'a Client,
        cache: &Cache,
        repo: &'a Repo,
        revision: &str,
        meter: &'a Meter,
    ) -> Result<Self, Failure> {
        let listing = client.list(repo, revision)?;
        Ok(Self { client, repo, folder: cache.folder(repo), listing, meter })
    }

    /// Which commit the revision is.
    pub(crate) fn commit(&self) -> &str {
        &self.listing.commit
    }

    /// Where its files are afterwards.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.folder.join("snapshots").join(self.commit())
    }

    /// Fetches all that the model needs and is not there yet, and says that `revision` is this commit.
    pub(crate) fn run(&self, revision: &str) -> Result<Vec<Fetched>, Failure> {
        let snapshot = self.snapshot();
        for folder in [&self.folder.join("blobs"), &snapshot] {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        let mut fetched = Vec::new();
        for file in self.listing.texts() {
            fetched.push(self.fetch(file)?);
        }
        for file in self.weights()? {
            fetched.push(self.fetch(file)?);
        }
        if !is_commit(revision) {
            self.name(revision)?;
        }
        Ok(fetched)
    }

    fn weights(&self) -> Result<Vec<&RemoteFile>, Failure> {
        if self.listing.is_sharded() {
            let index = self.snapshot().join(INDEX);
            let json = fs::read(&index).map_err(|error| failed(&index, &error))?;
            let wrong = |reason: String| self.client.not_understood(&format!("{INDEX}: {reason}"));
            return self.listing.shards(&json).map_err(wrong);
        }
        let none = || Failure::input("hub-no-weights", &[("name", &self.repo.to_string())]);
        Ok(vec![self.listing.weights().ok_or_else(none)?])
    }

    /// Writes which commit a revision is.
    fn name(&self, revision: &str) -> Result<(), Failure> {
        let path = self.folder.join("refs").join(revision);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let new = path.with_file_name(format!(".{}.new", self.commit()));
            fs::write(&new, self.commit())?;
            fs::rename(new, &path)
        });
        written.map_err(|error| failed(&path, &error))
    }

    /// Brings one file into the cache, unless it is there.
    fn fetch(&self, file: &RemoteFile) -> Result<Fetched, Failure> {
        let blob = self.folder.join("blobs").join(file.checksum.hex());
        let is_there = fs::metadata(&blob).is_ok_and(|about| about.is_file() && about.len() == file.size);
        if !is_there {
            self.fill(file, &blob)?;
        }
        let name = self.snapshot().join(&file.name);
        link(&blob, &name).map_err(|error| failed(&name, &error))?;
        Ok(Fetched { name: file.name.clone(), bytes: file.size, is_new: !is_there })
    }

    /// Fills the file beside a blob until it is whole, and gives it the blob's name if it adds up.
    fn fill(&self, file: &RemoteFile, blob: &Path) -> Result<(), Failure> {
        let path = blob.with_added_extension("incomplete");
        let io = |error: io::Error| failed(&path, &error);
        let mut partial =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match partial.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Failure::input("hub-busy", &[("name", &file.name)])),
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let mut part = Part { sum: file.checksum.begin(file.size), len: 0 };
        if partial.metadata().map_err(io)?.len() <= file.size {
            part.resume(&mut partial).map_err(io)?;
        }
        // One that is too long was not added up, and nothing of it stays.
        partial.set_len(part.len).map_err(io)?;
        if part.len < file.size {
            let mut answer = self.client.file(self.repo, self.commit(), &file.name, part.len)?;
            if answer.status() == 416 {
                answer = self.client.file(self.repo, self.commit(), &file.name, 0)?;
            }
            if answer.status() != 206 {
                part = Part { sum: file.checksum.begin(file.size), len: 0 };
            }
            self.check(&answer, file, part.len)?;
            partial.seek(SeekFrom::Start(part.len)).map_err(io)?;
            partial.set_len(part.len).map_err(io)?;
            self.pour(answer, file, &mut part, &mut partial, &path)?;
        }
        if !part.sum.is(&file.checksum) {
            drop(partial);
            // What does not add up is of no use to a second attempt.
            fs::remove_file(&path).map_err(io)?;
            return Err(Failure::input("hub-checksum", &[("name", &file.name)]));
        }
        partial.sync_all().map_err(io)?;
        drop(partial);
        fs::rename(&path, blob).map_err(io)
    }

    /// Whether an answer is about the bytes that were asked for.
    fn check(&self, answer: &Response<Body>, file: &RemoteFile, from: u64) -> Result<(), Failure> {
        let wrong = |what: &str, value: &str| {
            Err(self.client.not_understood(&format!("{}: {what} {value}", file.name)))
        };
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let range = header(header::CONTENT_RANGE).unwrap_or_default();
        match status {
            200 => {}
            206 if range == format!("bytes {from}-{}/{}", file.size - 1, file.size) => {}
            206 => return wrong("Content-Range", range),
            other => return wrong("status", &other.to_string()),
        }
        match header(header::CONTENT_LENGTH) {
            Some(length) if length != (file.size - from).to_string() => wrong("Content-Length", length),
            _ => Ok(()),
        }
    }

    fn pour(
        &self,
        answer: Response<Body>,
        file: &RemoteFile,
        part: &mut Part,
        partial: &mut File,
        path: &Path,
    ) -> Result<(), Failure> {
        let cut = |part: &Part, reason: &str| {
            let (have, size) = (part.len.to_string(), file.size.to_string());
            let details =
                [("name", file.name.as_str()), ("bytes", &have), ("size", &size), ("reason", reason)];
            Failure::input("hub-cut", &details)
        };
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if part.len < file.size => return Err(cut(part, "…")),
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut(part, &error.to_string())),
            };
            let bytes = &buffer[..count];
            if part.len + count as u64 > file.size {
                return Err(self
                    .client
                    .not_understood(&format!("{}: more than {} bytes", file.name, file.size)));
            }
            partial.write_all(bytes).map_err(|error| failed(path, &error))?;
            part.sum.add(bytes);
            part.len += count as u64;
            let megabytes = |bytes: u64| (bytes / 1_000_000) as usize;
            self.meter.show(&format!("{} MB", file.name), megabytes(part.len), megabytes(file.size));
        }
    }
}

/// What there is of a file.
struct Part {
    sum: Sum,
    len: u64,
}

impl Part {
    /// Adds up what an earlier attempt left.
    fn resume(&mut self, partial: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match partial.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.sum.add(&buffer[..count]);
                    self.len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let (path, reason) = (path.display().to_string(), error.to_string());
    Failure::input("hub-write", &[("path", &path), ("reason", &reason)])
}

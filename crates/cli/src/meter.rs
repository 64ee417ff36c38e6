//! Progress on standard error, for a person, and only where there is something to wait for.

use std::{
    io::{self, IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use tiny_vlm::Progress;

use crate::words::Words;

/// Work that takes less than this is not spoken of.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that is written over and over, and wiped at the end.
pub(crate) struct Meter {
    words: Words,
    started: Instant,
    /// When something was last shown, if ever.
    shown: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Meter {
    pub(crate) fn new(words: Words) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { words, started: Instant::now(), shown: Mutex::new(None), terminal }
    }

    /// Shows how far `stage` has come; at most ten times a second.
    pub(crate) fn show(&self, stage: &str, done: usize, total: usize) {
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        let Ok(mut shown) = self.shown.lock() else { return };
        if shown.is_some_and(|last| last.elapsed() < Duration::from_millis(100)) {
            return;
        }
        *shown = Some(Instant::now());
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[K{stage} {done}/{total}");
        let _ = io::stderr().flush();
    }

    /// Wipes the line.
    pub(crate) fn clear(&self) {
        if let Ok(mut shown) = self.shown.lock()
            && shown.take().is_some()
        {
            let _ = write!(io::stderr(), "\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

impl Progress for Meter {
    fn report(&self, stage: &str, done: usize, total: usize) {
        let key = match stage {
            "encode" | "look" => "stage-encode",
            "read" => "stage-read",
            "prefill" => "stage-prefill",
            "measure" => "stage-measure",
            "quantize" => "stage-quantize",
            _ => "stage-other",
        };
        self.show(self.words.get(key), done, total);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

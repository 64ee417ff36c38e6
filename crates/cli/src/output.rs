//! Standard output: the answer, piece by piece, and nothing else.

use std::io::{self, IsTerminal, Stdout, Write};

use crate::failure::Failure;

/// Standard output that knows whether a person looks at it.
pub(crate) struct Output {
    stdout: Stdout,
    terminal: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        Self { terminal: stdout.is_terminal(), stdout }
    }

    /// Writes text as it is and shows it at once.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout
            .write_all(text.as_bytes())
            .and_then(|()| self.stdout.flush())
            .map_err(|e| Failure::output(&e))
    }

    /// Writes text that came out of a model or off an image, and shows it at once. A terminal gets no control
    /// characters but the ends of lines and tabs, lest an image command it.
    pub(crate) fn answer(&mut self, text: &str) -> Result<(), Failure> {
        let unsafe_here = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if self.terminal && text.contains(unsafe_here) {
            return self.text(&text.replace(unsafe_here, " "));
        }
        self.text(text)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(line).and_then(|()| self.text("\n"))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| Failure::output(&error))
    }
}

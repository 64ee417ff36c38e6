//! Why the command ends without success, and with which exit code.

use std::{io, process::ExitCode};

use tiny_vlm::{Error, ErrorKind};

use crate::{args::Name, words::Words};

/// Whose fault it is, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The input, the model or the program.
    Input,
    /// The command line.
    Usage,
    /// The user pressed Ctrl-C.
    Interrupt,
    /// Whoever read the output went away: nothing to say, and nobody to say it to.
    Reader,
}

/// A failure that knows its words in every language.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) blame: Blame,
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    /// The library's own words, for a code that no table knows.
    fallback: String,
    details: Vec<(&'static str, String)>,
    /// What it happened to: a file's name.
    subject: Option<String>,
    command: Option<Name>,
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(code: &'static str, details: &[(&'static str, &str)]) -> Self {
        Self::new(Blame::Usage, ErrorKind::Input, code, details)
    }

    /// The input is wrong.
    pub(crate) fn input(code: &'static str, details: &[(&'static str, &str)]) -> Self {
        Self::new(Blame::Input, ErrorKind::Input, code, details)
    }

    /// The user pressed Ctrl-C.
    pub(crate) fn interrupt() -> Self {
        Self::new(Blame::Interrupt, ErrorKind::Cancelled, "cancelled", &[])
    }

    fn new(blame: Blame, kind: ErrorKind, code: &'static str, details: &[(&'static str, &str)]) -> Self {
        let details = details.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { blame, code, kind, fallback: code.to_owned(), details, subject: None, command: None }
    }

    /// An error of the library that the command line brought about.
    pub(crate) fn usage_error(error: &Error) -> Self {
        Self { blame: Blame::Usage, ..Self::from(error) }
    }

    /// The answer could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Blame::Reader, ErrorKind::Fault, "output-write", &[]),
            _ => {
                let reason = error.to_string();
                Self::new(Blame::Input, ErrorKind::Fault, "output-write", &[("reason", &reason)])
            }
        }
    }

    /// The same, said of `subject`.
    #[must_use]
    pub(crate) fn on(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// The same, within the command whose help is worth reading.
    #[must_use]
    pub(crate) fn of(self, command: Option<Name>) -> Self {
        Self { command: self.command.or(command), ..self }
    }

    /// One sentence in the language of `words`.
    pub(crate) fn message(&self, words: Words) -> String {
        let details: Vec<_> = self.details.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sentence = match words.find(self.code) {
            Some(_) => words.say(self.code, &details),
            None => crate::words::printable(&self.fallback),
        };
        match &self.subject {
            Some(subject) if !sentence.contains(subject.as_str()) => {
                format!("{}: {sentence}", crate::words::printable(subject))
            }
            _ => sentence,
        }
    }

    /// All that goes to standard error; nothing where there is nothing to say.
    pub(crate) fn report(&self, words: Words) -> Option<String> {
        if self.blame == Blame::Reader {
            return None;
        }
        let mut report = format!("tiny-vlm: {}: {}", words.get("error"), self.message(words));
        if self.blame == Blame::Usage {
            let command = self.command.map_or(String::new(), |name| format!("{} ", name.as_str()));
            report.push('\n');
            report.push_str(&words.say("try-help", &[("command", &command)]));
        }
        Some(report)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.blame {
            Blame::Reader => 0,
            Blame::Input => 1,
            Blame::Usage => 2,
            Blame::Interrupt => 130,
        })
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let blame = if error.kind() == ErrorKind::Cancelled { Blame::Interrupt } else { Blame::Input };
        Self {
            blame,
            code: error.code(),
            kind: error.kind(),
            fallback: error.to_string(),
            details: error.details(),
            subject: None,
            command: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

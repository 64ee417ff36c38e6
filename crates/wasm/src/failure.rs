//! What goes wrong, as the host hears of it.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use tiny_vlm::Error;

/// An error with the stable code that a program matches on.
///
/// Codes are those of [`Error::CODES`] and a few of the boundary's own: `no-model`, `no-image`, `model-no-vector`,
/// `model-no-words`, `memory`, `request`.
#[derive(Debug, Serialize)]
pub struct Failure {
    code: &'static str,
    kind: &'static str,
    message: String,
    details: BTreeMap<&'static str, String>,
}

impl Failure {
    pub(crate) fn new(code: &'static str, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), details: BTreeMap::new() }
    }

    pub(crate) fn memory(bytes: usize) -> Self {
        let details = BTreeMap::from([("bytes", bytes.to_string())]);
        Self { details, ..Self::new("memory", "capacity", format!("there is no memory for {bytes} bytes")) }
    }

    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new("request", "input", message)
    }

    /// The stable name of this case.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let details = error.details().into_iter().collect();
        Self { details, ..Self::new(error.code(), error.kind().name(), error.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

/// Why a tokenizer or a chat template could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file is not JSON, or not of the shape a tokenizer file has.
    #[error("{file} cannot be read: {source}")]
    Json {
        /// Which of the tokenizer's files.
        file: &'static str,
        /// What the JSON reader found, with line and column.
        source: serde_json::Error,
    },
    /// The file asks for something this crate does not do.
    #[error("{what} `{name}` is not supported (supported: {supported})")]
    Unsupported {
        /// The part of the file, such as "pre-tokenizer".
        what: &'static str,
        /// What the file asks for.
        name: String,
        /// What it could have asked for.
        supported: &'static str,
    },
    /// The vocabulary contradicts itself.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// A merge names tokens that do not exist, or is malformed.
    #[error("merge {index}: {reason}")]
    Merge {
        /// Position in the list of merges, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A grammar that is none, is too large, or asks for what is not supported; or a text that does not keep to it.
    #[error("grammar: {0}")]
    Grammar(String),
    /// A chat template is broken, refuses the conversation, or cannot keep apart what it is given.
    #[error("chat template: {0}")]
    Template(String),
    /// Bytes that should hold a compiled tokenizer do not.
    #[error("compiled tokenizer: {0}")]
    Flat(&'static str),
    /// A compiled tokenizer of another version of the format.
    #[error(
        "compiled tokenizer has format {found}, this build reads {expected}: compile it again from tokenizer.json"
    )]
    FlatVersion {
        /// The version in the header.
        found: u32,
        /// The version this crate reads and writes.
        expected: u32,
    },
}

impl TextError {
    pub(crate) fn unsupported(what: &'static str, name: impl Into<String>, supported: &'static str) -> Self {
        // A file can hold a pattern of any length; the message stays readable.
        let mut name: String = name.into();
        if let Some((cut, _)) = name.char_indices().nth(200) {
            name.truncate(cut);
            name.push('…');
        }
        Self::Unsupported { what, name, supported }
    }
}

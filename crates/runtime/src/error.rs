//! Everything that can go wrong, in one enum with a stable name for each case.

use tiny_vlm_image::ImageError;
use tiny_vlm_models::{Lang, ModelError, UnknownLang};
use tiny_vlm_tensor::Stopped;

/// Whose doing an error is, and so what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was given is wrong: another input is needed.
    Input,
    /// What was given is beyond a cap, or the machine has no room for it.
    Capacity,
    /// Time ran out.
    Deadline,
    /// Somebody cancelled it.
    Cancelled,
    /// The model, the machine or this program is at fault.
    Fault,
}

impl ErrorKind {
    /// A stable name: `input`, `capacity`, `deadline`, `cancelled` or `fault`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Capacity => "capacity",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Fault => "fault",
        }
    }
}

/// Why there is no answer.
///
/// [`code`](Self::code) is the stable name that programs match on and translations are keyed by;
/// [`details`](Self::details) has the particulars of a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The model cannot be loaded, or went wrong.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The request was cancelled, or its deadline passed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// There is nothing to answer.
    #[error("the question is empty")]
    QuestionEmpty,
    /// The question is beyond [`RequestOptions::max_question_bytes`](crate::RequestOptions::max_question_bytes).
    #[error("the question has {bytes} bytes, more than the limit of {limit}")]
    QuestionTooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The question has more tokens than the model has room for.
    #[error("the question takes {tokens} tokens, the model has room for {limit}")]
    QuestionTooLong {
        /// Tokens of the whole prompt.
        tokens: usize,
        /// Tokens that leave room for an answer.
        limit: usize,
    },
    /// A question without an image, where none was shown before.
    #[error("no image was given")]
    ImageMissing,
    /// More images than the model looks at together.
    #[error("{given} images were given, the model takes {limit} at a time")]
    TooManyImages {
        /// Images given.
        given: usize,
        /// Images allowed.
        limit: usize,
    },
    /// A language that is none of the six.
    #[error(transparent)]
    Language(#[from] UnknownLang),
    /// A number that cannot be used.
    #[error("{name} is {value}, it must be {range}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// What was given.
        value: String,
        /// What can be used.
        range: &'static str,
    },
    /// The form that was asked for is none, or cannot be kept to.
    #[error("{0}")]
    Grammar(String),
    /// The rest of an answer was asked for after it had failed.
    #[error("the answer failed before its end")]
    Unfinished,
}

impl Error {
    /// The codes of all errors.
    pub const CODES: &[&str] = &[
        "image-read",
        "image-empty",
        "image-too-many-bytes",
        "image-unknown-format",
        "image-zero-side",
        "image-too-many-pixels",
        "image-too-elongated",
        "image-truncated",
        "image-broken",
        "image-unsupported",
        "image-shape",
        "image-area",
        "image-target",
        "image-memory",
        "image-missing",
        "too-many-images",
        "question-empty",
        "question-too-large",
        "question-too-long",
        "unknown-language",
        "parameter-range",
        "grammar",
        "cancelled",
        "deadline",
        "model-read",
        "model-config",
        "model-unknown",
        "model-weights",
        "model-tokenizer",
        "model-write",
        "model-plan",
        "model-no-reader",
        "model-no-classes",
        "model-no-detector",
        "task-alone",
        "memory",
        "fault",
    ];

    /// Whose doing it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Image(ImageError::Memory { .. })
            | Self::QuestionTooLarge { .. }
            | Self::QuestionTooLong { .. } => ErrorKind::Capacity,
            Self::Image(error) if error.is_limit() => ErrorKind::Capacity,
            Self::Image(_) | Self::QuestionEmpty | Self::ImageMissing | Self::TooManyImages { .. } => {
                ErrorKind::Input
            }
            Self::Language(_) | Self::Parameter { .. } | Self::Grammar(_) => ErrorKind::Input,
            Self::Stopped(stopped) | Self::Model(ModelError::Stopped(stopped)) => match stopped {
                Stopped::Cancelled => ErrorKind::Cancelled,
                Stopped::Deadline => ErrorKind::Deadline,
            },
            Self::Model(
                ModelError::NoReader
                | ModelError::NoClasses
                | ModelError::NoDetector
                | ModelError::TaskAlone { .. }
                | ModelError::Plan(_),
            ) => ErrorKind::Input,
            Self::Model(_) | Self::Unfinished => ErrorKind::Fault,
        }
    }

    /// A stable name for this case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image(error) => error.code(),
            Self::Model(error) => error.code(),
            Self::Stopped(stopped) => stopped_code(*stopped),
            Self::QuestionEmpty => "question-empty",
            Self::QuestionTooLarge { .. } => "question-too-large",
            Self::QuestionTooLong { .. } => "question-too-long",
            Self::ImageMissing => "image-missing",
            Self::TooManyImages { .. } => "too-many-images",
            Self::Language(_) => "unknown-language",
            Self::Parameter { .. } => "parameter-range",
            Self::Grammar(_) => "grammar",
            Self::Unfinished => "fault",
        }
    }
    /// The particulars of the message, by the names that translations use for them.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Image(error) => image_details(error),
            Self::Model(error) => model_details(error),
            Self::Stopped(_) | Self::QuestionEmpty | Self::ImageMissing => Vec::new(),
            Self::Grammar(_) | Self::Unfinished => vec![("detail", self.to_string())],
            Self::QuestionTooLarge { bytes, limit } => {
                vec![("bytes", bytes.to_string()), ("limit", limit.to_string())]
            }
            Self::QuestionTooLong { tokens, limit } => {
                vec![("tokens", tokens.to_string()), ("limit", limit.to_string())]
            }
            Self::TooManyImages { given, limit } => {
                vec![("given", given.to_string()), ("limit", limit.to_string())]
            }
            Self::Language(UnknownLang(name)) => {
                let known: Vec<_> = Lang::ALL.iter().map(|lang| lang.code()).collect();
                vec![("name", name.clone()), ("known", known.join(", "))]
            }
            Self::Parameter { name, value, range } => {
                vec![("name", (*name).to_owned()), ("value", value.clone()), ("range", (*range).to_owned())]
            }
        }
    }
}

fn stopped_code(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Cancelled => "cancelled",
        Stopped::Deadline => "deadline",
    }
}

fn image_details(error: &ImageError) -> Vec<(&'static str, String)> {
    match error {
        ImageError::Read { path, source } => {
            vec![("path", path.display().to_string()), ("reason", source.to_string())]
        }
        ImageError::TooManyBytes { bytes, limit } => {
            vec![("bytes", bytes.to_string()), ("limit", limit.to_string())]
        }
        ImageError::ZeroSide { width, height } => {
            vec![("width", width.to_string()), ("height", height.to_string())]
        }
        ImageError::TooManyPixels { width, height, limit } => {
            vec![("width", width.to_string()), ("height", height.to_string()), ("limit", limit.to_string())]
        }
        ImageError::TooElongated { width, height, limit } => {
            vec![("width", width.to_string()), ("height", height.to_string()), ("limit", limit.to_string())]
        }
        ImageError::Truncated { format } => vec![("format", format.to_string())],
        ImageError::Broken { format, detail } | ImageError::Unsupported { format, detail } => {
            vec![("format", format.to_string()), ("detail", detail.to_string())]
        }
        ImageError::Memory { bytes } => vec![("bytes", bytes.to_string())],
        other => vec![("detail", other.to_string())],
    }
}

fn model_details(error: &ModelError) -> Vec<(&'static str, String)> {
    match error {
        ModelError::Read { path, source } | ModelError::Write { path, source } => {
            vec![("path", path.display().to_string()), ("reason", source.to_string())]
        }
        ModelError::Config { file, detail } => vec![("file", (*file).to_owned()), ("detail", detail.clone())],
        ModelError::TaskAlone { token } => vec![("name", (*token).to_owned())],
        ModelError::Unknown { name, known } => {
            vec![("name", name.clone()), ("known", known.join(", "))]
        }
        other => vec![("detail", other.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once() {
        for (i, code) in Error::CODES.iter().enumerate() {
            assert!(!Error::CODES[..i].contains(code), "{code} twice");
        }
    }

    #[test]
    fn each_error_has_a_listed_code_and_a_kind() {
        let too_large = ImageError::TooManyBytes { bytes: 3, limit: 2 };
        for (error, kind) in [
            (Error::Image(ImageError::UnknownFormat), ErrorKind::Input),
            (Error::Image(too_large), ErrorKind::Capacity),
            (Error::Stopped(Stopped::Deadline), ErrorKind::Deadline),
            (Error::Model(ModelError::Stopped(Stopped::Cancelled)), ErrorKind::Cancelled),
            (Error::Model(ModelError::NoReader), ErrorKind::Input),
            (Error::Model(ModelError::NoClasses), ErrorKind::Input),
            (Error::Model(ModelError::NoDetector), ErrorKind::Input),
            (Error::Model(ModelError::TaskAlone { token: "<OD>" }), ErrorKind::Input),
            (Error::QuestionEmpty, ErrorKind::Input),
            (Error::QuestionTooLong { tokens: 9, limit: 8 }, ErrorKind::Capacity),
            (Error::Language(UnknownLang("tlh".into())), ErrorKind::Input),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(Error::CODES.contains(&error.code()), "{}", error.code());
        }
    }
}

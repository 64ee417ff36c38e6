//! What can be wrong with a picture, in one enum.

use std::fmt;

use tiny_vlm_tensor::Stopped;

use crate::Format;

/// Why a picture was refused or could not be worked on.
///
/// The message names what was wrong in lower case, with the sizes involved; [`code`](Self::code) is the stable name that
/// programs match on and that translations are keyed by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file as it was named.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are no bytes at all.
    #[error("the image is empty (0 bytes)")]
    Empty,
    /// More bytes than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("the image has {bytes} bytes, more than the limit of {limit}")]
    TooManyBytes {
        /// Bytes given.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The first bytes belong to no format that is read here.
    #[error("not a PNG, JPEG, WebP, GIF or BMP image")]
    UnknownFormat,
    /// A side of no pixels.
    #[error("the image is {width} × {height}: each side needs at least one pixel")]
    ZeroSide {
        /// Width said by the header.
        width: u64,
        /// Height said by the header.
        height: u64,
    },
    /// More pixels than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error("the image is {width} × {height}, more than the limit of {limit} pixels")]
    TooManyPixels {
        /// Width said by the header.
        width: u64,
        /// Height said by the header.
        height: u64,
        /// Pixels allowed.
        limit: u64,
    },
    /// One side too many times the other: [`Limits::max_ratio`](crate::Limits::max_ratio).
    #[error("the image is {width} × {height}: one side is more than {limit} times the other")]
    TooElongated {
        /// Width said by the header.
        width: u64,
        /// Height said by the header.
        height: u64,
        /// Ratio allowed.
        limit: u32,
    },
    /// The file ends before its picture does.
    #[error("the {format} image is truncated")]
    Truncated {
        /// The format of the file.
        format: Format,
    },
    /// The file contradicts its format.
    #[error("the {format} image is broken: {detail}")]
    Broken {
        /// The format of the file.
        format: Format,
        /// What did not hold.
        detail: Detail,
    },
    /// The file is valid but of a kind that is not read here.
    #[error("the {format} image is of a kind that is not supported: {detail}")]
    Unsupported {
        /// The format of the file.
        format: Format,
        /// Which kind.
        detail: Detail,
    },
    /// Pixel data whose length does not fit its stated shape.
    #[error(
        "{bytes} bytes do not hold {width} × {height} pixels of {channels} with rows {stride} bytes apart"
    )]
    Shape {
        /// Stated width.
        width: usize,
        /// Stated height.
        height: usize,
        /// Bytes a pixel.
        channels: usize,
        /// Bytes from one row to the next.
        stride: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// A rectangle that is empty, not finite or not inside its image.
    #[error("the area {area:?} (left, top, right, bottom) is not inside an image of {width} × {height}")]
    Area {
        /// Left, top, right, bottom.
        area: [f32; 4],
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
    },
    /// A target with no pixels, or with more than can be addressed.
    #[error("cannot make an image of {width} × {height}")]
    Target {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
    },
    /// The work was cancelled or its time was over.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The system has no memory for the pixels.
    #[error("no memory for {bytes} bytes of pixels")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
}

impl ImageError {
    /// A stable name for this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "image-read",
            Self::Empty => "image-empty",
            Self::TooManyBytes { .. } => "image-too-many-bytes",
            Self::UnknownFormat => "image-unknown-format",
            Self::ZeroSide { .. } => "image-zero-side",
            Self::TooManyPixels { .. } => "image-too-many-pixels",
            Self::TooElongated { .. } => "image-too-elongated",
            Self::Truncated { .. } => "image-truncated",
            Self::Broken { .. } => "image-broken",
            Self::Unsupported { .. } => "image-unsupported",
            Self::Shape { .. } => "image-shape",
            Self::Area { .. } => "image-area",
            Self::Target { .. } => "image-target",
            Self::Stopped(_) => "image-stopped",
            Self::Memory { .. } => "image-memory",
        }
    }

    /// Whether a cap that the caller set was exceeded (rather than the picture being wrong in itself).
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooManyBytes { .. } | Self::TooManyPixels { .. } | Self::TooElongated { .. })
    }

    pub(crate) fn broken(format: Format, detail: impl Into<Detail>) -> Self {
        Self::Broken { format, detail: detail.into() }
    }

    pub(crate) fn unsupported(format: Format, detail: impl Into<Detail>) -> Self {
        Self::Unsupported { format, detail: detail.into() }
    }
}

/// The particulars of a broken or unsupported file, without control characters and of bounded length, since part of
/// it may come from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(String);

impl Detail {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Detail {
    fn from(words: &str) -> Self {
        const MAX: usize = 160;
        Self(words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX).collect())
    }
}

impl From<String> for Detail {
    fn from(words: String) -> Self {
        Self::from(words.as_str())
    }
}

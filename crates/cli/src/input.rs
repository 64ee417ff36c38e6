//! Images and questions: from files, from standard input, from the command line.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    time::{Duration, Instant},
};

use tiny_vlm::{Error, Image, ImageError, ImageHeader, ImageLimits, ImageOptions};

use crate::failure::Failure;

/// An image file that has passed its header check: not decoded, since how depends on the model.
pub(crate) struct Encoded {
    pub(crate) name: String,
    bytes: Vec<u8>,
    limits: ImageLimits,
}

/// Reads the image file of an operand, `-` being standard input, and checks its header. What is no image is refused
/// before a model is loaded for it.
pub(crate) fn image(operand: &OsStr, limits: ImageLimits) -> Result<Encoded, Failure> {
    let name = operand.to_string_lossy().into_owned();
    let refused = |error: ImageError| Failure::from(Error::from(error)).on(&name);
    let bytes = if operand == "-" {
        stdin(limits.max_bytes)?
    } else {
        let read = File::open(operand).and_then(|file| at_most(file, limits.max_bytes));
        read.map_err(|source| refused(ImageError::Read { path: operand.into(), source }))?
    };
    ImageHeader::read(&bytes, &limits).map_err(refused)?;
    Ok(Encoded { name, bytes, limits })
}

impl Encoded {
    /// The pixels as most models want them.
    pub(crate) fn decode_plainly(self) -> Result<Image, Failure> {
        Ok(self.decode(ImageOptions::with_limits)?.0)
    }

    /// The pixels as a model's `options` want them, and how long decoding took. The file's bytes are gone then.
    pub(crate) fn decode(
        self,
        options: impl FnOnce(ImageLimits) -> ImageOptions,
    ) -> Result<(Image, Duration), Failure> {
        let started = Instant::now();
        let image = Image::decode_with(&self.bytes, &options(self.limits));
        let image = image.map_err(|error| Failure::from(Error::from(error)).on(&self.name))?;
        Ok((image, started.elapsed()))
    }
}

/// The question of an operand; `-` is standard input.
pub(crate) fn question(operand: &OsStr, max_bytes: usize) -> Result<String, Failure> {
    let not_utf8 = || Failure::input("question-not-utf8", &[]);
    if operand == "-" {
        let bytes = stdin(max_bytes as u64)?;
        // A character may have been cut where the question is too long to be accepted anyway.
        return match bytes.len() > max_bytes {
            true => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            false => String::from_utf8(bytes).map_err(|_| not_utf8()),
        };
    }
    operand.to_str().map(str::to_owned).ok_or_else(not_utf8)
}

/// The text of a file that says what form an answer must have.
pub(crate) fn grammar(path: &OsStr) -> Result<String, Failure> {
    const MAX_BYTES: u64 = 1 << 20;
    let failure = |reason: String| {
        Failure::input("grammar-read", &[("path", &path.to_string_lossy()), ("reason", &reason)])
    };
    let bytes = File::open(path).and_then(|file| at_most(file, MAX_BYTES));
    String::from_utf8(bytes.map_err(|error| failure(error.to_string()))?)
        .map_err(|_| failure("UTF-8".to_owned()))
}

fn stdin(limit: u64) -> Result<Vec<u8>, Failure> {
    let read = at_most(io::stdin().lock(), limit);
    read.map_err(|error| Failure::input("input-read", &[("reason", &error.to_string())]))
}

/// All of a source, or one byte more than `limit` where it is longer: enough to be refused, and no more.
fn at_most(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_is_needed_to_refuse_it() {
        assert_eq!(at_most(io::repeat(7), 10).unwrap().len(), 11);
        assert_eq!(at_most(&[1u8, 2][..], 10).unwrap(), [1, 2]);
    }
}

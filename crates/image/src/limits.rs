//! The caps that are checked before any pixel is decoded.

use crate::ImageError;

/// What a picture may be at most. Checked against the bytes and the header, before any pixel is decoded.
///
/// A picture of `p` pixels becomes `3 p` bytes. While it is decoded, no more than `16 p` bytes are held in all, and only
/// WebP comes near that: PNG, BMP, GIF and sequential JPEG hold `4 p` or less, progressive JPEG `11 p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Length of the file; 10 MB by default.
    pub max_bytes: u64,
    /// Width times height; 50 million by default.
    pub max_pixels: u64,
    /// The longer side over the shorter; 200 by default.
    pub max_ratio: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 10_000_000, max_pixels: 50_000_000, max_ratio: 200 }
    }
}

impl Limits {
    /// No limits but those of the formats: for files that are known to be good.
    pub fn none() -> Self {
        Self { max_bytes: u64::MAX, max_pixels: u64::MAX, max_ratio: u32::MAX }
    }

    /// The same with another cap on the file's length.
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// The same with another cap on the number of pixels.
    pub fn with_max_pixels(self, max_pixels: u64) -> Self {
        Self { max_pixels, ..self }
    }

    /// The same with another cap on the ratio of the sides.
    pub fn with_max_ratio(self, max_ratio: u32) -> Self {
        Self { max_ratio, ..self }
    }

    /// Checks a file's length.
    pub fn check_bytes(&self, bytes: u64) -> Result<(), ImageError> {
        if bytes > self.max_bytes {
            return Err(ImageError::TooManyBytes { bytes, limit: self.max_bytes });
        }
        Ok(())
    }

    /// Checks a picture's size: no empty side, not too many pixels, not too long and thin.
    pub fn check_size(&self, width: u64, height: u64) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::ZeroSide { width, height });
        }
        if width.checked_mul(height).is_none_or(|pixels| pixels > self.max_pixels) {
            return Err(ImageError::TooManyPixels { width, height, limit: self.max_pixels });
        }
        if width.max(height) > width.min(height).saturating_mul(u64::from(self.max_ratio)) {
            return Err(ImageError::TooElongated { width, height, limit: self.max_ratio });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_at_the_edge_of_each_cap() {
        let limits = Limits::default();
        assert!(limits.check_size(1, 1).is_ok());
        assert!(limits.check_size(1, 200).is_ok());
        assert_eq!(limits.check_size(1, 201).unwrap_err().code(), "image-too-elongated");
        assert!(limits.check_size(10_000, 5_000).is_ok());
        assert_eq!(limits.check_size(10_000, 5_001).unwrap_err().code(), "image-too-many-pixels");
        assert_eq!(limits.check_size(0, 5).unwrap_err().code(), "image-zero-side");
        assert_eq!(limits.check_size(u64::MAX, 2).unwrap_err().code(), "image-too-many-pixels");
        assert!(Limits::none().check_size(1, 1 << 40).is_err());
        assert!(limits.check_bytes(10_000_000).is_ok());
        assert!(limits.check_bytes(10_000_001).unwrap_err().is_limit());
    }
}

//! The image processors of classifiers: a picture to the square that they were trained on.
//!
//! Either the shorter side is brought to a size and the middle is cut out, or all of the picture is stretched, or padded to
//! a square. The
//! bytes are those of the Pillow backends of `transformers`' `ConvNextImageProcessor` and of `timm`'s evaluation
//! transforms.

use tiny_vlm_image::{Filter, Image, Resizer};
use tiny_vlm_layers::ScratchTensor;
use tiny_vlm_tensor::Context;

use crate::VisionError;
use crate::padded::resize_padded;

/// How a picture is brought to a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Its shorter side becomes this long; the longer one follows, rounded down.
    Shorter(usize),
    /// Both sides become this long.
    Stretch(usize),
    /// Put on a square of the mean colour first, both sides become this long.
    Padded(usize),
}

/// Which of two middles is cut out where an odd number of pixels is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    /// The one nearer to the upper left.
    Lower,
    /// The one that begins at an even place, as Python rounds.
    Even,
}

/// How bytes become numbers: `(byte · scale − mean) / deviation`, one mean and deviation a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// What a byte is multiplied by.
    pub scale: f64,
    /// Subtracted from that.
    pub mean: [f64; 3],
    /// What it is then divided by.
    pub deviation: [f64; 3],
}

/// From a picture to normalized pixels of a square.
#[derive(Clone)]
pub struct SquareProcessor {
    side: usize,
    fit: Fit,
    filter: Filter,
    middle: Middle,
    /// The mean colour, rounded down.
    ground: [u8; 3],
    /// What each byte becomes in each colour.
    table: Box<[[f32; 256]; 3]>,
}

/// The longest side that a config may ask for; far beyond any classifier.
const MOST_SIDE: usize = 1 << 12;

impl SquareProcessor {
    /// A processor that gives squares of `side`, cut out of a picture that `fit` made at least as large.
    pub fn new(
        side: usize,
        fit: Fit,
        filter: Filter,
        middle: Middle,
        normalize: &Normalize,
    ) -> Result<Self, VisionError> {
        let (Fit::Shorter(size) | Fit::Stretch(size) | Fit::Padded(size)) = fit;
        if side == 0 || !(side..=MOST_SIDE).contains(&size) {
            let what = format!("a square of {side} pixels cut out of a picture of {size}");
            return Err(VisionError::Config(what));
        }
        let usable = |values: [f64; 3]| values.iter().all(|value| value.is_finite());
        let Normalize { scale, mean, deviation } = *normalize;
        if !scale.is_finite() || !usable(mean) || !usable(deviation.map(f64::recip)) {
            let what = format!("pixels times {scale}, less {mean:?}, over {deviation:?}");
            return Err(VisionError::Config(what));
        }
        let colour = |c: usize| {
            std::array::from_fn(|byte| {
                let (mean, deviation) = (mean[c] as f32, deviation[c] as f32);
                ((byte as f64 * scale) as f32 - mean) / deviation
            })
        };
        let ground = mean.map(|mean| (mean * 255.0) as u8);
        Ok(Self { side, fit, filter, middle, ground, table: Box::new([colour(0), colour(1), colour(2)]) })
    }

    /// Side of its squares.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The square of a picture, in bytes.
    pub fn crop(&self, ctx: &Context<'_>, image: &Image) -> Result<Image, VisionError> {
        let [width, height] = self.fitted([image.width(), image.height()]);
        let fitted = match self.fit {
            Fit::Padded(size) => resize_padded(ctx, image, size, self.filter, self.ground)?,
            Fit::Shorter(_) | Fit::Stretch(_) => {
                let (mut fitted, size) = (Image::new(width, height)?, (width, height));
                Resizer::new().resize_with(ctx, image.view(), None, self.filter, size, fitted.data_mut())?;
                fitted
            }
        };
        let [x, y] = [width, height].map(|side| self.margin(side - self.side));
        Ok(fitted.crop(x, y, self.side, self.side)?)
    }

    /// The normalized pixels of a picture's square.
    pub fn pixels<'a>(&self, ctx: &Context<'a>, image: &Image) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let square = self.crop(ctx, image)?;
        let mut pixels = ScratchTensor::new(ctx, [self.side, self.side, 3])?;
        let [red, green, blue] = &*self.table;
        for (pixel, &[r, g, b]) in
            pixels.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(square.data().as_chunks::<3>().0)
        {
            *pixel = [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)]];
        }
        Ok(pixels)
    }

    /// Width and height of a picture of this width and height once it is brought to size.
    fn fitted(&self, [width, height]: [usize; 2]) -> [usize; 2] {
        match self.fit {
            Fit::Stretch(size) | Fit::Padded(size) => [size; 2],
            Fit::Shorter(size) => {
                let (shorter, longer) = (width.min(height), width.max(height));
                let longer = (size as f64 * longer as f64 / shorter as f64) as usize;
                if width <= height { [size, longer] } else { [longer, size] }
            }
        }
    }

    /// Where the square begins where so many pixels are left over.
    fn margin(&self, over: usize) -> usize {
        match self.middle {
            Middle::Lower => over / 2,
            Middle::Even => over / 2 + usize::from(over % 4 == 3),
        }
    }
}

impl std::fmt::Debug for SquareProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SquareProcessor")
            .field("side", &self.side)
            .field("fit", &self.fit)
            .field("filter", &self.filter)
            .field("middle", &self.middle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Normalize = Normalize { scale: 1.0 / 255.0, mean: [0.5; 3], deviation: [0.5; 3] };

    fn processor(side: usize, fit: Fit, middle: Middle) -> Result<SquareProcessor, VisionError> {
        SquareProcessor::new(side, fit, Filter::Bicubic, middle, &PLAIN)
    }

    #[test]
    fn sides_are_rounded_down() {
        let short = processor(224, Fit::Shorter(256), Middle::Lower).unwrap();
        assert_eq!(short.fitted([640, 480]), [341, 256]);
        assert_eq!(short.fitted([480, 641]), [256, 341]);
        assert_eq!(short.fitted([1, 1]), [256, 256]);
        assert_eq!(short.fitted([3, 600]), [256, 51200]);
        assert_eq!(processor(4, Fit::Stretch(4), Middle::Even).unwrap().fitted([9, 1]), [4, 4]);
    }

    #[test]
    fn middles_are_python_s() {
        let even = processor(1, Fit::Shorter(1), Middle::Even).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(|over| even.margin(over)), [0, 0, 1, 2, 2, 2, 4]);
        let lower = processor(1, Fit::Shorter(1), Middle::Lower).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(|over| lower.margin(over)), [0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn rules_that_cannot_be_are_errors() {
        assert!(processor(0, Fit::Shorter(4), Middle::Lower).is_err());
        assert!(processor(5, Fit::Stretch(4), Middle::Lower).is_err());
        assert!(processor(1, Fit::Shorter(1 << 30), Middle::Lower).is_err());
        let flat = Normalize { deviation: [0.0; 3], ..PLAIN };
        assert!(SquareProcessor::new(2, Fit::Stretch(2), Filter::Box, Middle::Lower, &flat).is_err());
    }
}

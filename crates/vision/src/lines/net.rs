//! The network that marks lines of print: a grey picture to a map at stride 4.
//!
//! A small feature pyramid (Lin et al., 2017, arXiv:1612.03144) of 3 × 3 convolutions. Where a picture is large, it goes
//! through in **bands** of rows, so that a level of 1760 × 1760 pixels takes some 18 MB instead of 75. A cell of the map
//! sees [`ABOVE`] rows of pixels above its own and [`BELOW`] below, so a band that has them gives the very cells that the
//! whole picture gives; all layers are local, and what the bands share is computed twice.

use tiny_vlm_layers::{Conv2d, ScratchTensor};
use tiny_vlm_tensor::Context;
use tiny_vlm_weights::Scope;

use crate::parts::{Stage, pointwise};
use crate::pixels::PixelScale;
use crate::trunk::{Maps, Trunk};
use crate::upsample::{add_lateral, double};
use crate::{LinesConfig, VisionError};

/// Channels of the map: logit of a line's core, and the base-two logarithm of its cap height over 16 pixels.
const OUTPUTS: usize = 2;

/// Pixels of a band with its surroundings, about. The largest buffers of a band take 24 bytes a pixel together.
const BAND_PIXELS: usize = 3 << 18;

/// The fewest rows of a band, its surroundings not counted.
const LEAST_BAND: usize = 64;

/// Bands begin at whole cells of the coarsest stride.
const STRIDE: usize = 16;

/// A grey picture to a map of lines.
#[derive(Debug)]
pub(crate) struct LinesNet {
    pixels: PixelScale,
    trunk: Trunk,
    lateral1: Conv2d,
    lateral2: Conv2d,
    top: Conv2d,
    mix: Stage,
    out: Conv2d,
    /// Rows that a band needs above and below.
    around: [usize; 2],
    band_pixels: usize,
}

impl LinesNet {
    pub(crate) fn load(scope: &Scope<'_>, config: &LinesConfig) -> Result<Self, VisionError> {
        config.check()?;
        let ([_, w4, w8, w16], top) = (config.widths, config.top);
        Ok(LinesNet {
            pixels: PixelScale::new(config.mean, config.deviation),
            trunk: Trunk::load(scope, 1, config.widths, config.depths),
            lateral1: pointwise(&scope.scope("lateral1"), [w4, top]),
            lateral2: pointwise(&scope.scope("lateral2"), [w8, top]),
            top: pointwise(&scope.scope("top"), [w16, top]),
            mix: Stage::load(&scope.scope("mix"), top, 1),
            out: pointwise(&scope.scope("out"), [top, OUTPUTS]),
            around: surroundings(config.depths),
            band_pixels: BAND_PIXELS,
        })
    }

    /// The map `[height / 4, width / 4, 2]` of a grey picture whose sides are multiples of 16.
    pub(crate) fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        grey: &[u8],
        [height, width]: [usize; 2],
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let mut out = ScratchTensor::new(ctx, [height / 4, width / 4, OUTPUTS])?;
        let rows = self.band_rows(height, width);
        for first in (0..height).step_by(rows) {
            let end = (first + rows).min(height);
            let (from, to) = (first.saturating_sub(self.around[0]), (end + self.around[1]).min(height));
            let map = self.band(ctx, &grey[from * width..to * width], [to - from, width])?;
            let row = width / 4 * OUTPUTS;
            let cells = &map.data()[(first - from) / 4 * row..(end - from) / 4 * row];
            out.data_mut()[first / 4 * row..end / 4 * row].copy_from_slice(cells);
        }
        Ok(out)
    }

    /// Rows of a band: all, unless that is too much; then about equal shares.
    fn band_rows(&self, height: usize, width: usize) -> usize {
        if height * width <= self.band_pixels {
            return height.max(1);
        }
        let [above, below] = self.around;
        let most = (self.band_pixels / width).saturating_sub(above + below).max(LEAST_BAND);
        height.div_ceil(height.div_ceil(most)).next_multiple_of(STRIDE)
    }

    fn band<'a>(
        &self,
        ctx: &Context<'a>,
        grey: &[u8],
        [height, width]: [usize; 2],
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let x = self.pixels.apply(ctx, grey, [height, width, 1])?;
        let Maps { s4, s8, s16 } = self.trunk.forward(ctx, x.view())?;
        drop(x);
        let mut x = double(ctx, &self.top.apply(ctx, s16.view())?)?;
        add_lateral(ctx, &self.lateral2, s8.view(), &mut x)?;
        drop((s16, s8));
        let mut x = double(ctx, &x)?;
        add_lateral(ctx, &self.lateral1, s4.view(), &mut x)?;
        drop(s4);
        let x = self.mix.apply(ctx, x)?;
        Ok(self.out.apply(ctx, x.view())?)
    }
}

/// Rows of pixels above and below a band that its cells see, in whole cells of the coarsest stride.
///
/// Followed from the map back to the pixels, counting cells beyond the band's first and last: the last convolution sees
/// one cell at stride 4 further, which lies in the cell of stride 16 above the band, or on in the one below; a residual
/// convolution sees one cell further; one of stride 2 that starts `n` cells beyond the band sees `2n + 1` cells above
/// and `2n` below.
fn surroundings([d1, d2, d3]: [usize; 3]) -> [usize; 2] {
    let above = 1 + d3; // cells of stride 16
    let above = 2 * above + 1 + d2; // of stride 8
    let above = 2 * above + 1 + d1; // of stride 4
    let above = 2 * (2 * above + 1) + 1; // pixels
    let below = 1 + d3;
    let below = 2 * below + d2;
    let below = 2 * below + d1;
    let below = 4 * below;
    [above, below].map(|rows| rows.next_multiple_of(STRIDE))
}

#[cfg(test)]
#[path = "../../tests/golden/fixture.rs"]
#[expect(dead_code, reason = "these tests need the weights alone")]
mod fixture;

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_layers::Precision;
    use tiny_vlm_tensor::Workspace;
    use tiny_vlm_weights::{Params, Weights};

    #[test]
    fn nano_sees_this_far() {
        assert_eq!(surroundings([1, 1, 2]), [80, 64]);
    }

    #[test]
    fn bands_make_the_same_map_as_the_whole() {
        let fixture = fixture::Fixture::<serde::de::IgnoredAny>::random();
        let weights = Weights::from_bytes(fixture.checkpoint().into()).unwrap();
        let params = Params::new(&weights, Precision::F32);
        let mut net = LinesNet::load(&params.scope("lines"), &LinesConfig::default()).unwrap();
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        for (height, rows) in [(304, 64), (432, 112)] {
            let width = 48;
            let grey: Vec<u8> = (0..height * width).map(|i| (i * i / 7 % 251) as u8).collect();
            net.band_pixels = usize::MAX;
            let whole = net.forward(&ctx, &grey, [height, width]).unwrap();
            net.band_pixels = width * (rows + 144);
            assert!(net.band_rows(height, width) < height);
            let bands = net.forward(&ctx, &grey, [height, width]).unwrap();
            assert_eq!(whole.data(), bands.data());
        }
    }
}

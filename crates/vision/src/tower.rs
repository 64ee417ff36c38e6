//! Nano's tower: a picture of one thing to a vector that says what it is.

use tiny_vlm_layers::{EncoderBlock, LayerNorm, ScratchTensor, mean_of_rows};
use tiny_vlm_tensor::Context;
use tiny_vlm_weights::Scope;

use crate::parts::{block, tokens};
use crate::pixels::PixelScale;
use crate::trunk::Trunk;
use crate::{TowerConfig, VisionError};

/// What a thing is, from a picture of it alone: convolutions, and an attention block over the cells of stride 16.
#[derive(Debug)]
pub struct Tower {
    pixels: PixelScale,
    trunk: Trunk,
    block: EncoderBlock,
    norm: LayerNorm,
}

impl Tower {
    /// Reads the tower below `scope`.
    pub fn load(scope: &Scope<'_>, config: &TowerConfig) -> Result<Self, VisionError> {
        config.check()?;
        let width = config.widths[3];
        Ok(Tower {
            pixels: PixelScale::new(config.mean, config.deviation),
            trunk: Trunk::load(scope, 3, config.widths, config.depths),
            block: block(&scope.scope("block"), width, config.heads, config.mlp, config.norm_eps)?,
            norm: LayerNorm::load(&scope.scope("norm"), width, config.norm_eps),
        })
    }

    /// Length of its vectors.
    pub fn width(&self) -> usize {
        self.trunk.width()
    }

    /// A row for each cell of 16 × 16 pixels of an RGB picture of `height` × `width` pixels.
    pub fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        rgb: &[u8],
        [height, width]: [usize; 2],
    ) -> Result<ScratchTensor<'a, 2>, VisionError> {
        let x = self.pixels.apply(ctx, rgb, [height, width, 3])?;
        let mut x = tokens(self.trunk.forward(ctx, x.view())?.s16)?;
        self.block.forward(ctx, x.view_mut())?;
        Ok(self.norm.apply(ctx, x.view())?)
    }

    /// One vector, written to `out`, for an RGB picture of one thing: the mean over its cells.
    pub fn glimpse(
        &self,
        ctx: &Context<'_>,
        rgb: &[u8],
        size: [usize; 2],
        out: &mut [f32],
    ) -> Result<(), VisionError> {
        let x = self.forward(ctx, rgb, size)?;
        Ok(mean_of_rows(x.view(), out)?)
    }
}

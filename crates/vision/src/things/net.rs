//! The network that finds things at a glance: the whole picture to a map of centres and sizes (Zhou et al., 2019,
//! arXiv:1904.07850). It names nothing.

use tiny_vlm_image::{Filter, Image};
use tiny_vlm_layers::{Conv2d, EncoderBlock, LayerNorm, ScratchTensor};
use tiny_vlm_tensor::{Context, Tensor};
use tiny_vlm_weights::Scope;

use super::peaks::{Thing, find_things};
use crate::parts::{Stage, block, pointwise, tokens};
use crate::pixels::PixelScale;
use crate::trunk::Trunk;
use crate::upsample::{add_lateral, double};
use crate::{ThingsConfig, VisionError};

/// Channels of the map: centre logit, log width, log height, dx, dy.
const OUTPUTS: usize = 5;

/// Finds the things in a picture.
#[derive(Debug)]
pub struct ThingsFinder {
    pixels: PixelScale,
    trunk: Trunk,
    /// Of each cell at stride 16.
    position: Tensor<f32, 2>,
    block: EncoderBlock,
    norm: LayerNorm,
    lateral: Conv2d,
    top: Conv2d,
    mix: Stage,
    out: Conv2d,
    config: ThingsConfig,
}

impl ThingsFinder {
    /// Reads the network below `scope`.
    pub fn load(scope: &Scope<'_>, config: &ThingsConfig) -> Result<Self, VisionError> {
        config.check()?;
        let ([.., w8, w16], top) = (config.widths, config.top);
        let cells = config.glance.div_ceil(16).pow(2);
        Ok(ThingsFinder {
            pixels: PixelScale::new(config.mean, config.deviation),
            trunk: Trunk::load(scope, 3, config.widths, config.depths),
            position: scope.tensor("position", [cells, w16]),
            block: block(&scope.scope("block"), w16, config.heads, config.mlp, config.norm_eps)?,
            norm: LayerNorm::load(&scope.scope("norm"), w16, config.norm_eps),
            lateral: pointwise(&scope.scope("lateral"), [w8, top]),
            top: pointwise(&scope.scope("top"), [w16, top]),
            mix: Stage::load(&scope.scope("mix"), top, 1),
            out: pointwise(&scope.scope("out"), [top, OUTPUTS]),
            config: config.clone(),
        })
    }

    /// Things in a picture, from left to right.
    pub fn find(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<Thing>, VisionError> {
        Ok(find_things(self.map(ctx, image)?.view(), &self.config))
    }

    /// The map of a picture, stretched to a square: a cell for eight of its pixels either way.
    pub fn map<'a>(&self, ctx: &Context<'a>, image: &Image) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let side = self.config.glance;
        let small = image.resize(side, side, Filter::Bilinear)?;
        let x = self.pixels.apply(ctx, small.data(), [side, side, 3])?;
        let maps = self.trunk.forward(ctx, x.view())?;
        let shape = maps.s16.shape();
        let mut x = tokens(maps.s16)?;
        for (x, position) in x.data_mut().iter_mut().zip(self.position.data()) {
            *x += position;
        }
        self.block.forward(ctx, x.view_mut())?;
        let x = self.norm.apply(ctx, x.view())?.reshape(shape)?;
        let mut x = double(ctx, &self.top.apply(ctx, x.view())?)?;
        add_lateral(ctx, &self.lateral, maps.s8.view(), &mut x)?;
        let x = self.mix.apply(ctx, x)?;
        Ok(self.out.apply(ctx, x.view())?)
    }
}

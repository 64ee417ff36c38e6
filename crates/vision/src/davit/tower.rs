use tiny_vlm_layers::{Conv2d, ConvShape, LayerError, LayerNorm, ScratchTensor};
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use super::{
    DavitConfig, DavitLayout,
    block::{Block, EPSILON},
};
use crate::VisionError;

/// A DaViT: a picture to a map of features at stride 32.
#[derive(Debug)]
pub struct Davit {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    patches: Conv2d,
    norm: LayerNorm,
    norm_first: bool,
    /// Each attends within windows and then among channels.
    blocks: Vec<[Block; 2]>,
}

/// A step of the tower, whose map is shown for comparison with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DavitStep {
    /// The patches of this stage.
    Patches(usize),
    /// Attention within windows, of this stage and block.
    Spatial(usize, usize),
    /// Attention among channels, of this stage and block.
    Channel(usize, usize),
}

impl Davit {
    /// Reads the tower below `scope`.
    pub fn load(scope: &Scope<'_>, config: &DavitConfig, layout: DavitLayout) -> Result<Self, VisionError> {
        config.check()?;
        let (convs, blocks) = (scope.scope("convs"), scope.scope("blocks"));
        let stage = |stage: usize| {
            let (conv, width) = (convs.scope(stage), config.widths[stage]);
            let inputs = if stage == 0 { 3 } else { config.widths[stage - 1] };
            let side = config.patch_sizes[stage];
            let (stride, padding) = (config.patch_strides[stage], config.patch_paddings[stage]);
            let norm_first = config.patch_prenorms[stage];
            let norm = if norm_first { inputs } else { width };
            let pair = |number: usize| {
                let scope = blocks.scope(stage).scope(number);
                Ok([
                    Block::spatial(&scope.scope("spatial_block"), config, stage, layout)?,
                    Block::channel(&scope.scope("channel_block"), config, stage, layout)?,
                ])
            };
            Ok(Stage {
                patches: Conv2d::load(
                    &conv.scope(layout.patches()),
                    [inputs, width],
                    ConvShape::square(side, stride, padding),
                ),
                norm: LayerNorm::load(&conv.scope("norm"), norm, EPSILON),
                norm_first,
                blocks: (0..config.depths[stage]).map(pair).collect::<Result<_, LayerError>>()?,
            })
        };
        let stages = (0..config.widths.len()).map(stage).collect::<Result<_, LayerError>>()?;
        Ok(Self { stages })
    }

    /// Height, width and channels of what comes out of a picture of this height and width.
    pub fn output(&self, [height, width]: [usize; 2]) -> Result<[usize; 3], VisionError> {
        let first = Ok([height, width, 3]);
        let step = |shape: Result<_, LayerError>, stage: &Stage| stage.patches.output(shape?);
        Ok(self.stages.iter().fold(first, step)?)
    }

    /// The features of a picture, `[height, width, 3]`.
    pub fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        picture: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        self.forward_observed(ctx, picture, &mut |_, _| ())
    }

    /// As [`forward`](Self::forward), showing `observe` the map after each step.
    pub fn forward_observed<'a>(
        &self,
        ctx: &Context<'a>,
        picture: View<'_, f32, 3>,
        observe: &mut dyn FnMut(DavitStep, View<'_, f32, 3>),
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let pairs: usize = self.stages.iter().map(|stage| stage.blocks.len()).sum();
        let mut done = 0;
        let mut x: Option<ScratchTensor<'a, 3>> = None;
        for (number, stage) in self.stages.iter().enumerate() {
            let from = x.as_ref().map_or(picture, ScratchTensor::view);
            let mut map = stage.embed(ctx, from)?;
            observe(DavitStep::Patches(number), map.view());
            for (block, [spatial, channel]) in stage.blocks.iter().enumerate() {
                ctx.progress.report("look", done, pairs);
                done += 1;
                map = spatial.apply(ctx, map)?;
                observe(DavitStep::Spatial(number, block), map.view());
                map = channel.apply(ctx, map)?;
                observe(DavitStep::Channel(number, block), map.view());
            }
            x = Some(map);
        }
        x.ok_or_else(|| VisionError::Config("a tower without stages".to_owned()))
    }
}

impl Stage {
    /// The patches of a map, with the norm on the side that it belongs to.
    fn embed<'a>(&self, ctx: &Context<'a>, x: View<'_, f32, 3>) -> Result<ScratchTensor<'a, 3>, LayerError> {
        if self.norm_first {
            let normed = normalized(ctx, &self.norm, x)?;
            return self.patches.apply(ctx, normed.view());
        }
        let patches = self.patches.apply(ctx, x)?;
        normalized(ctx, &self.norm, patches.view())
    }
}

/// The norm of each pixel's channels.
fn normalized<'a>(
    ctx: &Context<'a>,
    norm: &LayerNorm,
    x: View<'_, f32, 3>,
) -> Result<ScratchTensor<'a, 3>, LayerError> {
    let [height, width, channels] = x.shape();
    norm.apply(ctx, x.reshape([height * width, channels])?)?.reshape([height, width, channels])
}

//! What a stage is made of. Layer scales are factors of what the last map of a branch gives, so that its weights are the
//! checkpoint's own and may be packed already.

use tiny_vlm_layers::{
    Activation, Conv2d, ConvShape, DepthwiseConv2d, Epilogue, GroupConv2d, LayerError, LayerNorm, Linear,
    Mlp, Residual, ScratchTensor, SelfAttention, SqueezeExcite,
};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use super::config::HEAD;
use super::fold::{Branches, large_kernel, layer_scale, mobile_one, normalised, rep_mixer, rep_positions};
use super::names::{Names, StagePlaces};
use crate::folded::Sizes;

/// What keeps a layer normalisation from dividing by zero.
const EPSILON: f32 = 1e-5;

/// A branch, channel by channel as much of it as its layer scale says, is added to what it began with.
fn add(scale: &[f32]) -> Epilogue<'_> {
    Epilogue { scale: Some(scale), residual: Residual::Output, ..Epilogue::default() }
}

/// A square kernel that keeps an image's sides, or divides them by its stride.
fn same(side: usize, stride: usize) -> ConvShape {
    ConvShape::square(side, stride, side / 2)
}

/// Where a folded kernel of the block is, for its precision.
const FOLDED: &str = "reparam_conv.weight";

/// A MobileOne block without a kernel to speak of: channels are mixed pixel by pixel.
fn pointwise(scope: &Scope<'_>, names: &Names, channels: usize) -> Result<Conv2d, LayerError> {
    let branches = Branches { scale: false, identity: true };
    let folded = mobile_one(scope, names, Sizes::dense([channels; 2], 1), branches);
    Ok(folded.into_conv(scope, FOLDED, same(1, 1))?.with_activation(Activation::Gelu))
}

/// A picture to a quarter of its sides.
#[derive(Debug)]
pub(super) struct Stem {
    first: Conv2d,
    second: GroupConv2d,
    third: Conv2d,
}

impl Stem {
    pub(super) fn load(
        scope: &Scope<'_>,
        names: &Names,
        width: usize,
        scale: bool,
    ) -> Result<Self, LayerError> {
        let branches = Branches { scale, identity: false };
        let at = |number: usize| scope.scope(names.stem).scope(number);
        let first = mobile_one(&at(0), names, Sizes::dense([3, width], 3), branches);
        let second = mobile_one(&at(1), names, Sizes::depthwise(width, 3), branches);
        Ok(Self {
            first: first.into_conv(&at(0), FOLDED, same(3, 2))?.with_activation(Activation::Gelu),
            second: second.into_group(width, same(3, 2), Activation::Gelu)?,
            third: pointwise(&at(2), names, width)?,
        })
    }

    pub(super) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let x = self.first.apply(ctx, x)?;
        let x = self.second.apply(ctx, x.view())?;
        self.third.apply(ctx, x.view())
    }
}

/// Half the sides, and the channels of the next stage.
#[derive(Debug)]
struct Downsample {
    large: GroupConv2d,
    mix: Conv2d,
}

impl Downsample {
    fn load(
        scope: &Scope<'_>,
        names: &Names,
        [inputs, outputs]: [usize; 2],
        activation: Activation,
    ) -> Result<Self, LayerError> {
        let large = large_kernel(&scope.scope(0), names, Sizes::depthwise(outputs, 7));
        Ok(Self {
            large: large.into_group(inputs, same(7, 2), activation)?,
            mix: pointwise(&scope.scope(1), names, outputs)?,
        })
    }

    fn apply<'a>(&self, ctx: &Context<'a>, x: View<'_, f32, 3>) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let x = self.large.apply(ctx, x)?;
        self.mix.apply(ctx, x.view())
    }
}

/// A 7 × 7 convolution of each channel, then a feed-forward layer pixel by pixel.
#[derive(Debug)]
struct ConvMlp {
    conv: DepthwiseConv2d,
    mlp: Mlp,
    scale: AlignedVec<f32>,
}

impl ConvMlp {
    /// Reads the layer below `scope`.
    fn load(
        scope: &Scope<'_>,
        width: usize,
        ratio: usize,
        scale: AlignedVec<f32>,
    ) -> Result<Self, LayerError> {
        let conv = normalised(&scope.scope("conv"), Sizes::depthwise(width, 7));
        let first = Linear::load(&scope.scope("fc1"), width, ratio * width, true);
        let second = Linear::load(&scope.scope("fc2"), ratio * width, width, true);
        Ok(Self {
            conv: conv.into_depthwise(same(7, 1))?,
            mlp: Mlp::new(first, second, Activation::Gelu)?,
            scale,
        })
    }

    /// Adds the layer's result to `x`.
    fn add(&self, ctx: &Context<'_>, x: &mut ScratchTensor<'_, 3>) -> Result<(), LayerError> {
        let mixed = self.conv.apply(ctx, x.view())?;
        let [height, width, channels] = x.shape();
        let pixels = [height * width, channels];
        let out = x.view_mut().reshape(pixels)?;
        self.mlp.forward_with(ctx, mixed.view().reshape(pixels)?, add(&self.scale), out)
    }
}

/// A block that mixes neighbours and then channels.
#[derive(Debug)]
struct Block {
    mixer: Mixer,
    mlp: ConvMlp,
}

/// How a block mixes the pixels of its image.
#[derive(Debug)]
enum Mixer {
    /// 3 × 3 convolution of each channel, the residual in it.
    Convolution(DepthwiseConv2d),
    /// Attention of every pixel to all, with its layer scale, beside a residual.
    Attention(LayerNorm, Box<SelfAttention>, AlignedVec<f32>),
}

impl Block {
    fn convolutional(
        scope: &Scope<'_>,
        names: &Names,
        width: usize,
        ratio: usize,
    ) -> Result<Self, LayerError> {
        let scale = layer_scale(scope, names, "layer_scale", width);
        let mixer = rep_mixer(&scope.scope("token_mixer"), names, width);
        Ok(Self {
            mixer: Mixer::Convolution(mixer.into_depthwise(same(3, 1))?),
            mlp: ConvMlp::load(&scope.scope(names.mlp), width, ratio, scale)?,
        })
    }

    fn attending(scope: &Scope<'_>, names: &Names, width: usize, ratio: usize) -> Result<Self, LayerError> {
        let [first, second] =
            ["layer_scale_1", "layer_scale_2"].map(|leaf| layer_scale(scope, names, leaf, width));
        let mixer = scope.scope("token_mixer");
        let qkv = Linear::load(&mixer.scope("qkv"), width, 3 * width, false);
        let projection = Linear::load(&mixer.scope("proj"), width, width, true);
        let attention = Box::new(SelfAttention::new(qkv, projection, width / HEAD)?);
        let norm = LayerNorm::load(&scope.scope("norm"), width, EPSILON);
        Ok(Self {
            mixer: Mixer::Attention(norm, attention, first),
            mlp: ConvMlp::load(&scope.scope(names.mlp), width, ratio, second)?,
        })
    }

    fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        mut x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        match &self.mixer {
            Mixer::Convolution(conv) => x = conv.apply(ctx, x.view())?,
            Mixer::Attention(norm, attention, scale) => {
                let [height, width, channels] = x.shape();
                let rows = [height * width, channels];
                let normed = norm.apply(ctx, x.view().reshape(rows)?)?;
                attention.forward_with(ctx, normed.view(), add(scale), x.view_mut().reshape(rows)?)?;
            }
        }
        self.mlp.add(ctx, &mut x)?;
        Ok(x)
    }
}

/// One stage.
#[derive(Debug)]
pub(super) struct Stage {
    down: Option<Downsample>,
    positions: Option<DepthwiseConv2d>,
    blocks: Vec<Block>,
}

/// Sizes of a stage.
pub(super) struct StageSizes {
    /// Channels of the stage before, if there is one.
    pub(super) before: Option<usize>,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) mlp_ratio: usize,
    pub(super) attends: bool,
    /// What follows the large kernel.
    pub(super) activation: Activation,
}

impl Stage {
    pub(super) fn load(
        places: &StagePlaces<'_>,
        names: &Names,
        sizes: &StageSizes,
    ) -> Result<Self, LayerError> {
        let &StageSizes { before, width, depth, mlp_ratio, attends, activation } = sizes;
        let down = |before| Downsample::load(&places.down, names, [before, width], activation);
        let positions = || {
            let folded = rep_positions(&places.positions, names, Sizes::depthwise(width, 7));
            folded.into_depthwise(same(7, 1))
        };
        let block = |number: usize| {
            let scope = places.blocks.scope(number);
            match attends {
                true => Block::attending(&scope, names, width, mlp_ratio),
                false => Block::convolutional(&scope, names, width, mlp_ratio),
            }
        };
        Ok(Self {
            down: before.map(down).transpose()?,
            positions: attends.then(positions).transpose()?,
            blocks: (0..depth).map(block).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        mut x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        if let Some(down) = &self.down {
            x = down.apply(ctx, x.view())?;
        }
        if let Some(positions) = &self.positions {
            x = positions.apply(ctx, x.view())?;
        }
        for block in &self.blocks {
            ctx.check()?;
            x = block.apply(ctx, x)?;
        }
        Ok(x)
    }
}

/// Twice the channels, each weighed by what the whole picture has of it.
#[derive(Debug)]
pub(super) struct Last {
    conv: GroupConv2d,
    gates: SqueezeExcite,
}

impl Last {
    pub(super) fn load(scope: &Scope<'_>, names: &Names, width: usize) -> Result<Self, LayerError> {
        let (scope, outputs) = (scope.scope(names.last), 2 * width);
        let branches = Branches { scale: true, identity: false };
        let conv = mobile_one(&scope, names, Sizes::depthwise(outputs, 3), branches);
        // A sixteenth, to the nearest whole number.
        let squeezed = ((outputs + 8) / 16).max(1);
        let [reduce, expand] = names.squeeze.map(|name| scope.scope("se").scope(name));
        Ok(Self {
            conv: conv.into_group(width, same(3, 1), Activation::None)?,
            gates: SqueezeExcite::new(
                Linear::load(&reduce, outputs, squeezed, true),
                Linear::load(&expand, squeezed, outputs, true),
            )?,
        })
    }

    pub(super) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let mut x = self.conv.apply(ctx, x)?;
        let [height, width, channels] = x.shape();
        let pixels = x.view_mut().reshape([height * width, channels])?;
        self.gates.forward(ctx, pixels, Activation::Gelu)?;
        Ok(x)
    }
}

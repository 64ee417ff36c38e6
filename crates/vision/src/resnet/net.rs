//! The network itself: pixels to a map of features.

use tiny_vlm_layers::{Activation, Conv2d, ConvShape, LayerError, Residual, ScratchTensor};
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use super::ResNetNames;
use crate::VisionError;
use crate::folded::conv_norm;
use crate::pool::max_pool;

/// How much narrower a bottleneck's 3 × 3 convolution is than what comes out of the block.
const REDUCTION: usize = 4;
/// What PyTorch adds to a variance.
const NORM_EPSILON: f32 = 1e-5;
/// Beyond these no network of this kind is meant.
const MOST_CHANNELS: usize = 1 << 14;
const MOST_BLOCKS: usize = 1 << 10;

/// Sizes of a ResNet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Channels behind the stem.
    pub stem: usize,
    /// Channels that come out of each stage.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Whether blocks are bottlenecks.
    pub bottleneck: bool,
    /// Whether the first stage halves the map like the others.
    pub first_stage_halves: bool,
    /// Whether a bottleneck that halves the map does so where it reduces the channels.
    pub reduction_halves: bool,
}

impl ResNetConfig {
    /// Whether there can be such a network.
    pub fn check(&self) -> Result<(), VisionError> {
        let wrong = |what: String| Err(VisionError::Config(what));
        let Self { stem, widths, depths, .. } = self;
        if widths.is_empty() || widths.len() != depths.len() {
            return wrong(format!(
                "{} widths and {} depths of a resnet's stages",
                widths.len(),
                depths.len()
            ));
        }
        if let Some(channels) =
            widths.iter().chain([stem]).find(|&channels| !(1..=MOST_CHANNELS).contains(channels))
        {
            return wrong(format!("{channels} channels in a resnet"));
        }
        if self.bottleneck && widths.iter().any(|&width| width < REDUCTION) {
            return wrong("a bottleneck of less than one channel".to_owned());
        }
        let blocks = depths.iter().try_fold(0usize, |sum, &depth| sum.checked_add(depth));
        if depths.contains(&0) || blocks.is_none_or(|blocks| blocks > MOST_BLOCKS) {
            return wrong(format!("stages of {depths:?} blocks in a resnet"));
        }
        Ok(())
    }
}

/// A ResNet without its classifier.
#[derive(Debug)]
pub struct ResNet {
    stem: Conv2d,
    stages: Vec<Vec<Block>>,
}

/// Convolutions, and what is added to what comes out of them: their input, or a convolution of it.
#[derive(Debug)]
struct Block {
    convs: Vec<Conv2d>,
    last: Conv2d,
    shortcut: Option<Conv2d>,
}

impl ResNet {
    /// Reads the network below `scope`.
    pub fn load(scope: &Scope<'_>, config: &ResNetConfig, names: ResNetNames) -> Result<Self, VisionError> {
        config.check()?;
        let [conv, norm] = names.stem(scope);
        let stem = conv_norm(&conv, &norm, [3, config.stem], ConvShape::square(7, 2, 3), NORM_EPSILON)?;
        let mut stages = Vec::with_capacity(config.widths.len());
        let mut inputs = config.stem;
        for (number, (&width, &depth)) in config.widths.iter().zip(&config.depths).enumerate() {
            let halves = number > 0 || config.first_stage_halves;
            let mut stage = Vec::with_capacity(depth);
            for place in 0..depth {
                let scope = names.block(scope, number, place);
                let stride = if place == 0 && halves { 2 } else { 1 };
                stage.push(Block::load(&scope, [inputs, width], stride, config, names)?);
                inputs = width;
            }
            stages.push(stage);
        }
        Ok(ResNet { stem: stem.with_activation(Activation::Relu), stages })
    }

    /// Channels of its features.
    pub fn width(&self) -> usize {
        self.stages.last().and_then(|stage| stage.last()).map_or(0, |block| block.last.outputs())
    }

    /// How many stages there are.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// What the stages begin with: the pixels at a quarter of their size.
    pub fn embed<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let x = self.stem.apply(ctx, pixels)?;
        Ok(max_pool(ctx, x.view(), ConvShape::square(3, 2, 1))?)
    }

    /// The stage with this number, from 0.
    ///
    /// # Panics
    /// If there is no such stage.
    pub fn stage<'a>(
        &self,
        ctx: &Context<'a>,
        number: usize,
        x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        ctx.progress.report("encode", number, self.stages.len());
        Ok(self.stages[number].iter().try_fold(x, |x, block| block.apply(ctx, x))?)
    }

    /// Features of normalized pixels `[height, width, 3]`, at a 32nd of their size.
    pub fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let x = self.embed(ctx, pixels)?;
        (0..self.stages.len()).try_fold(x, |x, number| self.stage(ctx, number, x))
    }
}

impl Block {
    fn load(
        scope: &Scope<'_>,
        [inputs, outputs]: [usize; 2],
        stride: usize,
        config: &ResNetConfig,
        names: ResNetNames,
    ) -> Result<Self, LayerError> {
        let conv = |[conv, norm]: [Scope<'_>; 2], channels, kernel: usize, stride| {
            conv_norm(&conv, &norm, channels, ConvShape::square(kernel, stride, kernel / 2), NORM_EPSILON)
        };
        let at = |number| names.conv(scope, number);
        let (convs, last) = if config.bottleneck {
            let narrow = outputs / REDUCTION;
            let [first, second] = if config.reduction_halves { [stride, 1] } else { [1, stride] };
            let reduce = conv(at(0), [inputs, narrow], 1, first)?;
            let spread = conv(at(1), [narrow, narrow], 3, second)?;
            (vec![reduce, spread], conv(at(2), [narrow, outputs], 1, 1)?)
        } else {
            (vec![conv(at(0), [inputs, outputs], 3, stride)?], conv(at(1), [outputs, outputs], 3, 1)?)
        };
        let changes = inputs != outputs || stride != 1;
        let shortcut =
            if changes { Some(conv(names.shortcut(scope), [inputs, outputs], 1, stride)?) } else { None };
        let convs = convs.into_iter().map(|conv| conv.with_activation(Activation::Relu)).collect();
        Ok(Block { convs, last: last.rectified(), shortcut })
    }

    fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let [first, rest @ ..] = &self.convs[..] else { return Ok(x) };
        let inner = first.apply(ctx, x.view())?;
        let inner = rest.iter().try_fold(inner, |inner, conv| conv.apply(ctx, inner.view()))?;
        let mut sum = match &self.shortcut {
            Some(shortcut) => shortcut.apply(ctx, x.view())?,
            None => x,
        };
        self.last.forward_with(ctx, inner.view(), Residual::Output, sum.view_mut())?;
        Ok(sum)
    }
}

//! What checkpoints call a ResNet's parameters.

use tiny_vlm_weights::Scope;

/// One of the two layouts that ResNets are published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetNames {
    /// As `ResNetModel` of `transformers` has them.
    Transformers,
    /// As `timm` and `torchvision` have them.
    Timm,
}

/// Where a convolution and its batch norm are.
pub(super) type Places<'s> = [Scope<'s>; 2];

impl ResNetNames {
    /// The convolution of the stem.
    pub(super) fn stem<'s>(self, root: &Scope<'s>) -> Places<'s> {
        match self {
            Self::Transformers => pair(&root.scope("embedder.embedder")),
            Self::Timm => [root.scope("conv1"), root.scope("bn1")],
        }
    }

    /// The block with this number within its stage.
    pub(super) fn block<'s>(self, root: &Scope<'s>, stage: usize, block: usize) -> Scope<'s> {
        match self {
            Self::Transformers => root.scope(format!("encoder.stages.{stage}.layers.{block}")),
            Self::Timm => root.scope(format!("layer{}.{block}", stage + 1)),
        }
    }

    /// The convolution with this number within its block.
    pub(super) fn conv<'s>(self, block: &Scope<'s>, number: usize) -> Places<'s> {
        match self {
            Self::Transformers => pair(&block.scope("layer").scope(number)),
            Self::Timm => ["conv", "bn"].map(|what| block.scope(format!("{what}{}", number + 1))),
        }
    }

    /// The convolution that takes a block's input past it.
    pub(super) fn shortcut<'s>(self, block: &Scope<'s>) -> Places<'s> {
        match self {
            Self::Transformers => pair(&block.scope("shortcut")),
            Self::Timm => [0, 1].map(|number| block.scope("downsample").scope(number)),
        }
    }
}

fn pair<'s>(layer: &Scope<'s>) -> Places<'s> {
    ["convolution", "normalization"].map(|what| layer.scope(what))
}

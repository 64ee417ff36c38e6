//! The convolutions that nano's networks begin with: a picture to maps at strides 4, 8 and 16.
//!
//! 3 × 3 convolutions throughout, in the style of FastViT (Vasu et al., 2023, arXiv:2303.14189) with its branches folded:
//! two of stride 2, then residual ones at each stride with one of stride 2 between.

use tiny_vlm_layers::{Conv2d, LayerError, ScratchTensor};
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use crate::parts::{Stage, conv, stem};

/// An image to maps at strides 4, 8 and 16.
#[derive(Debug)]
pub(crate) struct Trunk {
    stem: [Conv2d; 2],
    stage1: Stage,
    down1: Conv2d,
    stage2: Stage,
    down2: Conv2d,
    stage3: Stage,
}

/// Maps `[height, width, channels]`.
pub(crate) struct Maps<'a> {
    pub(crate) s4: ScratchTensor<'a, 3>,
    pub(crate) s8: ScratchTensor<'a, 3>,
    pub(crate) s16: ScratchTensor<'a, 3>,
}

impl Trunk {
    /// Channels at strides 2, 4, 8 and 16; residual convolutions at strides 4, 8 and 16.
    pub(crate) fn load(scope: &Scope<'_>, inputs: usize, widths: [usize; 4], depths: [usize; 3]) -> Self {
        let ([w2, w4, w8, w16], [d1, d2, d3]) = (widths, depths);
        Trunk {
            stem: stem(&scope.scope("stem"), inputs, [w2, w4]),
            stage1: Stage::load(&scope.scope("stage1"), w4, d1),
            down1: conv(&scope.scope("down1"), [w4, w8], [2; 2]),
            stage2: Stage::load(&scope.scope("stage2"), w8, d2),
            down2: conv(&scope.scope("down2"), [w8, w16], [2; 2]),
            stage3: Stage::load(&scope.scope("stage3"), w16, d3),
        }
    }

    /// Channels at stride 16.
    pub(crate) fn width(&self) -> usize {
        self.down2.outputs()
    }

    pub(crate) fn forward<'a>(&self, ctx: &Context<'a>, x: View<'_, f32, 3>) -> Result<Maps<'a>, LayerError> {
        let [first, second] = &self.stem;
        let x = first.apply(ctx, x)?;
        let x = second.apply(ctx, x.view())?;
        let s4 = self.stage1.apply(ctx, x)?;
        let x = self.down1.apply(ctx, s4.view())?;
        let s8 = self.stage2.apply(ctx, x)?;
        let x = self.down2.apply(ctx, s8.view())?;
        let s16 = self.stage3.apply(ctx, x)?;
        Ok(Maps { s4, s8, s16 })
    }
}

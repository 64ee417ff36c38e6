//! The pieces that nano's networks are made of, by the names that its checkpoints give them.

use tiny_vlm_layers::{
    Activation, Conv2d, ConvShape, EncoderBlock, LayerError, LayerNorm, Linear, Mlp, ScratchTensor,
    SelfAttention,
};
use tiny_vlm_tensor::Context;
use tiny_vlm_weights::Scope;

/// A 3 × 3 convolution with a stride and a GELU.
pub(crate) fn conv(scope: &Scope<'_>, channels: [usize; 2], stride: [usize; 2]) -> Conv2d {
    let shape = ConvShape { stride, ..ConvShape::square(3, 1, 1) };
    Conv2d::load(scope, channels, shape).with_activation(Activation::Gelu)
}

/// A linear map of each pixel's channels.
pub(crate) fn pointwise(scope: &Scope<'_>, channels: [usize; 2]) -> Conv2d {
    Conv2d::load(scope, channels, ConvShape::square(1, 1, 0))
}

/// Two convolutions of stride 2.
pub(crate) fn stem(scope: &Scope<'_>, inputs: usize, widths: [usize; 2]) -> [Conv2d; 2] {
    let stride = [2; 2];
    [conv(&scope.scope(0), [inputs, widths[0]], stride), conv(&scope.scope(1), widths, stride)]
}

/// Convolutions that are added to what they are given, one after the other.
#[derive(Debug)]
pub(crate) struct Stage(Vec<Conv2d>);

impl Stage {
    /// The convolutions of a stage have numbers, unless there is only one.
    pub(crate) fn load(scope: &Scope<'_>, channels: usize, depth: usize) -> Self {
        let one = |scope: &Scope<'_>| conv(scope, [channels; 2], [1; 2]);
        Stage(if depth == 1 { vec![one(scope)] } else { (0..depth).map(|i| one(&scope.scope(i))).collect() })
    }

    pub(crate) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        self.0.iter().try_fold(x, |x, conv| conv.apply_residual(ctx, x.view()))
    }
}

/// A map's cells as tokens, row by row.
pub(crate) fn tokens(map: ScratchTensor<'_, 3>) -> Result<ScratchTensor<'_, 2>, LayerError> {
    let [height, width, channels] = map.shape();
    map.reshape([height * width, channels])
}

/// A pre-norm block of attention and a feed-forward layer.
pub(crate) fn block(
    scope: &Scope<'_>,
    width: usize,
    heads: usize,
    mlp: usize,
    epsilon: f32,
) -> Result<EncoderBlock, LayerError> {
    let attention = scope.scope("attention");
    let linear = |scope: &Scope<'_>, name: &str, inputs, outputs| {
        Linear::load(&scope.scope(name), inputs, outputs, true)
    };
    Ok(EncoderBlock {
        attention_norm: LayerNorm::load(&scope.scope("norm1"), width, epsilon),
        attention: SelfAttention::new(
            linear(&attention, "qkv", width, 3 * width),
            linear(&attention, "proj", width, width),
            heads,
        )?,
        mlp_norm: LayerNorm::load(&scope.scope("norm2"), width, epsilon),
        mlp: Mlp::new(linear(scope, "fc1", width, mlp), linear(scope, "fc2", mlp, width), Activation::Gelu)?,
    })
}

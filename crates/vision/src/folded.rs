//! Folding: what was trained as a sum of linear branches, each with a normalisation of its own, is one convolution.
//!
//! A convolution is linear in its kernel, and in evaluation a batch normalisation (Ioffe & Szegedy, 2015,
//! arXiv:1502.03167) is an affine map of each channel, `γ/√(σ² + ε) · (x − μ) + β`, so that (RepVGG, Ding et al., 2021,
//! arXiv:2101.03697)
//!
//! - a normalisation behind a convolution scales its kernels and moves its bias;
//! - a smaller kernel is a larger one with zeros around it, and an identity is a kernel with one tap;
//! - branches add up kernel by kernel.

use tiny_vlm_layers::{Activation, Conv2d, ConvShape, DepthwiseConv2d, GroupConv2d, LayerError};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_tensor::Tensor;
use tiny_vlm_weights::{Scope, taps_outermost};

/// Sizes of a kernel: channels that come out, channels that each of those sees, and the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) side: usize,
}

impl Sizes {
    /// A convolution whose outputs see every channel.
    pub(crate) fn dense([inputs, outputs]: [usize; 2], side: usize) -> Self {
        Self { outputs, inputs, side }
    }

    /// A convolution whose outputs see one channel each.
    pub(crate) fn depthwise(outputs: usize, side: usize) -> Self {
        Self { outputs, inputs: 1, side }
    }

    fn taps(self) -> usize {
        self.side * self.side
    }
}

/// A map of each channel by itself: `scale · x + shift`.
pub(crate) struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    /// The batch normalisation below `scope`, as it evaluates.
    pub(crate) fn of_norm(scope: &Scope<'_>, channels: usize, epsilon: f32) -> Self {
        let [weight, bias, mean, variance] =
            ["weight", "bias", "running_mean", "running_var"].map(|leaf| scope.vector(leaf, channels));
        let scale: Vec<f32> =
            weight.iter().zip(variance.iter()).map(|(w, variance)| w / (variance + epsilon).sqrt()).collect();
        let shift = bias.iter().zip(mean.iter()).zip(&scale);
        Self { shift: shift.map(|((bias, mean), scale)| bias - mean * scale).collect(), scale }
    }

    pub(crate) fn identity(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    pub(crate) fn negated(self) -> Self {
        let minus = |values: Vec<f32>| values.into_iter().map(|value| -value).collect();
        Self { scale: minus(self.scale), shift: minus(self.shift) }
    }
}

/// A convolution that is being put together: kernels as PyTorch has them, `[outputs, inputs, side, side]`, and a bias.
/// Values that a faulty checkpoint lacks are lacking here, too.
pub(crate) struct Folded {
    sizes: Sizes,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Folded {
    fn of(weight: Tensor<f32, 4>, bias: Vec<f32>, sizes: Sizes) -> Self {
        Self { sizes, weight: weight.data().to_vec(), bias }
    }

    /// `weight` and `bias` below `scope`.
    pub(crate) fn plain(scope: &Scope<'_>, sizes: Sizes) -> Self {
        let bias = scope.vector("bias", sizes.outputs).to_vec();
        Self::of(kernel(scope, sizes), bias, sizes)
    }

    /// A convolution without a bias below `conv`, and the normalisation behind it below `norm`.
    pub(crate) fn normalised(conv: &Scope<'_>, norm: &Scope<'_>, sizes: Sizes, epsilon: f32) -> Self {
        let norm = Affine::of_norm(norm, sizes.outputs, epsilon);
        let scaled = Self::of(kernel(conv, sizes), vec![0.0; sizes.outputs], sizes).scaled(&norm.scale);
        Self { bias: norm.shift, ..scaled }
    }

    /// Each output times its factor.
    pub(crate) fn scaled(mut self, factors: &[f32]) -> Self {
        let row = (self.sizes.inputs * self.sizes.taps()).max(1);
        for ((kernel, bias), factor) in self.weight.chunks_exact_mut(row).zip(&mut self.bias).zip(factors) {
            kernel.iter_mut().for_each(|weight| *weight *= factor);
            *bias *= factor;
        }
        self
    }

    /// The sum with another of the same channels, whose kernels are as large or smaller.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        let (side, small) = (self.sizes.side, other.sizes.side);
        let border = (side - small) / 2;
        let kernels = self.weight.chunks_exact_mut(self.sizes.taps());
        for (kernel, added) in kernels.zip(other.weight.chunks_exact(other.sizes.taps())) {
            for (row, added) in kernel.chunks_exact_mut(side).skip(border).zip(added.chunks_exact(small)) {
                row[border..].iter_mut().zip(added).for_each(|(weight, added)| *weight += added);
            }
        }
        self.bias.iter_mut().zip(&other.bias).for_each(|(bias, added)| *bias += added);
        self
    }

    /// The sum with a map of each channel by itself.
    pub(crate) fn plus_channels(mut self, map: &Affine) -> Self {
        let Sizes { inputs, side, .. } = self.sizes;
        let (taps, centre) = (self.sizes.taps(), side * (side / 2) + side / 2);
        for (channel, (scale, shift)) in map.scale.iter().zip(&map.shift).enumerate() {
            // In groups the channel is the only one that its output sees.
            let place = (channel * inputs + channel % inputs) * taps + centre;
            if let (Some(weight), Some(bias)) = (self.weight.get_mut(place), self.bias.get_mut(channel)) {
                *weight += scale;
                *bias += shift;
            }
        }
        self
    }

    /// A convolution whose outputs see every channel, in the precision of `leaf` below `scope`.
    pub(crate) fn into_conv(
        mut self,
        scope: &Scope<'_>,
        leaf: &str,
        shape: ConvShape,
    ) -> Result<Conv2d, LayerError> {
        let Sizes { outputs, inputs, .. } = self.sizes;
        let taps = self.sizes.taps();
        if self.weight.len() != outputs * inputs * taps || self.bias.len() != outputs {
            return Conv2d::new(scope.made_matrix(leaf, 0, 0, &[]), None, shape);
        }
        taps_outermost(&mut self.weight, inputs, taps);
        let weight = scope.made_matrix(leaf, outputs, inputs * taps, &self.weight);
        Conv2d::new(weight, Some(AlignedVec::try_from_slice(&self.bias)?), shape)
    }

    /// A convolution whose outputs see one channel each, as many for each of `channels`, and an activation.
    pub(crate) fn into_group(
        self,
        channels: usize,
        shape: ConvShape,
        activation: Activation,
    ) -> Result<GroupConv2d, LayerError> {
        let each = self.sizes.outputs / channels.max(1);
        let part = |number| Ok(self.part(number, each, shape)?.with_activation(activation));
        GroupConv2d::new((0..each).map(part).collect::<Result<_, LayerError>>()?)
    }

    /// A convolution whose outputs see one channel each, one for each.
    pub(crate) fn into_depthwise(self, shape: ConvShape) -> Result<DepthwiseConv2d, LayerError> {
        self.part(0, 1, shape)
    }

    /// The kernels of the `number`-th of each `each` outputs.
    fn part(&self, number: usize, each: usize, shape: ConvShape) -> Result<DepthwiseConv2d, LayerError> {
        let Sizes { outputs, inputs, side } = self.sizes;
        // What a checkpoint lacks takes no memory here either.
        let whole = self.weight.len() == outputs * inputs * self.sizes.taps();
        let channels = if whole { outputs / each } else { 0 };
        let mut weight = Tensor::try_zeroed([side, side, channels])?;
        let kernels = self.weight.chunks_exact(self.sizes.taps()).skip(number).step_by(each);
        for (channel, kernel) in kernels.take(channels).enumerate() {
            let places = weight.data_mut()[channel..].iter_mut().step_by(channels);
            places.zip(kernel).for_each(|(place, weight)| *place = *weight);
        }
        let mut bias = AlignedVec::try_zeroed(channels)?;
        let biases = self.bias.iter().skip(number).step_by(each);
        bias.iter_mut().zip(biases).for_each(|(place, bias)| *place = *bias);
        DepthwiseConv2d::new(weight, Some(bias), shape)
    }
}

fn kernel(scope: &Scope<'_>, sizes: Sizes) -> Tensor<f32, 4> {
    scope.tensor("weight", [sizes.outputs, sizes.inputs, sizes.side, sizes.side])
}

/// Reads the `weight` of a convolution without bias below `conv`, and the normalisation behind it below `norm`. Its
/// kernel is square.
///
/// What is missing is recorded with the scope, and the convolution is then of no use.
pub(crate) fn conv_norm(
    conv: &Scope<'_>,
    norm: &Scope<'_>,
    channels: [usize; 2],
    shape: ConvShape,
    epsilon: f32,
) -> Result<Conv2d, LayerError> {
    let sizes = Sizes::dense(channels, shape.kernel[0]);
    Folded::normalised(conv, norm, sizes, epsilon).into_conv(conv, "weight", shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_kernels_are_added_in_the_middle() {
        let folded = |side: usize, value: f32| {
            let sizes = Sizes::depthwise(2, side);
            Folded { sizes, weight: vec![value; 2 * side * side], bias: vec![value; 2] }
        };
        let sum = folded(5, 1.0).plus(&folded(3, 2.0));
        let row = |middle: f32| [1.0, middle, middle, middle, 1.0];
        let kernel = [row(1.0), row(3.0), row(3.0), row(3.0), row(1.0)];
        assert_eq!(sum.weight, [kernel, kernel].concat().concat());
        assert_eq!(sum.bias, [3.0; 2]);
    }

    #[test]
    fn an_identity_is_one_tap_of_the_channel_itself() {
        let sizes = Sizes::dense([3, 3], 1);
        let nothing = Folded { sizes, weight: vec![0.0; 9], bias: vec![1.0; 3] };
        let map = Affine { scale: vec![1.0, 2.0, 3.0], shift: vec![4.0; 3] };
        let sum = nothing.plus_channels(&map).scaled(&[1.0, 10.0, 1.0]);
        assert_eq!(sum.weight, [1.0, 0.0, 0.0, 0.0, 20.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!(sum.bias, [5.0, 50.0, 5.0]);
    }
}

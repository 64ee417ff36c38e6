//! Depthwise convolution: each channel of an image by a kernel of its own.

use tiny_vlm_kernels::{Activation, ConvShape, DepthwiseInput, Epilogue, OutMut, Residual, depthwise};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_simd::{LANES, Level};
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut, split};
use tiny_vlm_weights::Scope;

use crate::{LayerError, ScratchTensor};

/// Output pixels of a task, about.
const TASK_PIXELS: usize = 512;

/// Output pixels and channels of a task: whole lines, and all channels unless lines alone do not make two tasks for every
/// thread.
pub(crate) fn task([height, width, channels]: [usize; 3], threads: usize) -> [usize; 2] {
    let (height, width) = (height.max(1), width.max(1));
    let lines = TASK_PIXELS.div_ceil(width).min(height);
    let parts = if threads > 1 { (2 * threads).div_ceil(height.div_ceil(lines)) } else { 1 };
    [lines * width, channels.div_ceil(parts).next_multiple_of(LANES).max(1)]
}

/// A depthwise convolution with its bias and activation, in f32: it is a few hundredths of a network's arithmetic.
///
/// Images are `[height, width, channels]`, weights `[kernel height, kernel width, channels]`.
#[derive(Debug)]
pub struct DepthwiseConv2d {
    weight: Tensor<f32, 3>,
    bias: Option<AlignedVec<f32>>,
    shape: ConvShape,
    activation: Activation,
}

impl DepthwiseConv2d {
    /// Reads `weight` and `bias` of `channels` channels below `scope`.
    pub fn load(scope: &Scope<'_>, channels: usize, shape: ConvShape) -> Self {
        let [height, width] = shape.kernel;
        let weight = scope.tensor("weight", [height, width, channels]);
        let bias = Some(scope.vector("bias", channels));
        Self { weight, bias, shape, activation: Activation::None }
    }

    /// Reads `weight` and `bias` of `channels` channels below `scope`, the weight as PyTorch has it:
    /// `[channels, 1, kernel height, kernel width]`.
    pub fn load_channels_first(scope: &Scope<'_>, channels: usize, shape: ConvShape) -> Self {
        let [height, width] = shape.kernel;
        let stored = scope.tensor("weight", [channels, 1, height, width]);
        // What stands in for a faulty tensor may be empty.
        let [channels, _, height, width] = stored.shape();
        let weight = Tensor::from_fn([height, width, channels], |[y, x, channel]| {
            stored.data()[(channel * height + y) * width + x]
        });
        let bias = Some(scope.vector("bias", channels));
        Self { weight, bias, shape, activation: Activation::None }
    }

    /// A convolution of these weights; a bias has one element a channel.
    pub fn new(
        weight: Tensor<f32, 3>,
        bias: Option<AlignedVec<f32>>,
        shape: ConvShape,
    ) -> Result<Self, LayerError> {
        let [height, width, channels] = weight.shape();
        LayerError::expect_shape("depthwise kernel", shape.kernel, [height, width])?;
        if let Some(bias) = &bias {
            LayerError::expect_shape("bias", [channels], [bias.len()])?;
        }
        Ok(Self { weight, bias, shape, activation: Activation::None })
    }

    /// The same, followed by an activation.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Writes the convolution of `x` to `out`.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 3>,
        out: ViewMut<'_, f32, 3>,
    ) -> Result<(), LayerError> {
        self.forward_with(ctx, x, Residual::None, out)
    }

    /// As [`forward`](Self::forward), with something added after the activation; it has a row for each output pixel.
    pub fn forward_with(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 3>,
        residual: Residual<'_>,
        out: ViewMut<'_, f32, 3>,
    ) -> Result<(), LayerError> {
        ctx.check()?;
        let [height, width, channels] = self.output(x.shape())?;
        LayerError::expect_shape("a depthwise output", [height, width, channels], out.shape())?;
        let out = out.reshape([height * width, channels])?;
        let epilogue = Epilogue { residual, ..self.epilogue() };
        epilogue.fits(height * width, channels).map_err(tiny_vlm_quant::QuantError::Epilogue)?;
        let input = self.input(x)?;
        let tile = task([height, width, channels], ctx.executor.threads());
        split::for_each_tile(ctx.executor, out, tile, |first, part| {
            self.compute(&input, &epilogue, OutMut::at(first, part));
        });
        Ok(())
    }

    /// What a kernel needs of an image.
    pub(crate) fn input<'x>(&self, x: View<'x, f32, 3>) -> Result<DepthwiseInput<'x>, LayerError> {
        let (shape, strides) = (x.shape(), x.strides());
        let gaps = tiny_vlm_quant::QuantError::Gaps { shape, strides };
        let image = x.data().ok_or(gaps)?;
        Ok(DepthwiseInput { image, shape, conv: self.shape })
    }

    /// Bias and activation.
    pub(crate) fn epilogue(&self) -> Epilogue<'_> {
        Epilogue { bias: self.bias.as_deref(), activation: self.activation, ..Epilogue::default() }
    }

    /// Writes whole lines of output pixels.
    pub(crate) fn compute(&self, input: &DepthwiseInput<'_>, epilogue: &Epilogue<'_>, out: OutMut<'_>) {
        depthwise(Level::detect(), input, self.weight.data(), epilogue, out);
    }

    /// Whether another takes the same images to the same shape.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.shape == other.shape && self.weight.shape() == other.weight.shape()
    }

    /// Channels that go in, and as many come out.
    pub fn channels(&self) -> usize {
        self.weight.shape()[2]
    }

    /// The convolution of `x`, in the scratch.
    pub fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let mut out = ScratchTensor::new(ctx, self.output(x.shape())?)?;
        self.forward(ctx, x, out.view_mut())?;
        Ok(out)
    }

    /// Shape of what comes out of an image of this shape.
    pub fn output(&self, image: [usize; 3]) -> Result<[usize; 3], LayerError> {
        let ([height, width, channels], [.., expected]) = (image, self.weight.shape());
        match self.shape.output([height, width]) {
            Some([height, width]) if channels == expected => Ok([height, width, channels]),
            _ => Err(LayerError::Shape {
                what: "an image for a depthwise convolution",
                expected: self.weight.shape().to_vec(),
                actual: image.to_vec(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Workspace;

    #[test]
    fn channels_keep_apart() {
        let weight = Tensor::from_fn([3, 3, 2], |[.., c]| if c == 0 { 1.0 } else { 0.5 });
        let bias = AlignedVec::from_slice(&[0.0, 1.0]);
        let conv = DepthwiseConv2d::new(weight, Some(bias), ConvShape::square(3, 2, 1)).unwrap();
        let x = Tensor::from_fn([4, 3, 2], |[.., c]| (c + 1) as f32);
        let workspace = Workspace::new(2);
        let out = conv.apply(&workspace.context(), x.view()).unwrap();
        assert_eq!(out.data(), [4.0, 5.0, 4.0, 5.0, 6.0, 7.0, 6.0, 7.0]);
    }

    #[test]
    fn other_channels_are_an_error() {
        let conv = DepthwiseConv2d::new(Tensor::zeroed([1, 1, 2]), None, ConvShape::square(1, 1, 0)).unwrap();
        let x = Tensor::<f32, 3>::zeroed([4, 3, 3]);
        assert!(conv.apply(&Workspace::inline().context(), x.view()).is_err());
        let wrong = DepthwiseConv2d::new(Tensor::zeroed([1, 2, 2]), None, ConvShape::square(1, 1, 0));
        assert!(wrong.is_err());
    }
}

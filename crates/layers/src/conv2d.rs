//! Dense convolution of an image whose pixels' channels lie side by side: `residual + act(x ∗ W + b)`.

use tiny_vlm_kernels::{Activation, ConvShape, Epilogue, Residual};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_quant::{Matrix, conv2d};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{LayerError, ScratchTensor};

/// A dense convolution with its bias and activation, the weights packed in whatever precision they were loaded in.
///
/// Images are `[height, width, channels]`, weights `[outputs, kernel height, kernel width, inputs]`.
#[derive(Debug)]
pub struct Conv2d {
    weight: Matrix,
    bias: Option<AlignedVec<f32>>,
    shape: ConvShape,
    activation: Activation,
    rectify: bool,
}

impl Conv2d {
    /// Reads `weight` and `bias` of a convolution from `inputs` to `outputs` channels below `scope`.
    pub fn load(scope: &Scope<'_>, [inputs, outputs]: [usize; 2], shape: ConvShape) -> Self {
        let weight = scope.kernel("weight", outputs, shape.kernel, inputs);
        let bias = Some(scope.vector("bias", outputs));
        Self { weight, bias, shape, activation: Activation::None, rectify: false }
    }

    /// A convolution of these weights; a bias has one element a row of them.
    pub fn new(weight: Matrix, bias: Option<AlignedVec<f32>>, shape: ConvShape) -> Result<Self, LayerError> {
        if let Some(bias) = &bias {
            LayerError::expect_shape("bias", [weight.rows()], [bias.len()])?;
        }
        Ok(Self { weight, bias, shape, activation: Activation::None, rectify: false })
    }

    /// The same, followed by an activation.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The same with a ReLU behind everything, what is added to the convolution included.
    #[must_use]
    pub fn rectified(self) -> Self {
        Self { rectify: true, ..self }
    }

    /// Channels that come out.
    pub fn outputs(&self) -> usize {
        self.weight.rows()
    }

    /// The weights.
    pub fn weight(&self) -> &Matrix {
        &self.weight
    }

    /// Kernel, stride and padding.
    pub fn shape(&self) -> ConvShape {
        self.shape
    }

    /// Shape of what comes out of an image of this shape.
    pub fn output(&self, image: [usize; 3]) -> Result<[usize; 3], LayerError> {
        let [height, width, _] = image;
        match self.shape.output([height, width]) {
            Some([height, width]) => Ok([height, width, self.outputs()]),
            None => Err(LayerError::Shape {
                what: "an image for a convolution",
                expected: self.shape.kernel.to_vec(),
                actual: image.to_vec(),
            }),
        }
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
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: self.activation,
            residual,
            rectify: self.rectify,
            ..Epilogue::default()
        };
        Ok(conv2d(ctx, x, &self.weight, &self.shape, &epilogue, out)?)
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

    /// `x` plus its convolution, in the scratch. The convolution keeps the shape of its image.
    pub fn apply_residual<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let [height, width, channels] = x.shape();
        let pixels = x.reshape([height * width, channels])?;
        let mut out = ScratchTensor::new(ctx, x.shape())?;
        self.forward_with(ctx, x, Residual::Add(pixels), out.view_mut())?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_quant::Precision;
    use tiny_vlm_tensor::{Tensor, Workspace};

    /// The mean over the window, border included, of a convolution with equal weights.
    #[test]
    fn bias_activation_and_residual_come_in_this_order() {
        let weight = Matrix::from_f32(1, 9, &[1.0; 9], Precision::F32).unwrap();
        let bias = AlignedVec::from_slice(&[-10.0]);
        let conv = Conv2d::new(weight, Some(bias), ConvShape::square(3, 1, 1)).unwrap();
        let conv = conv.with_activation(Activation::Relu);
        let x = Tensor::from_fn([3, 3, 1], |[y, x, _]| (3 * y + x) as f32);
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        let plain = conv.apply(&ctx, x.view()).unwrap();
        assert_eq!(plain.data(), [0.0, 5.0, 2.0, 11.0, 26.0, 17.0, 10.0, 23.0, 14.0]);
        let sum = conv.apply_residual(&ctx, x.view()).unwrap();
        assert_eq!(sum.data(), [0.0, 6.0, 4.0, 14.0, 30.0, 22.0, 16.0, 30.0, 22.0]);
    }

    #[test]
    fn a_rectified_sum_is_rectified_with_what_is_added() {
        let weight = Matrix::from_f32(1, 1, &[-1.0], Precision::F32).unwrap();
        let conv = Conv2d::new(weight, None, ConvShape::square(1, 1, 0)).unwrap().rectified();
        let x = Tensor::from_fn([1, 3, 1], |[_, x, _]| x as f32);
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        let mut sum = ScratchTensor::new(&ctx, [1, 3, 1]).unwrap();
        sum.data_mut().copy_from_slice(&[-5.0, 0.5, 5.0]);
        conv.forward_with(&ctx, x.view(), Residual::Output, sum.view_mut()).unwrap();
        assert_eq!(sum.data(), [0.0, 0.0, 3.0]);
    }

    #[test]
    fn strides_halve_and_small_images_are_errors() {
        let weight = Matrix::from_f32(2, 18, &[0.5; 36], Precision::F32).unwrap();
        let conv = Conv2d::new(weight, None, ConvShape::square(3, 2, 0)).unwrap();
        let workspace = Workspace::inline();
        let x = Tensor::from_fn([5, 7, 2], |_| 1.0);
        let out = conv.apply(&workspace.context(), x.view()).unwrap();
        assert_eq!((out.shape(), out.data()), ([2, 3, 2], &[9.0; 12][..]));
        let small = Tensor::<f32, 3>::zeroed([2, 7, 2]);
        assert!(conv.apply(&workspace.context(), small.view()).is_err());
        let odd = Tensor::<f32, 3>::zeroed([5, 7, 3]);
        assert!(conv.apply(&workspace.context(), odd.view()).is_err());
    }

    #[test]
    fn a_stopped_context_runs_nothing() {
        let weight = Matrix::from_f32(1, 1, &[1.0], Precision::F32).unwrap();
        let conv = Conv2d::new(weight, None, ConvShape::square(1, 1, 0)).unwrap();
        let workspace = Workspace::inline();
        workspace.stop().cancel();
        let x = Tensor::<f32, 3>::zeroed([1, 1, 1]);
        let result = conv.apply(&workspace.context(), x.view());
        assert!(matches!(result, Err(LayerError::Stopped(_))));
    }
}

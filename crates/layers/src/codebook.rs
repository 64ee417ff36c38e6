//! A soft look-up: each row becomes the mean of a classifier's weights, those of a class weighed by how likely the row is
//! of that class. What is recalled of two rows of one class is nearly the same, however the rows differ.

use tiny_vlm_kernels::softmax;
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::{LayerError, Linear, ScratchTensor};

/// `softmax(x · Wᵀ + b) · W`.
#[derive(Debug)]
pub struct Codebook {
    classifier: Linear,
}

impl Codebook {
    /// Reads the `weight` of a row a class, and the `bias`, below `scope`.
    pub fn load(scope: &Scope<'_>, width: usize, classes: usize) -> Self {
        Self::new(Linear::load(scope, width, classes, true))
    }

    /// The look-up of a classifier's weights.
    pub fn new(classifier: Linear) -> Self {
        Self { classifier }
    }

    /// Adds `gain` times what each row of `x` recalls to the same row of `out`, which is as wide.
    pub fn add(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        gain: f32,
        mut out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let ([rows, width], classes) = (x.shape(), self.classifier.outputs());
        LayerError::expect_shape("what a codebook recalls", [rows, width], out.shape())?;
        let mut likely = ScratchTensor::new(ctx, [rows, classes])?;
        self.classifier.forward(ctx, x, likely.view_mut())?;
        softmax(self.classifier.weight().level(), likely.data_mut(), rows, classes, classes, 1.0);
        let mut code = ScratchTensor::new(ctx, [1, width])?;
        for class in 0..classes {
            self.classifier.weight().row(class, code.data_mut())?;
            for row in 0..rows {
                let share = gain * likely.view().row(row)[class];
                for (out, code) in out.row_mut(row).iter_mut().zip(code.data()) {
                    *out += share * code;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_quant::{Matrix, Precision};
    use tiny_vlm_tensor::{Tensor, Workspace};

    #[test]
    fn rows_recall_the_weights_of_their_classes() {
        let weights = [4.0, 0.0, 0.0, 8.0, -8.0, 0.0];
        let weight = Matrix::from_f32(3, 2, &weights, Precision::F32).unwrap();
        let codebook = Codebook::new(Linear::new(weight, None).unwrap());
        let workspace = Workspace::inline();
        let x = Tensor::from_fn([2, 2], |[row, column]| if row == column { 5.0 } else { 0.0 });
        let mut out = Tensor::from_fn([2, 2], |_| 1.0);
        codebook.add(&workspace.context(), x.view(), 2.0, out.view_mut()).unwrap();
        let expected = [9.0, 1.0, 1.0, 17.0];
        assert!(out.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{:?}", out.data());

        let mut narrow = Tensor::zeroed([2, 1]);
        assert!(codebook.add(&workspace.context(), x.view(), 1.0, narrow.view_mut()).is_err());
    }
}

//! Fewer and wider image tokens: the features of a square of patches side by side, through a linear map.

use tiny_vlm_layers::{LayerError, Linear, ScratchTensor};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

/// Pixel shuffle and modality projection of Idefics3 (Laurençon et al., 2024, arXiv:2408.12637): `factor` × `factor`
/// patches become one token of the decoder's width.
#[derive(Debug)]
pub struct PixelShuffle {
    projection: Linear,
    factor: usize,
}

impl PixelShuffle {
    /// Reads `modality_projection.proj` below `scope`, which takes `factor`² features of `width` and makes `outputs`.
    pub fn load(scope: &Scope<'_>, factor: usize, width: usize, outputs: usize) -> Self {
        let inputs = factor.saturating_mul(factor).saturating_mul(width);
        let projection = Linear::load(&scope.scope("modality_projection.proj"), inputs, outputs, false);
        Self { projection, factor }
    }

    /// Tokens that a square of `side` × `side` patches becomes.
    pub fn tokens(&self, side: usize) -> usize {
        (side / self.factor.max(1)).pow(2)
    }

    /// Writes a row for each square of `features`, which has a row for each patch of a square tile, row by row.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        features: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let [patches, width] = features.shape();
        let (side, factor) = (patches.isqrt(), self.factor);
        let fits = side * side == patches && factor > 0 && side.is_multiple_of(factor);
        if !fits || width * factor * factor != self.projection.inputs() {
            return Err(LayerError::Shape {
                what: "features to be shuffled",
                expected: vec![side * side, self.projection.inputs() / (factor * factor).max(1)],
                actual: vec![patches, width],
            });
        }
        let mut squares = ScratchTensor::new(ctx, [self.tokens(side), factor * factor * width])?;
        let across = side / factor;
        for (token, row) in squares.data_mut().chunks_exact_mut(factor * factor * width).enumerate() {
            let (top, left) = (token / across * factor, token % across * factor);
            for (y, part) in row.chunks_exact_mut(factor * width).enumerate() {
                for (x, part) in part.chunks_exact_mut(width).enumerate() {
                    part.copy_from_slice(features.row((top + y) * side + left + x));
                }
            }
        }
        self.projection.forward(ctx, squares.view(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_layers::{Matrix, Precision};
    use tiny_vlm_tensor::{Tensor, Workspace};

    #[test]
    fn squares_of_patches_lie_row_by_row() {
        // Each output is one of the four patches of a square.
        let identity: Vec<f32> = (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
        let weight = Matrix::from_f32(4, 4, &identity, Precision::F32).unwrap();
        let shuffle = PixelShuffle { projection: Linear::new(weight, None).unwrap(), factor: 2 };
        assert_eq!(shuffle.tokens(4), 4);
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        let features = Tensor::from_fn([16, 1], |[patch, _]| patch as f32);
        let mut out = Tensor::zeroed([4, 4]);
        shuffle.forward(&ctx, features.view(), out.view_mut()).unwrap();
        let expected = [0., 1., 4., 5., 2., 3., 6., 7., 8., 9., 12., 13., 10., 11., 14., 15.];
        assert_eq!(out.data(), expected);
        let odd = Tensor::zeroed([9, 1]);
        assert!(shuffle.forward(&ctx, odd.view(), out.view_mut()).is_err());
    }
}

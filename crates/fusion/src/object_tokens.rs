//! Things as tokens: what each looks like, where it is, which it is from the left; and what the page is like.
//!
//! `token = Wg · glimpse + label(glimpse) + colour(glimpse) + Wp · position + order[i]`, behind a first token that says
//! whether there is print. Label and colour are [codebooks](Codebook): what the tower's classifiers make of the glimpse.

use tiny_vlm_layers::{Codebook, Epilogue, LayerError, Linear, Residual, ScratchTensor};
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_weights::Scope;

/// Numbers that say where a thing is.
pub const POSITION_FEATURES: usize = 8;

/// Makes the tokens of a picture that a decoder attends to.
#[derive(Debug)]
pub struct ObjectTokens {
    glimpse: Linear,
    label: Codebook,
    colour: Codebook,
    /// How much the label and the colour count.
    gain: [f32; 2],
    position: Linear,
    order: Tensor<f32, 2>,
    page: Tensor<f32, 2>,
}

/// Sizes of [`ObjectTokens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectTokensConfig {
    /// Length of what the tower says of a thing.
    pub glimpse: usize,
    /// Length of a token. What the codebooks recall of a glimpse is as long as it and is added to a token, so this is the
    /// same as `glimpse`.
    pub width: usize,
    /// Classes of things.
    pub labels: usize,
    /// Classes of colours.
    pub colours: usize,
    /// The most things of a picture.
    pub most: usize,
}

impl ObjectTokens {
    /// Reads `glimpse`, `label`, `colour`, `gain`, `position`, `order` and `page` below `scope`.
    pub fn load(scope: &Scope<'_>, config: ObjectTokensConfig) -> Self {
        let gain = scope.vector("gain", 2);
        let gain = |i| gain.get(i).copied().unwrap_or_default();
        ObjectTokens {
            label: Codebook::load(&scope.scope("label"), config.glimpse, config.labels),
            colour: Codebook::load(&scope.scope("colour"), config.glimpse, config.colours),
            gain: [gain(0), gain(1)],
            glimpse: Linear::load(&scope.scope("glimpse"), config.glimpse, config.width, true),
            position: Linear::load(&scope.scope("position"), POSITION_FEATURES, config.width, true),
            order: scope.tensor("order", [config.most, config.width]),
            page: scope.tensor("page", [2, config.width]),
        }
    }

    /// The most things of a picture.
    pub fn most(&self) -> usize {
        self.order.shape()[0]
    }

    /// Length of a token.
    pub fn width(&self) -> usize {
        self.page.shape()[1]
    }

    /// Writes a row for the page and one for each thing: `glimpses` has a row for each, from left to right, and
    /// `positions` the row of [`position_features`].
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        glimpses: View<'_, f32, 2>,
        positions: View<'_, f32, 2>,
        has_print: bool,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let [things, _] = glimpses.shape();
        let expected = [things.min(self.most()) + 1, self.width()];
        if things > self.most() || out.shape() != expected || positions.shape() != [things, POSITION_FEATURES]
        {
            return Err(LayerError::Shape {
                what: "object tokens",
                expected: expected.to_vec(),
                actual: out.shape().to_vec(),
            });
        }
        let (mut page, mut tokens) = out.split_at(0, 1);
        page.row_mut(0).copy_from_slice(self.page.view().row(usize::from(has_print)));
        if things == 0 {
            return Ok(());
        }
        let mut sum = ScratchTensor::new(ctx, [things, self.width()])?;
        self.glimpse.forward(ctx, glimpses, sum.view_mut())?;
        let add = Epilogue { residual: Residual::Output, ..Epilogue::default() };
        self.position.forward_with(ctx, positions, add, sum.view_mut())?;
        self.label.add(ctx, glimpses, self.gain[0], sum.view_mut())?;
        self.colour.add(ctx, glimpses, self.gain[1], sum.view_mut())?;
        for thing in 0..things {
            let parts = sum.data()[thing * self.width()..].iter().zip(self.order.view().row(thing));
            for (out, (sum, order)) in tokens.row_mut(thing).iter_mut().zip(parts) {
                *out = sum + order;
            }
        }
        Ok(())
    }
}

/// What is told of a box given as left, top, right and bottom, in fractions of the picture: its middle, its sides, and
/// half a wave of its middle's place.
///
/// ```
/// let told = tiny_vlm_fusion::position_features([0.25, 0.0, 0.75, 0.5]);
/// assert_eq!(told[..4], [0.5, 0.25, 0.5, 0.5]);
/// ```
pub fn position_features([left, top, right, bottom]: [f32; 4]) -> [f32; POSITION_FEATURES] {
    const PI: f32 = std::f32::consts::PI;
    let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let (w, h) = (right - left, bottom - top);
    [x, y, w, h, (PI * x).sin(), (PI * y).sin(), (PI * x).cos(), (PI * y).cos()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_layers::{Matrix, Precision};
    use tiny_vlm_tensor::Workspace;

    fn linear(inputs: usize, outputs: usize, weight: f32) -> Linear {
        let weights = vec![weight; outputs * inputs];
        Linear::new(Matrix::from_f32(outputs, inputs, &weights, Precision::F32).unwrap(), None).unwrap()
    }

    #[test]
    fn tokens_are_sums_behind_the_page() {
        let tokens = ObjectTokens {
            glimpse: linear(2, 2, 1.5),
            label: Codebook::new(linear(2, 4, 100.0)),
            colour: Codebook::new(linear(2, 3, 0.5)),
            gain: [0.01, 2.0],
            position: linear(POSITION_FEATURES, 2, 10.0),
            order: Tensor::from_fn([2, 2], |[i, _]| 1000.0 * (i + 1) as f32),
            page: Tensor::from_fn([2, 2], |[print, _]| -(print as f32)),
        };
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        let glimpses = Tensor::from_fn([2, 2], |[i, _]| i as f32 + 1.0);
        let positions = Tensor::from_fn([2, 8], |[i, j]| if j == 0 { i as f32 } else { 0.0 });
        let mut out = Tensor::zeroed([3, 2]);
        tokens.forward(&ctx, glimpses.view(), positions.view(), true, out.view_mut()).unwrap();
        assert_eq!(out.data(), [-1.0, -1.0, 1005.0, 1005.0, 2018.0, 2018.0]);

        let none = Tensor::zeroed([0, 2]);
        let nowhere = Tensor::zeroed([0, 8]);
        let mut out = Tensor::zeroed([1, 2]);
        tokens.forward(&ctx, none.view(), nowhere.view(), false, out.view_mut()).unwrap();
        assert_eq!(out.data(), [0.0, 0.0]);

        let many = Tensor::zeroed([3, 2]);
        let places = Tensor::zeroed([3, 8]);
        let mut out = Tensor::zeroed([4, 2]);
        assert!(tokens.forward(&ctx, many.view(), places.view(), false, out.view_mut()).is_err());
    }
}

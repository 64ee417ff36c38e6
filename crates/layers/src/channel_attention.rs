//! Attention of channels to channels, within groups (Ding et al., 2022, arXiv:2204.03645): what a token's channels are
//! weighed by is seen by all tokens, and costs as many steps as there are.
//!
//! It is self-attention of the transpose, where a channel is a row and a token a column; only the maps before and after
//! go from token to token.

use tiny_vlm_kernels::{Epilogue, Head, attend};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut, split};

use crate::{LayerError, Linear, ScratchTensor};

/// Rows and columns of a transposed tile: two of them fit in the first-level cache.
const TILE: usize = 32;

/// `v · softmax(qᵀ·k / √tokens)ᵀ` of each group of channels, side by side, through a last linear map.
#[derive(Debug)]
pub struct ChannelAttention {
    qkv: Linear,
    projection: Linear,
    groups: usize,
}

impl ChannelAttention {
    /// `qkv` makes a token's queries, keys and values, in this order, each of all groups side by side.
    pub fn new(qkv: Linear, projection: Linear, groups: usize) -> Result<Self, LayerError> {
        let width = projection.inputs();
        LayerError::expect_shape("queries, keys and values", [3 * width], [qkv.outputs()])?;
        if groups == 0 || !width.is_multiple_of(groups) {
            return Err(LayerError::Heads { queries: width, keys: groups });
        }
        Ok(Self { qkv, projection, groups })
    }

    /// Writes what the channels of the rows of `x` gather from one another to `out`; `epilogue` as in
    /// [`Linear::forward_with`].
    pub fn forward_with(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        epilogue: Epilogue<'_>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let ([tokens, _], width) = (x.shape(), self.projection.inputs());
        let mut qkv = ScratchTensor::new(ctx, [tokens, 3 * width])?;
        self.qkv.forward(ctx, x, qkv.view_mut())?;
        let mut channels = ScratchTensor::new(ctx, [3 * width, tokens])?;
        transpose(ctx, qkv.view(), channels.view_mut());
        drop(qkv);
        let mut gathered = ScratchTensor::new(ctx, [width, tokens])?;
        self.attend(ctx, channels.data(), &mut gathered);
        drop(channels);
        let mut rows = ScratchTensor::new(ctx, [tokens, width])?;
        transpose(ctx, gathered.view(), rows.view_mut());
        drop(gathered);
        self.projection.forward_with(ctx, rows.view(), epilogue, out)
    }

    /// Every group, a task each.
    fn attend(&self, ctx: &Context<'_>, channels: &[f32], out: &mut ScratchTensor<'_, 2>) {
        let [width, tokens] = out.shape();
        if tokens == 0 || width == 0 {
            return;
        }
        let count = width / self.groups;
        let group = |first: usize| {
            let part = |which: usize| &channels[(which * width + first) * tokens..];
            Head {
                queries: part(0),
                keys: part(1),
                values: part(2),
                strides: [tokens; 3],
                counts: [count; 2],
                dim: tokens,
                value_dim: tokens,
                scale: 1.0 / (tokens as f32).sqrt(),
                causal: None,
            }
        };
        let scratch = group(0).scratch();
        ctx.for_each_tile_with_scratch::<_, f32>(
            out.view_mut(),
            [count, tokens],
            scratch,
            |[first, _], mut tile, scratch| {
                let to = tile.data_mut().expect("whole rows lie together");
                attend(Level::detect(), &group(first), scratch, to, tokens);
            },
        );
    }
}

/// Writes the transpose of `x` to `out`.
fn transpose(ctx: &Context<'_>, x: View<'_, f32, 2>, out: ViewMut<'_, f32, 2>) {
    split::for_each_tile(ctx.executor, out, [TILE, TILE], |[first, column], mut tile| {
        let [rows, columns] = tile.shape();
        for j in 0..columns {
            let from = &x.row(column + j)[first..first + rows];
            for (i, value) in from.iter().enumerate() {
                tile.row_mut(i)[j] = *value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_quant::{Matrix, Precision};
    use tiny_vlm_tensor::{Tensor, Workspace};

    fn weights(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed) % 101) as f32 * 0.02 - 1.0).collect()
    }

    #[test]
    fn channels_gather_by_the_definition() {
        const TOKENS: usize = 70;
        let (width, groups) = (6, 2);
        let (qkv, output) = (weights(3 * width * width, 3), weights(width * width, 5));
        let matrix = |rows: usize, values: &[f32]| {
            Linear::new(Matrix::from_f32(rows, width, values, Precision::F32).unwrap(), None).unwrap()
        };
        let layer = ChannelAttention::new(matrix(3 * width, &qkv), matrix(width, &output), groups).unwrap();
        let x = Tensor::from_fn([TOKENS, width], |[i, c]| ((i * 7 + c * 5) % 13) as f32 * 0.1 - 0.6);
        let workspace = Workspace::new(2);
        let mut out = Tensor::zeroed([TOKENS, width]);
        layer.forward_with(&workspace.context(), x.view(), Epilogue::default(), out.view_mut()).unwrap();

        let map = |row: &[f32], weight: &[f32]| -> Vec<f64> {
            weight
                .chunks_exact(width)
                .map(|w| w.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
                .collect()
        };
        let mapped: Vec<Vec<f64>> = x.view().rows().map(|row| map(row, &qkv)).collect();
        for (token, row) in out.view().rows().enumerate() {
            let gathered: Vec<f32> = (0..width)
                .map(|channel| {
                    let group = channel / 3 * 3..channel / 3 * 3 + 3;
                    let score = |other: usize| -> f64 {
                        let dot: f64 = mapped.iter().map(|qkv| qkv[channel] * qkv[width + other]).sum();
                        (dot / (TOKENS as f64).sqrt()).exp()
                    };
                    let sum: f64 = group.clone().map(score).sum();
                    group.map(|other| score(other) / sum * mapped[token][2 * width + other]).sum::<f64>()
                        as f32
                })
                .collect();
            for (actual, expected) in row.iter().zip(map(&gathered, &output)) {
                assert!((f64::from(*actual) - expected).abs() < 1e-5, "{actual} {expected}");
            }
        }
    }

    #[test]
    fn groups_that_do_not_divide_the_channels_are_errors() {
        let linear = |outputs: usize| {
            let values = vec![0.0; outputs * 6];
            Linear::new(Matrix::from_f32(outputs, 6, &values, Precision::F32).unwrap(), None).unwrap()
        };
        for groups in [0, 4] {
            assert!(ChannelAttention::new(linear(18), linear(6), groups).is_err());
        }
        assert!(ChannelAttention::new(linear(12), linear(6), 2).is_err());
    }
}

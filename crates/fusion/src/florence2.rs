//! Florence-2's projector (Xiao et al., 2024, arXiv:2311.06242): the cells of a map as tokens behind one that is their
//! mean, `norm(W · (features + position + time))`.

use tiny_vlm_layers::{LayerError, LayerNorm, Linear, ScratchTensor};
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut};
use tiny_vlm_weights::Scope;

/// The epsilon of the norm, which configurations do not say.
const EPSILON: f32 = 1e-5;

/// From a map of features to the tokens of an encoder.
#[derive(Debug)]
pub struct Florence2Projector {
    /// Of each row: the latter half of a cell's features.
    rows: Tensor<f32, 2>,
    /// Of each column: the former half.
    columns: Tensor<f32, 2>,
    /// Of the first moment of a film, which is what a picture is.
    time: Vec<f32>,
    projection: Linear,
    norm: LayerNorm,
}

/// Sizes of a [`Florence2Projector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Florence2ProjectorConfig {
    /// Channels of the map.
    pub features: usize,
    /// Length of a token.
    pub width: usize,
    /// Most rows and most columns of the map.
    pub positions: usize,
    /// Moments of the table of times.
    pub times: usize,
}

/// The two layouts that checkpoints come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Florence2ProjectorLayout {
    /// Of the port to `transformers`: `image_position_embed`, `image_projection.weight`.
    Port,
    /// Of the original code: `image_pos_embed`, and `image_projection` the other way round.
    Original,
}

impl Florence2Projector {
    /// Reads the projector below `scope`.
    pub fn load(
        scope: &Scope<'_>,
        config: Florence2ProjectorConfig,
        layout: Florence2ProjectorLayout,
    ) -> Self {
        let Florence2ProjectorConfig { features, width, positions, times } = config;
        let positions_scope = scope.scope(match layout {
            Florence2ProjectorLayout::Port => "image_position_embed",
            Florence2ProjectorLayout::Original => "image_pos_embed",
        });
        let table = |name: &str, columns| positions_scope.scope(name).tensor("weight", [positions, columns]);
        let projection = match layout {
            Florence2ProjectorLayout::Port => {
                scope.scope("image_projection").matrix("weight", width, features)
            }
            Florence2ProjectorLayout::Original => {
                let stored = scope.tensor("image_projection", [features, width]);
                // What stands in for a faulty tensor may be empty.
                let [features, width] = stored.shape();
                let turned = Tensor::from_fn([width, features], |[i, j]| stored.view().row(j)[i]);
                scope.made_matrix("image_projection", width, features, turned.data())
            }
        };
        let time =
            scope.scope("visual_temporal_embed").optional_tensor("pos_idx_to_embed", [times, features]);
        Self {
            rows: table("row_embeddings", features / 2),
            columns: table("column_embeddings", features - features / 2),
            time: match time.filter(|table| !table.is_empty()) {
                Some(table) => table.view().row(0).to_vec(),
                None => first_moment(features),
            },
            projection: Linear::without_bias(projection),
            norm: LayerNorm::load(&scope.scope("image_proj_norm"), width, EPSILON),
        }
    }

    /// Length of a token.
    pub fn width(&self) -> usize {
        self.projection.outputs()
    }

    /// Writes the mean and then the cells of `map`, row by row, to `out`: `height · width + 1` tokens.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        map: View<'_, f32, 3>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let [height, width, channels] = map.shape();
        let most = self.rows.shape()[0];
        if height > most || width > most || channels != self.time.len() || height * width == 0 {
            return Err(LayerError::Shape {
                what: "a map to be projected",
                expected: vec![most, most, self.time.len()],
                actual: map.shape().to_vec(),
            });
        }
        let mut tokens = ScratchTensor::new(ctx, [height * width + 1, channels])?;
        let cells = map.reshape([height * width, channels])?;
        let mut sums = vec![0.0_f64; channels];
        for (cell, features) in cells.rows().enumerate() {
            let (row, column) = (self.rows.view().row(cell / width), self.columns.view().row(cell % width));
            let position = column.iter().chain(row);
            let parts = features.iter().zip(position).zip(self.time.iter()).zip(&mut sums);
            let to = &mut tokens.data_mut()[(cell + 1) * channels..][..channels];
            for (to, (((feature, position), time), sum)) in to.iter_mut().zip(parts) {
                *to = feature + position + time;
                *sum += f64::from(*to);
            }
        }
        for (mean, sum) in tokens.data_mut().iter_mut().zip(&sums) {
            *mean = (sum / (height * width) as f64) as f32;
        }
        let mut projected = ScratchTensor::new(ctx, [height * width + 1, self.width()])?;
        self.projection.forward(ctx, tokens.view(), projected.view_mut())?;
        self.norm.forward(ctx, projected.view(), out)
    }
}

/// Sine and cosine of nothing, in turns.
fn first_moment(features: usize) -> Vec<f32> {
    (0..features).map(|i| (i % 2) as f32).collect()
}

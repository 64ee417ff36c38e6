//! Attention of all tokens to all tokens (Vaswani et al., 2017, arXiv:1706.03762), as encoders have it: no mask, no
//! cache.

use tiny_vlm_kernels::{Epilogue, Head, attend};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut, split};

use crate::{LayerError, Linear, ScratchTensor};

/// `softmax(q·kᵀ / √d) · v` of each head, side by side, through a last linear map.
#[derive(Debug)]
pub struct SelfAttention {
    qkv: Linear,
    projection: Linear,
    heads: usize,
}

impl SelfAttention {
    /// `qkv` makes a token's queries, keys and values, in this order, each of all heads side by side.
    pub fn new(qkv: Linear, projection: Linear, heads: usize) -> Result<Self, LayerError> {
        let width = projection.inputs();
        LayerError::expect_shape("queries, keys and values", [3 * width], [qkv.outputs()])?;
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(LayerError::Heads { queries: width, keys: heads });
        }
        Ok(Self { qkv, projection, heads })
    }

    /// Writes what each row of `x` gathers from all rows to `out`; `epilogue` as in [`Linear::forward_with`].
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
        let mut gathered = ScratchTensor::new(ctx, [tokens, width])?;
        self.attend(ctx, &qkv, &mut gathered)?;
        drop(qkv);
        self.projection.forward_with(ctx, gathered.view(), epilogue, out)
    }

    /// All heads, a task each.
    fn attend(
        &self,
        ctx: &Context<'_>,
        qkv: &ScratchTensor<'_, 2>,
        out: &mut ScratchTensor<'_, 2>,
    ) -> Result<(), LayerError> {
        let [tokens, width] = out.shape();
        if tokens == 0 {
            return Ok(());
        }
        let (dim, qkv) = (width / self.heads, qkv.data());
        let head = |index: usize| {
            let part = |which: usize| &qkv[which * width + index * dim..];
            Head {
                queries: part(0),
                keys: part(1),
                values: part(2),
                strides: [3 * width; 3],
                counts: [tokens; 2],
                dim,
                value_dim: dim,
                scale: 1.0 / (dim as f32).sqrt(),
                causal: None,
            }
        };
        // A head's output lies by itself, before what it needs besides, so that no two tasks share a cache line.
        let (own, besides) = (tokens * dim, head(0).scratch());
        let chunk = (own + besides).next_multiple_of(16);
        let mut lanes = ScratchTensor::new(ctx, [self.heads, chunk])?;
        split::for_each_chunk(ctx.executor, lanes.data_mut(), chunk, |index, lane| {
            let (to, scratch) = lane.split_at_mut(own);
            attend(Level::detect(), &head(index), scratch, to, dim);
        });
        for (token, row) in out.data_mut().chunks_exact_mut(width).enumerate() {
            for (index, part) in row.chunks_exact_mut(dim).enumerate() {
                part.copy_from_slice(&lanes.view().row(index)[token * dim..][..dim]);
            }
        }
        Ok(())
    }
}

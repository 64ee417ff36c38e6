//! Attention of all tokens to all tokens (Vaswani et al., 2017, arXiv:1706.03762), as encoders have it: no mask, no
//! cache. The tokens may come in windows, each of which sees itself alone.
//!
//! Where the maps around it round their activations and the machine has dot products of bf16, attention's products are of
//! bf16, too; in f32 otherwise. So a model in f32 stays exact, and one in bytes is not held up by the one part of it that
//! bytes do not suit.

use tiny_vlm_kernels::{Epilogue, Head, attend, attend_bf16};
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::{LayerError, Linear, Projections, ScratchTensor, linear::SharedInput};

/// `softmax(q·kᵀ / √d) · v` of each head, side by side, through a last linear map.
#[derive(Debug)]
pub struct SelfAttention {
    maps: Maps,
    projection: Linear,
    heads: usize,
}

/// What makes queries, keys and values of a token.
#[derive(Debug)]
enum Maps {
    /// All three, in this order.
    Together(Box<Linear>),
    /// One map each.
    Apart(Box<[Linear; 3]>),
}

impl Maps {
    /// What makes the queries; the other two are of its precision.
    fn queries(&self) -> &Linear {
        match self {
            Self::Together(map) => map,
            Self::Apart(maps) => &maps[0],
        }
    }
}

impl SelfAttention {
    /// `qkv` makes a token's queries, keys and values, in this order, each of all heads side by side.
    pub fn new(qkv: Linear, projection: Linear, heads: usize) -> Result<Self, LayerError> {
        LayerError::expect_shape("queries, keys and values", [3 * projection.inputs()], [qkv.outputs()])?;
        Self::of(Maps::Together(Box::new(qkv)), projection, heads)
    }

    /// The same of maps that checkpoints keep apart.
    pub fn apart(maps: Projections, heads: usize) -> Result<Self, LayerError> {
        let Projections { query, key, value, output: projection } = maps;
        let (width, inputs) = (projection.inputs(), query.inputs());
        for map in [&query, &key, &value] {
            LayerError::expect_shape("a map of attention", [width, inputs], [map.outputs(), map.inputs()])?;
        }
        Self::of(Maps::Apart(Box::new([query, key, value])), projection, heads)
    }

    fn of(maps: Maps, projection: Linear, heads: usize) -> Result<Self, LayerError> {
        let width = projection.inputs();
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(LayerError::Heads { queries: width, keys: heads });
        }
        Ok(Self { maps, projection, heads })
    }

    /// Writes what each row of `x` gathers from all rows to `out`; `epilogue` as in [`Linear::forward_with`].
    pub fn forward_with(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        epilogue: Epilogue<'_>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        self.forward_windows(ctx, x, x.shape()[0], epilogue, out)
    }

    /// As [`forward_with`](Self::forward_with), each row gathering from those of its window: the rows are windows of
    /// `window` rows each, one after the other.
    pub fn forward_windows(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        window: usize,
        epilogue: Epilogue<'_>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let ([tokens, _], width) = (x.shape(), self.projection.inputs());
        if tokens > 0 && (window == 0 || !tokens.is_multiple_of(window)) {
            return Err(LayerError::Windows { rows: tokens, window });
        }
        let mut qkv = ScratchTensor::new(ctx, [tokens, 3 * width])?;
        match &self.maps {
            Maps::Together(map) => map.forward(ctx, x, qkv.view_mut())?,
            Maps::Apart(maps) => {
                let [query, key, value] = &**maps;
                let shared = SharedInput::new(ctx, x, [query, key, value]);
                for (index, map) in maps.iter().enumerate() {
                    let part = qkv.view_mut().slice(1, index * width..(index + 1) * width);
                    shared.forward(ctx, [(map, Epilogue::default(), part)])?;
                }
            }
        }
        let mut gathered = ScratchTensor::new(ctx, [tokens, width])?;
        self.attend(ctx, &qkv, window, &mut gathered);
        drop(qkv);
        self.projection.forward_with(ctx, gathered.view(), epilogue, out)
    }

    /// Every head of every window, a task each.
    fn attend(
        &self,
        ctx: &Context<'_>,
        qkv: &ScratchTensor<'_, 2>,
        window: usize,
        out: &mut ScratchTensor<'_, 2>,
    ) {
        let [tokens, width] = out.shape();
        if tokens == 0 || width == 0 {
            return;
        }
        let (dim, qkv) = (width / self.heads, qkv.data());
        let head = |first: usize, column: usize| {
            let part = |which: usize| &qkv[(3 * first + which) * width + column..];
            Head {
                queries: part(0),
                keys: part(1),
                values: part(2),
                strides: [3 * width; 3],
                counts: [window; 2],
                dim,
                value_dim: dim,
                scale: 1.0 / (dim as f32).sqrt(),
                causal: None,
            }
        };
        let queries = self.maps.queries().weight();
        let level = queries.level();
        let in_bf16 = level.has_bf16_dot() && queries.precision().rounds_activations();
        let besides = if in_bf16 { head(0, 0).scratch_bf16() } else { head(0, 0).scratch() };
        // A head's output lies by itself until it is complete: heads share the rows that it goes to.
        let own = (window * dim).next_multiple_of(16);
        let len = (own + besides).next_multiple_of(16);
        ctx.for_each_tile_with_scratch::<_, f32>(
            out.view_mut(),
            [window, dim],
            len,
            |[first, column], mut tile, scratch| {
                let (to, scratch) = scratch.split_at_mut(own);
                let attend = if in_bf16 { attend_bf16 } else { attend };
                attend(level, &head(first, column), scratch, to, dim);
                for (row, values) in to.chunks_exact(dim).take(window).enumerate() {
                    tile.row_mut(row).copy_from_slice(values);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use tiny_vlm_quant::{Group, Matrix, Precision};
    use tiny_vlm_simd::Level;
    use tiny_vlm_tensor::{Tensor, Workspace};

    const TOKENS: usize = 37;
    const WIDTH: usize = 64;
    const HEADS: usize = 4;

    fn linear(level: Level, weight: &[f32], precision: Precision) -> Linear {
        let matrix = Matrix::from_f32(weight.len() / WIDTH, WIDTH, weight, precision).unwrap();
        Linear::new(matrix.at_level(level), None).unwrap()
    }

    /// Products in bf16 where both the precision and the machine are for it; exactly those of the kernel, as the last
    /// map changes nothing.
    #[test]
    fn attention_is_as_precise_as_the_maps_around_it() {
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        let (x, weight) = (random(TOKENS * WIDTH, 1), random(3 * WIDTH * WIDTH, 2));
        let x = Tensor::from_fn([TOKENS, WIDTH], |[token, column]| x[token * WIDTH + column]);
        let mut identity = vec![0.0; WIDTH * WIDTH];
        identity.iter_mut().step_by(WIDTH + 1).for_each(|diagonal| *diagonal = 1.0);
        for level in Level::available() {
            for (precision, rounds) in [
                (Precision::F32, false),
                (Precision::F16, false),
                (Precision::Bf16, true),
                (Precision::Int8, true),
                (Precision::Int4(Group::Of32), true),
            ] {
                let qkv = linear(level, &weight, precision);
                let mut parts = Tensor::<f32, 2>::zeroed([TOKENS, 3 * WIDTH]);
                qkv.forward(&ctx, x.view(), parts.view_mut()).unwrap();
                let mut expected = vec![0.0; TOKENS * WIDTH];
                let dim = WIDTH / HEADS;
                for index in 0..HEADS {
                    let part = |which: usize| &parts.data()[which * WIDTH + index * dim..];
                    let head = Head {
                        queries: part(0),
                        keys: part(1),
                        values: part(2),
                        strides: [3 * WIDTH; 3],
                        counts: [TOKENS; 2],
                        dim,
                        value_dim: dim,
                        scale: 0.25,
                        causal: None,
                    };
                    let attend = if rounds && level.has_bf16_dot() { attend_bf16 } else { attend };
                    let mut scratch = vec![0.0; head.scratch().max(head.scratch_bf16())];
                    attend(level, &head, &mut scratch, &mut expected[index * dim..], WIDTH);
                }
                let layer = SelfAttention::new(qkv, linear(level, &identity, Precision::F32), HEADS).unwrap();
                let mut out = Tensor::<f32, 2>::zeroed([TOKENS, WIDTH]);
                layer.forward_with(&ctx, x.view(), Epilogue::default(), out.view_mut()).unwrap();
                assert_eq!(out.data(), expected, "{level} {precision}");
            }
        }
    }

    fn map(outputs: usize, weights: &[f32], precision: Precision) -> Linear {
        let inputs = weights.len() / outputs;
        Linear::new(Matrix::from_f32(outputs, inputs, weights, precision).unwrap(), None).unwrap()
    }

    #[test]
    fn maps_apart_and_together_are_the_same() {
        let (width, tokens) = (16, 5);
        let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 60.0;
        let weights: Vec<f32> = (0..3 * width * width).map(number).collect();
        let x = Tensor::from_fn([tokens, width], |[i, j]| number(7 * i + 3 * j));
        let workspace = Workspace::new(2);
        for precision in [Precision::F32, Precision::Int8] {
            let projection = || map(width, &weights[..width * width], precision);
            let together = SelfAttention::new(map(3 * width, &weights, precision), projection(), 2).unwrap();
            let part = |i: usize| map(width, &weights[i * width * width..][..width * width], precision);
            let apart = SelfAttention::apart(
                Projections { query: part(0), key: part(1), value: part(2), output: projection() },
                2,
            )
            .unwrap();
            let [mut a, mut b] = [Tensor::zeroed([tokens, width]), Tensor::zeroed([tokens, width])];
            let plain = Epilogue::default();
            together.forward_with(&workspace.context(), x.view(), plain, a.view_mut()).unwrap();
            apart.forward_with(&workspace.context(), x.view(), plain, b.view_mut()).unwrap();
            assert_eq!(a.data(), b.data());
            assert!(a.data().iter().any(|&value| value != 0.0));
        }
        let odd = |outputs| map(outputs, &vec![0.0; 16 * outputs], Precision::F32);
        let maps = Projections { query: odd(16), key: odd(8), value: odd(16), output: odd(16) };
        assert!(SelfAttention::apart(maps, 2).is_err());
    }

    #[test]
    fn a_window_sees_itself_alone() {
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        let x = Tensor::from_fn([12, 6], |[row, column]| ((row * 7 + column * 5) % 11) as f32 * 0.1);
        let mut together = Tensor::zeroed([12, 6]);
        let plain = Epilogue::default();
        let maps = [map(18, &random(108, 3), Precision::F32), map(6, &random(36, 5), Precision::F32)];
        let [qkv, projection] = maps;
        let attention = SelfAttention::new(qkv, projection, 2).unwrap();
        attention.forward_windows(&ctx, x.view(), 4, plain, together.view_mut()).unwrap();
        for window in 0..3 {
            let rows = 4 * window..4 * (window + 1);
            let mut alone = Tensor::zeroed([4, 6]);
            attention.forward_with(&ctx, x.view().slice(0, rows.clone()), plain, alone.view_mut()).unwrap();
            assert_eq!(&together.data()[6 * rows.start..6 * rows.end], alone.data());
        }
        let uneven = attention.forward_windows(&ctx, x.view(), 5, plain, together.view_mut());
        assert!(matches!(uneven, Err(LayerError::Windows { rows: 12, window: 5 })));
    }
}

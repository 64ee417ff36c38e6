//! The norm of each of many rows, shared out over threads.

use tiny_vlm_kernels::{Norm, norm};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, View, ViewMut, split};

use crate::LayerError;

/// Values of a task, about: some microseconds of work.
const TASK: usize = 1 << 14;

/// Writes the norm of each row of `x` to `out`. `name` is what errors call it.
pub(crate) fn norm_rows(
    ctx: &Context<'_>,
    name: &'static str,
    x: View<'_, f32, 2>,
    weights: &Norm<'_>,
    out: ViewMut<'_, f32, 2>,
) -> Result<(), LayerError> {
    let [rows, width] = x.shape();
    LayerError::expect_shape(name, [rows, weights.weight.len()], [rows, width])?;
    LayerError::expect_shape(name, [rows, width], out.shape())?;
    ctx.check()?;
    let level = Level::detect();
    let tile = [(TASK / width.max(1)).max(1), width.max(1)];
    split::for_each_tile(ctx.executor, out, tile, |[first, _], mut part| {
        for row in 0..part.shape()[0] {
            norm(level, x.row(first + row), [1, width], [width, width], weights, part.row_mut(row));
        }
    });
    Ok(())
}

//! Maps of a coarser stride laid over those of a finer one.

use tiny_vlm_layers::{Conv2d, LayerError, Residual, ScratchTensor};
use tiny_vlm_tensor::{Context, View};

/// Each cell of a map becomes 2 × 2 cells.
pub(crate) fn double<'a>(
    ctx: &Context<'a>,
    map: &ScratchTensor<'_, 3>,
) -> Result<ScratchTensor<'a, 3>, LayerError> {
    let [height, width, channels] = map.shape();
    let mut out = ScratchTensor::new(ctx, [2 * height, 2 * width, channels])?;
    if map.data().is_empty() {
        return Ok(out);
    }
    let rows = map.data().chunks_exact(width * channels);
    for (row, pair) in rows.zip(out.data_mut().chunks_exact_mut(4 * width * channels)) {
        let (upper, lower) = pair.split_at_mut(2 * width * channels);
        for (cell, cells) in row.chunks_exact(channels).zip(upper.chunks_exact_mut(2 * channels)) {
            let (left, right) = cells.split_at_mut(channels);
            left.copy_from_slice(cell);
            right.copy_from_slice(cell);
        }
        lower.copy_from_slice(upper);
    }
    Ok(out)
}

/// Adds what a pointwise convolution makes of a finer map to a coarser one that was laid over it.
pub(crate) fn add_lateral(
    ctx: &Context<'_>,
    lateral: &Conv2d,
    fine: View<'_, f32, 3>,
    coarse: &mut ScratchTensor<'_, 3>,
) -> Result<(), LayerError> {
    lateral.forward_with(ctx, fine, Residual::Output, coarse.view_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Workspace;

    #[test]
    fn cells_become_squares() {
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        let mut map = ScratchTensor::new(&ctx, [1, 2, 2]).unwrap();
        map.data_mut().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        let out = double(&ctx, &map).unwrap();
        assert_eq!(out.shape(), [2, 4, 2]);
        assert_eq!(out.data(), [[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]; 2].as_flattened());
    }
}

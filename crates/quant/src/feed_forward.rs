//! Two products one behind the other, some rows at a time, so that what is between them stays in a thread's cache.

use tiny_vlm_kernels::{Epilogue, OutMut};
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::matmul::{check, convert_rows, matmul, row_words};
use crate::{Matrix, Precision, QuantError};

/// Values between the products that a task holds: half of a second-level cache.
const HIDDEN: usize = 1 << 17;
/// The least rows of a task where there are enough, as each reads all weights.
const LEAST_ROWS: usize = 128;
/// With fewer rows a task, columns are shared out instead.
const FEW_ROWS: usize = 48;
/// Values between the products that are held at once where a task has a part of the columns.
const HELD: usize = 1 << 19;
/// Words of a cache line.
const LINE: usize = 16;

/// Writes `epilogues[1](epilogues[0](x · firstᵀ) · secondᵀ)` to `out`: a feed-forward layer, with its activation in the
/// first epilogue. As two of [`matmul`], bit for bit. Where the context is stopped meanwhile, the rest is not written; ask
/// it afterwards.
///
/// # Errors
/// If the shapes do not fit one another; nothing is written then.
pub fn feed_forward(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    [first, second]: [&Matrix; 2],
    epilogues: [&Epilogue<'_>; 2],
    out: ViewMut<'_, f32, 2>,
) -> Result<(), QuantError> {
    let ([rows, k], inner) = (x.shape(), first.rows());
    check([rows, k], first, epilogues[0], [rows, inner])?;
    check([rows, inner], second, epilogues[1], out.shape())?;
    let task = task_rows(rows, inner, ctx.executor.threads());
    let sparse = [first, second].iter().any(|matrix| Precision::SPARSE.contains(&matrix.precision()));
    if sparse || task < FEW_ROWS {
        return one_by_one(ctx, x, [first, second], epilogues, out);
    }
    // Rows as they go into either product, and those between.
    let sizes = [row_words(first.precision(), k), inner, row_words(second.precision(), inner)];
    let sizes = sizes.map(|words| (task * words).next_multiple_of(LINE));
    let tile = [task, out.shape()[1].max(1)];
    let (stop, clock) = (ctx.stop, ctx.clock);
    ctx.for_each_tile_with_scratch(out, tile, sizes.iter().sum(), |[start, _], out, lane: &mut [f32]| {
        if stop.check(clock).is_err() {
            return;
        }
        let count = out.shape()[0];
        let (input, lane) = lane.split_at_mut(sizes[0]);
        let (between, again) = lane.split_at_mut(sizes[1]);
        let Ok(mut hidden) = ViewMut::new([count, inner], &mut between[..count * inner]) else { return };
        let part = start..start + count;
        multiply(x.slice(0, part.clone()), first, &epilogues[0].rows(part.clone()), input, hidden.reborrow());
        multiply(hidden.view(), second, &epilogues[1].rows(part), again, out);
    });
    Ok(())
}

/// A product on the calling thread, its activations converted in `words`.
fn multiply(
    x: View<'_, f32, 2>,
    weights: &Matrix,
    epilogue: &Epilogue<'_>,
    words: &mut [f32],
    out: ViewMut<'_, f32, 2>,
) {
    let words = &mut words[..x.shape()[0] * row_words(weights.precision(), x.shape()[1])];
    convert_rows(x, 0, weights, words);
    if let Some(operand) = weights.operand(x, words) {
        weights.multiply(&operand, epilogue, OutMut::from(out));
    }
}

/// Rows of a task.
fn task_rows(rows: usize, inner: usize, threads: usize) -> usize {
    let most = (HIDDEN / inner.max(1)).max(LEAST_ROWS);
    rows.div_ceil(rows.div_ceil(most).max(1).next_multiple_of(threads.max(1)))
}

/// Each product on all threads before the next, in steps of some rows.
fn one_by_one(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    [first, second]: [&Matrix; 2],
    epilogues: [&Epilogue<'_>; 2],
    mut out: ViewMut<'_, f32, 2>,
) -> Result<(), QuantError> {
    let (rows, inner) = (x.shape()[0], first.rows());
    let step = (HELD / inner.max(1)).clamp(1, rows.max(1));
    let mut between = ctx.scratch.take::<f32>(step * inner);
    for start in (0..rows).step_by(step) {
        if ctx.check().is_err() {
            break;
        }
        let part = start..rows.min(start + step);
        let shape = [part.len(), inner];
        let Ok(mut hidden) = ViewMut::new(shape, &mut between[..shape[0] * inner]) else { break };
        let x = x.slice(0, part.clone());
        matmul(ctx, x, first, &epilogues[0].rows(part.clone()), hidden.reborrow())?;
        let out = out.reborrow().slice(0, part.clone());
        matmul(ctx, hidden.view(), second, &epilogues[1].rows(part), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use tiny_vlm_kernels::{Activation, Group, Residual};
    use tiny_vlm_tensor::{Tensor, Workspace};

    #[test]
    fn it_is_two_products_bit_for_bit() {
        let (k, inner, n) = (70, 99, 33);
        let bias = random(inner, 1);
        let scale = random(n, 2);
        let precisions = [
            Precision::F32,
            Precision::Bf16,
            Precision::Int8,
            Precision::Int4(Group::Of32),
            Precision::F32Sparse,
            Precision::Int8Sparse,
        ];
        for precision in precisions {
            let matrix =
                |n: usize, k: usize, seed| Matrix::from_f32(n, k, &random(n * k, seed), precision).unwrap();
            let (first, second) = (matrix(inner, k, 3), matrix(n, inner, 4));
            for rows in [0, 1, 47, 97, 300, 5400] {
                let x = Tensor::from_slice([rows, k], &random(rows * k, 5)).unwrap();
                let residual = Tensor::from_slice([rows, n], &random(rows * n, 6)).unwrap();
                let activation = Epilogue { activation: Activation::Gelu, ..Epilogue::bias(&bias) };
                let residual = Residual::Add(residual.view());
                let add = Epilogue { scale: Some(&scale), residual, ..Epilogue::default() };
                let workspace = Workspace::inline();
                let ctx = workspace.context();
                let mut hidden = Tensor::<f32, 2>::zeroed([rows, inner]);
                let mut expected = Tensor::<f32, 2>::zeroed([rows, n]);
                matmul(&ctx, x.view(), &first, &activation, hidden.view_mut()).unwrap();
                matmul(&ctx, hidden.view(), &second, &add, expected.view_mut()).unwrap();
                for threads in [1, 3] {
                    let workspace = Workspace::new(threads);
                    let mut out = Tensor::<f32, 2>::zeroed([rows, n]);
                    let maps = [&first, &second];
                    feed_forward(&workspace.context(), x.view(), maps, [&activation, &add], out.view_mut())
                        .unwrap();
                    assert_eq!(out.data(), expected.data(), "{precision}: {rows} rows, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn maps_that_do_not_fit_are_errors() {
        let matrix = |n: usize, k: usize| Matrix::from_f32(n, k, &vec![0.0; n * k], Precision::F32).unwrap();
        let (first, second) = (matrix(6, 4), matrix(3, 5));
        let workspace = Workspace::inline();
        let x = Tensor::<f32, 2>::zeroed([2, 4]);
        let mut out = Tensor::<f32, 2>::zeroed([2, 3]);
        let nothing = Epilogue::default();
        let outcome = feed_forward(
            &workspace.context(),
            x.view(),
            [&first, &second],
            [&nothing, &nothing],
            out.view_mut(),
        );
        assert_eq!(
            outcome.unwrap_err(),
            QuantError::Shapes { x: vec![2, 6], weights: [3, 5], out: vec![2, 3] }
        );
    }
}

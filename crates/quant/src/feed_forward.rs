//! Products one behind the other, some rows at a time, so that what is between them stays in a thread's cache.

use tiny_vlm_kernels::{Epilogue, OutMut};
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::matmul::{LINE, Prepared, check, convert_rows, matmul, matmul_each, multiply_rows, row_words};
use crate::{Matrix, Precision, QuantError};

/// Values between the products that a task holds: half of a second-level cache.
const HIDDEN: usize = 1 << 17;
/// The least rows of a task where there are enough, as each reads all weights.
const LEAST_ROWS: usize = 128;
/// With fewer rows a task, columns are shared out instead.
const FEW_ROWS: usize = 48;
/// Values between the products that are held at once where a task has a part of the columns.
const HELD: usize = 1 << 19;

/// A linear map of a feed-forward layer, and what is done to its products.
pub type Map<'a> = (&'a Matrix, Epilogue<'a>);

/// Writes `last(inner(x))` to `out`: a feed-forward layer, with its activation in the epilogue of an inner map. Of several
/// inner maps each writes over the one before it, and by its epilogue takes that in: `[up, gate]` with
/// [`gated`](Epilogue::gated) for the gate. As [`matmul`] for each, bit for bit. Where the context is stopped meanwhile, the
/// rest is not written; ask it afterwards.
///
/// # Errors
/// If the shapes do not fit one another or there is no inner map; nothing is written then.
pub fn feed_forward(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    inner: &[Map<'_>],
    last: Map<'_>,
    out: ViewMut<'_, f32, 2>,
) -> Result<(), QuantError> {
    let ([rows, k], width) = (x.shape(), last.0.columns());
    for (matrix, epilogue) in inner {
        check([rows, k], matrix, epilogue, [rows, width])?;
    }
    check([rows, width], last.0, &last.1, out.shape())?;
    if inner.is_empty() {
        return Err(QuantError::Shapes { x: vec![rows, k], weights: [width, 0], out: vec![rows, width] });
    }
    let task = task_rows(rows, width, ctx.executor.threads());
    let mut matrices = inner.iter().chain([&last]).map(|(matrix, _)| matrix);
    if task < FEW_ROWS || matrices.any(|matrix| Precision::SPARSE.contains(&matrix.precision())) {
        return one_by_one(ctx, x, inner, last, out);
    }
    // Rows as they go into the inner maps, as they come out of them, and as they go into the last.
    let input = inner.iter().map(|(matrix, _)| row_words(matrix.precision(), k)).max();
    let sizes = [input.unwrap_or(0), width, row_words(last.0.precision(), width)];
    let sizes = sizes.map(|words| (task * words).next_multiple_of(LINE));
    let tile = [task, out.shape()[1].max(1)];
    let (stop, clock) = (ctx.stop, ctx.clock);
    ctx.for_each_tile_with_scratch(out, tile, sizes.iter().sum(), |[start, _], out, lane: &mut [f32]| {
        if stop.check(clock).is_err() {
            return;
        }
        let part = start..start + out.shape()[0];
        let (input, lane) = lane.split_at_mut(sizes[0]);
        let (between, again) = lane.split_at_mut(sizes[1]);
        let between = &mut between[..part.len() * width];
        let Ok(mut hidden) = ViewMut::new([part.len(), width], between) else { return };
        let x = x.slice(0, part.clone());
        for (number, (matrix, epilogue)) in inner.iter().enumerate() {
            let words = &mut input[..part.len() * row_words(matrix.precision(), k)];
            if number == 0 || !matrix.takes_as(inner[number - 1].0) {
                convert_rows(x, 0, matrix, words);
            }
            if let Some(operand) = matrix.operand(x, words) {
                matrix.multiply(&operand, &epilogue.rows(part.clone()), OutMut::from(hidden.reborrow()));
            }
        }
        multiply_rows(hidden.view(), last.0, &last.1.rows(part), again, out);
    });
    Ok(())
}

/// Rows of a task.
fn task_rows(rows: usize, width: usize, threads: usize) -> usize {
    let most = (HIDDEN / width.max(1)).max(LEAST_ROWS);
    rows.div_ceil(rows.div_ceil(most).max(1).next_multiple_of(threads.max(1)))
}

/// Each product on all threads before the next, in steps of some rows.
fn one_by_one(
    ctx: &Context<'_>,
    x: View<'_, f32, 2>,
    inner: &[Map<'_>],
    last: Map<'_>,
    mut out: ViewMut<'_, f32, 2>,
) -> Result<(), QuantError> {
    let (rows, width) = (x.shape()[0], last.0.columns());
    let step = (HELD / width.max(1)).clamp(1, rows.max(1));
    let mut between = ctx.scratch.take::<f32>(step * width);
    for start in (0..rows).step_by(step) {
        if ctx.check().is_err() {
            break;
        }
        let part = start..rows.min(start + step);
        let shape = [part.len(), width];
        let Ok(mut hidden) = ViewMut::new(shape, &mut between[..shape[0] * width]) else { break };
        let x = x.slice(0, part.clone());
        let mut prepared: Option<(&Matrix, Prepared<'_>)> = None;
        for (matrix, epilogue) in inner {
            let prepared = match &mut prepared {
                Some((like, prepared)) if matrix.takes_as(like) => prepared,
                other => &mut other.insert((matrix, Prepared::new(ctx, x, matrix))).1,
            };
            let product = (*matrix, epilogue.rows(part.clone()), hidden.reborrow());
            matmul_each(ctx, prepared, [product])?;
        }
        drop(prepared);
        let out = out.reborrow().slice(0, part.clone());
        matmul(ctx, hidden.view(), last.0, &last.1.rows(part), out)?;
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
                    let inner = [(&first, activation)];
                    feed_forward(&workspace.context(), x.view(), &inner, (&second, add), out.view_mut())
                        .unwrap();
                    assert_eq!(out.data(), expected.data(), "{precision}: {rows} rows, {threads} threads");
                }
            }
        }
    }

    /// The second inner map writes over the first, in another precision than it and in the same.
    #[test]
    fn a_gate_is_multiplied_by_what_the_map_before_it_wrote() {
        let (rows, k, inner, n) = (130, 70, 99, 33);
        let x = Tensor::from_slice([rows, k], &random(rows * k, 1)).unwrap();
        let gated = Epilogue { activation: Activation::Silu, gated: true, ..Epilogue::default() };
        let nothing = Epilogue::default();
        let matrix = |n: usize, k: usize, seed, precision| {
            Matrix::from_f32(n, k, &random(n * k, seed), precision).unwrap()
        };
        for (precision, of_gate) in [
            (Precision::F32, Precision::F32),
            (Precision::Int8, Precision::Int8),
            (Precision::Int8, Precision::Bf16),
            (Precision::Int8Sparse, Precision::F32),
        ] {
            let (up, gate) = (matrix(inner, k, 2, precision), matrix(inner, k, 3, of_gate));
            let down = matrix(n, inner, 4, precision);
            let workspace = Workspace::new(2);
            let ctx = workspace.context();
            let mut hidden = Tensor::<f32, 2>::zeroed([rows, inner]);
            let mut expected = Tensor::<f32, 2>::zeroed([rows, n]);
            matmul(&ctx, x.view(), &up, &nothing, hidden.view_mut()).unwrap();
            matmul(&ctx, x.view(), &gate, &gated, hidden.view_mut()).unwrap();
            matmul(&ctx, hidden.view(), &down, &nothing, expected.view_mut()).unwrap();
            let mut out = Tensor::<f32, 2>::zeroed([rows, n]);
            let maps = [(&up, nothing), (&gate, gated)];
            feed_forward(&ctx, x.view(), &maps, (&down, nothing), out.view_mut()).unwrap();
            assert_eq!(out.data(), expected.data(), "{precision} {of_gate}");
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
        let ctx = workspace.context();
        let outcome = feed_forward(&ctx, x.view(), &[(&first, nothing)], (&second, nothing), out.view_mut());
        assert_eq!(
            outcome.unwrap_err(),
            QuantError::Shapes { x: vec![2, 4], weights: [6, 4], out: vec![2, 5] }
        );
        assert!(feed_forward(&ctx, x.view(), &[], (&second, nothing), out.view_mut()).is_err());
    }
}

//! Pooling over maps whose pixels' channels lie side by side.

use tiny_vlm_layers::{ConvShape, LayerError, ScratchTensor, mean_of_rows};
use tiny_vlm_simd::{Isa, Level, Op};
use tiny_vlm_tensor::{Context, View, split};

/// The largest value of each channel within each window; what lies outside the map does not count.
pub(crate) fn max_pool<'a>(
    ctx: &Context<'a>,
    x: View<'_, f32, 3>,
    window: ConvShape,
) -> Result<ScratchTensor<'a, 3>, LayerError> {
    ctx.check()?;
    let shape @ [height, width, channels] = x.shape();
    let misfit = || LayerError::Shape {
        what: "a map for pooling",
        expected: window.kernel.to_vec(),
        actual: shape.to_vec(),
    };
    let [rows, columns] = window.output([height, width]).ok_or_else(misfit)?;
    let map = x.data().ok_or_else(misfit)?;
    let mut out = ScratchTensor::new(ctx, [rows, columns, channels])?;
    let line = columns * channels;
    if line > 0 {
        split::for_each_chunk(ctx.executor, out.data_mut(), line, |y, out| {
            Level::detect().run(MaxLine { map, shape, window, y, out });
        });
    }
    Ok(out)
}

/// One row of the output.
struct MaxLine<'a> {
    map: &'a [f32],
    shape: [usize; 3],
    window: ConvShape,
    y: usize,
    out: &'a mut [f32],
}

impl Op for MaxLine<'_> {
    type Output = ();

    // The loops are plain ones: the compiler makes vectors of the instruction set that this is inlined for.
    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let [height, width, channels] = self.shape;
        let ([down, across], [tall, wide]) = (self.window.stride, self.window.kernel);
        let inside = |at: usize, size: usize, pad: usize, limit: usize| {
            at.saturating_sub(pad)..(at + size).saturating_sub(pad).min(limit)
        };
        let rows = inside(self.y * down, tall, self.window.pad_rows[0], height);
        for (x, out) in self.out.chunks_exact_mut(channels).enumerate() {
            out.fill(f32::NEG_INFINITY);
            let columns = inside(x * across, wide, self.window.pad_columns[0], width);
            for row in rows.clone() {
                for column in columns.clone() {
                    let cell = &self.map[(row * width + column) * channels..][..channels];
                    for (most, value) in out.iter_mut().zip(cell) {
                        if *value > *most {
                            *most = *value;
                        }
                    }
                }
            }
        }
    }
}

/// The mean of each channel over a map.
pub fn global_mean(map: View<'_, f32, 3>, out: &mut [f32]) -> Result<(), LayerError> {
    let [height, width, channels] = map.shape();
    let cells = height * width;
    let misfit = || LayerError::Shape {
        what: "a mean of channels",
        expected: vec![channels],
        actual: vec![out.len()],
    };
    let fits = out.len() == channels && channels > 0 && cells > 0;
    let data = map.data().filter(|_| fits).ok_or_else(misfit)?;
    mean_of_rows(View::new([cells, channels], data)?, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::{Tensor, Workspace};

    /// Against the definition, over sizes that the window does not divide.
    #[test]
    fn the_largest_of_each_window() {
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        for [height, width, channels] in [[1, 1, 1], [5, 7, 3], [8, 6, 17], [2, 9, 64]] {
            let at = |y: usize, x: usize, c: usize| -(((y * 31 + x * 17 + c * 7) % 23) as f32);
            let map = Tensor::from_fn([height, width, channels], |[y, x, c]| at(y, x, c));
            let pooled = max_pool(&ctx, map.view(), ConvShape::square(3, 2, 1)).unwrap();
            assert_eq!(pooled.shape(), [height.div_ceil(2), width.div_ceil(2), channels]);
            for (i, value) in pooled.data().iter().enumerate() {
                let (cell, c) = (i / channels, i % channels);
                let (y, x) = (cell / width.div_ceil(2), cell % width.div_ceil(2));
                let rows = (2 * y).saturating_sub(1)..(2 * y + 2).min(height);
                let columns = (2 * x).saturating_sub(1)..(2 * x + 2).min(width);
                let window = rows.flat_map(|y| columns.clone().map(move |x| at(y, x, c)));
                assert_eq!(*value, window.fold(f32::NEG_INFINITY, f32::max));
            }
        }
    }

    #[test]
    fn maps_that_are_too_small_and_stopped_work() {
        let workspace = Workspace::inline();
        let map = Tensor::<f32, 3>::zeroed([2, 2, 4]);
        assert!(max_pool(&workspace.context(), map.view(), ConvShape::square(3, 1, 0)).is_err());
        assert!(global_mean(map.view(), &mut [0.0; 3]).is_err());
        let mut mean = [1.0; 4];
        global_mean(map.view(), &mut mean).unwrap();
        assert_eq!(mean, [0.0; 4]);
        workspace.stop().cancel();
        let stopped = max_pool(&workspace.context(), map.view(), ConvShape::square(2, 1, 0));
        assert!(matches!(stopped, Err(LayerError::Stopped(_))));
    }
}

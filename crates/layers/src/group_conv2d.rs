//! Convolution in groups of one channel: each channel of an image by several kernels of its own, whose outputs lie side
//! by side, `out[m · c + j] = act(x[c] ∗ W[m · c + j] + b[m · c + j])`.

use tiny_vlm_kernels::OutMut;
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::depthwise_conv2d::task;
use crate::{DepthwiseConv2d, LayerError, ScratchTensor};

/// A convolution that makes several channels of each; with one it is a [`DepthwiseConv2d`].
#[derive(Debug)]
pub struct GroupConv2d {
    parts: Vec<DepthwiseConv2d>,
}

impl GroupConv2d {
    /// The convolution whose `j`-th output of each channel the `j`-th of `parts` makes. They have one shape.
    pub fn new(parts: Vec<DepthwiseConv2d>) -> Result<Self, LayerError> {
        let mismatch = |part: &DepthwiseConv2d| LayerError::Shape {
            what: "a part of a convolution in groups",
            expected: vec![parts[0].channels()],
            actual: vec![part.channels()],
        };
        if let Some(other) = parts.iter().find(|part| !part.is_like(&parts[0])) {
            return Err(mismatch(other));
        }
        Ok(Self { parts })
    }

    /// Channels that come out.
    pub fn outputs(&self) -> usize {
        self.parts.iter().map(DepthwiseConv2d::channels).sum()
    }

    /// The convolution of `x`, in the scratch.
    pub fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let Some(first) = self.parts.first() else { return ScratchTensor::new(ctx, [0; 3]) };
        if self.parts.len() == 1 {
            return first.apply(ctx, x);
        }
        ctx.check()?;
        let [height, width, channels] = first.output(x.shape())?;
        let input = first.input(x)?;
        let mut out = ScratchTensor::new(ctx, [height, width, self.outputs()])?;
        let pixels = out.view_mut().reshape([height * width, self.outputs()])?;
        let count = self.parts.len();
        let [task, part] = task([height, width, channels], ctx.executor.threads());
        ctx.for_each_tile_with_scratch::<_, f32>(
            pixels,
            [task, part * count],
            count * task * part,
            |[row, column], mut tile, buffer| {
                let [rows, outputs] = tile.shape();
                let (first, channels) = (column / count, outputs / count);
                let whole = (rows * channels).max(1);
                for (kernel, part) in self.parts.iter().zip(buffer.chunks_exact_mut(whole)) {
                    let Ok(view) = ViewMut::new([rows, channels], part) else { return };
                    kernel.compute(&input, &kernel.epilogue(), OutMut::at([row, first], view));
                }
                for row in 0..rows {
                    let part = |number: usize| &buffer[(number * rows + row) * channels..][..channels];
                    match count {
                        2 => interleave([part(0), part(1)], tile.row_mut(row)),
                        count => (0..count).for_each(|number| {
                            let places = tile.row_mut(row)[number..].iter_mut().step_by(count);
                            places.zip(part(number)).for_each(|(place, value)| *place = *value);
                        }),
                    }
                }
            },
        );
        Ok(out)
    }
}

/// Values of either part in turns: what the usual two parts come down to, as compilers have instructions for it.
fn interleave([first, second]: [&[f32]; 2], to: &mut [f32]) {
    for (pair, (first, second)) in to.as_chunks_mut::<2>().0.iter_mut().zip(first.iter().zip(second)) {
        *pair = [*first, *second];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_kernels::{Activation, ConvShape};
    use tiny_vlm_memory::AlignedVec;
    use tiny_vlm_tensor::{Tensor, Workspace};

    fn part(number: usize, channels: usize) -> DepthwiseConv2d {
        let weight =
            Tensor::from_fn([3, 3, channels], |[y, x, c]| ((7 * y + 3 * x + c + number) % 5) as f32 - 2.0);
        let bias = AlignedVec::from_fn(channels, |c| (c * (number + 1)) as f32);
        let conv = DepthwiseConv2d::new(weight, Some(bias), ConvShape::square(3, 2, 1)).unwrap();
        conv.with_activation(Activation::Relu)
    }

    /// Over more pixels than a task has, so that tasks meet.
    #[test]
    fn outputs_of_a_channel_lie_side_by_side() {
        let x = Tensor::from_fn([50, 46, 19], |[y, x, c]| ((3 * y + 5 * x + 7 * c) % 11) as f32 - 5.0);
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        for count in [2, 3] {
            let parts: Vec<_> =
                (0..count).map(|number| part(number, 19).apply(&ctx, x.view()).unwrap()).collect();
            let conv = GroupConv2d::new((0..count).map(|number| part(number, 19)).collect()).unwrap();
            let out = conv.apply(&ctx, x.view()).unwrap();
            assert_eq!(out.shape(), [25, 23, 19 * count]);
            for (place, value) in out.data().iter().enumerate() {
                let (pixel, channel) = (place / (19 * count), place % (19 * count));
                assert_eq!(*value, parts[channel % count].data()[pixel * 19 + channel / count], "{place}");
            }
        }
    }

    #[test]
    fn parts_are_alike() {
        assert!(GroupConv2d::new(vec![part(0, 4), part(1, 5)]).is_err());
        let one = GroupConv2d::new(vec![part(0, 4)]).unwrap();
        assert_eq!(one.outputs(), 4);
    }
}

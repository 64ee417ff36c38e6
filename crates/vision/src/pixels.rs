//! Bytes of a picture to what a network takes.

use tiny_vlm_layers::{LayerError, ScratchTensor};
use tiny_vlm_tensor::Context;

/// `(byte / 255 − mean) / deviation` for each byte.
#[derive(Clone)]
pub(crate) struct PixelScale([f32; 256]);

impl PixelScale {
    pub(crate) fn new(mean: f32, deviation: f32) -> Self {
        PixelScale(std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / deviation))
    }

    /// The image `[height, width, channels]` of these bytes.
    pub(crate) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        bytes: &[u8],
        shape: [usize; 3],
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let mut image = ScratchTensor::new(ctx, shape)?;
        if bytes.len() != image.data().len() {
            return Err(LayerError::Shape {
                what: "pixels",
                expected: shape.to_vec(),
                actual: vec![bytes.len()],
            });
        }
        for (value, &byte) in image.data_mut().iter_mut().zip(bytes) {
            *value = self.0[usize::from(byte)];
        }
        Ok(image)
    }
}

impl std::fmt::Debug for PixelScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PixelScale({} to {})", self.0[0], self.0[255])
    }
}

/// `(factor · byte − mean) / deviation` for each byte of each of three channels.
#[derive(Clone)]
pub(crate) struct ChannelScale([[f32; 256]; 3]);

impl ChannelScale {
    pub(crate) fn new(factor: f64, mean: [f32; 3], deviation: [f32; 3]) -> Self {
        let scaled = |byte: usize| (byte as f64 * factor) as f32;
        let channel = |c: usize| std::array::from_fn(|byte| (scaled(byte) - mean[c]) / deviation[c]);
        ChannelScale(std::array::from_fn(channel))
    }

    /// Writes the values of pixels whose three bytes lie side by side.
    pub(crate) fn apply(&self, bytes: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.chunks_exact_mut(3).zip(bytes.chunks_exact(3)) {
            for ((out, &byte), channel) in out.iter_mut().zip(bytes).zip(&self.0) {
                *out = channel[usize::from(byte)];
            }
        }
    }
}

impl std::fmt::Debug for ChannelScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [r, g, b] = self.0.map(|channel| (channel[0], channel[255]));
        write!(f, "ChannelScale({r:?}, {g:?}, {b:?})")
    }
}

//! Stored bytes as numbers.

use half::{bf16, f16};

use crate::{Dtype, TensorInfo};

/// A stored tensor: its shape, its type and its bytes, which may lie at any address.
///
/// [`read_f32`](Self::read_f32) reads F32, F16, BF16, F64, I8, U8 and blocks. What is packed becomes a matrix without being read;
/// the others can be listed but are not parameters.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    info: &'a TensorInfo,
    bytes: &'a [u8],
}

impl<'a> TensorRef<'a> {
    pub(crate) fn new(info: &'a TensorInfo, bytes: &'a [u8]) -> Self {
        Self { info, bytes }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.info.dtype
    }

    /// Length of each axis, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        &self.info.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.info.elements()
    }

    /// The bytes as stored, little endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements of a tensor of type I8.
    pub fn as_i8(&self) -> Option<&'a [i8]> {
        (self.dtype() == Dtype::I8).then(|| bytemuck::cast_slice(self.bytes))
    }

    /// Whether [`read_f32`](Self::read_f32) can read this type.
    pub fn is_readable(&self) -> bool {
        use Dtype as D;
        matches!(self.dtype(), D::F32 | D::F16 | D::Bf16 | D::F64 | D::I8 | D::U8 | D::Blocks(_))
    }

    /// Writes the elements to `out`, as many as both have; `false`, with nothing written, where the type is not one that
    /// is read. Integers become the numbers they are, without any scale.
    pub fn read_f32(&self, out: &mut [f32]) -> bool {
        match self.dtype() {
            Dtype::F32 => each(self.bytes, out, f32::from_le_bytes),
            Dtype::F16 => each(self.bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => each(self.bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => each(self.bytes, out, |b| f64::from_le_bytes(b) as f32),
            Dtype::I8 => each(self.bytes, out, |[b]| f32::from(b as i8)),
            Dtype::U8 => each(self.bytes, out, |[b]| f32::from(b)),
            Dtype::Blocks(format) => format.read(self.bytes, out),
            _ => return false,
        }
        true
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (value, &bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = read(bytes);
    }
}

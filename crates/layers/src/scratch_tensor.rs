//! A tensor in a context's scratch: what layers hand on to one another.

use tiny_vlm_memory::ScratchBuf;
use tiny_vlm_tensor::{Context, TensorError, View, ViewMut};

use crate::LayerError;

/// Elements of a shape, lent by a context's scratch and given back when this is dropped.
///
/// ```
/// use tiny_vlm_layers::ScratchTensor;
/// use tiny_vlm_tensor::Workspace;
///
/// let workspace = Workspace::inline();
/// let mut map = ScratchTensor::new(&workspace.context(), [2, 3])?;
/// map.view_mut().fill(1.5);
/// assert_eq!(map.data(), [1.5; 6]);
/// # Ok::<(), tiny_vlm_layers::LayerError>(())
/// ```
#[derive(Debug)]
pub struct ScratchTensor<'a, const R: usize> {
    shape: [usize; R],
    data: ScratchBuf<'a, f32>,
}

impl<'a, const R: usize> ScratchTensor<'a, R> {
    /// A tensor whose elements are whatever the last borrower left: write before reading.
    pub fn new(ctx: &Context<'a>, shape: [usize; R]) -> Result<Self, LayerError> {
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
        let count = count.ok_or_else(|| TensorError::TooLarge { shape: shape.to_vec() })?;
        Ok(ScratchTensor { shape, data: ctx.scratch.try_take(count)? })
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> [usize; R] {
        self.shape
    }

    /// All elements in the order of their indices.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All elements in the order of their indices, to write.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements, to read.
    pub fn view(&self) -> View<'_, f32, R> {
        match View::new(self.shape, &self.data) {
            Ok(view) => view,
            Err(error) => unreachable!("the scratch lent as many elements as the shape has: {error}"),
        }
    }

    /// The elements, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, f32, R> {
        match ViewMut::new(self.shape, &mut self.data) {
            Ok(view) => view,
            Err(error) => unreachable!("the scratch lent as many elements as the shape has: {error}"),
        }
    }

    /// The same elements under another shape.
    pub fn reshape<const S: usize>(self, shape: [usize; S]) -> Result<ScratchTensor<'a, S>, LayerError> {
        self.view().reshape(shape)?;
        Ok(ScratchTensor { shape, data: self.data })
    }
}

//! Means over an image or a text.

use tiny_vlm_tensor::View;

use crate::LayerError;

/// Writes the mean of the rows of `x` to `out`, which is as wide: global average pooling where rows are pixels. Of no
/// rows it is zero.
///
/// ```
/// use tiny_vlm_layers::mean_of_rows;
/// use tiny_vlm_tensor::Tensor;
///
/// let x = Tensor::from_slice([2, 3], &[1.0, 2.0, 3.0, 5.0, 4.0, 3.0])?;
/// let mut mean = [0.0; 3];
/// mean_of_rows(x.view(), &mut mean)?;
/// assert_eq!(mean, [3.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mean_of_rows(x: View<'_, f32, 2>, out: &mut [f32]) -> Result<(), LayerError> {
    let [rows, width] = x.shape();
    LayerError::expect_shape("a mean", [width], [out.len()])?;
    out.fill(0.0);
    for row in x.rows() {
        for (sum, value) in out.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let rows = rows.max(1) as f32;
    out.iter_mut().for_each(|sum| *sum /= rows);
    Ok(())
}

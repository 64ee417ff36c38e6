//! Packed matrices in a safetensors file.
//!
//! A matrix that was packed ahead of time is a tensor of bytes (U8, one axis), as [`Matrix::to_packed`] writes them. The
//! file's metadata has an entry for it, `packed:` and its name, that says the layout and the shape: `s8-n16k4 576x192`.
//! A convolution's kernel keeps the shape PyTorch gives it, `[out, in, height, width]`, and is packed with a row for each
//! output and its columns in the order height, width, in.
//!
//! [`Matrix::to_packed`]: tiny_vlm_quant::Matrix::to_packed

use tiny_vlm_quant::Layout;

use crate::{Dtype, WeightsError, shard::Entry, shard::MAX_RANK, words};

/// What the metadata's keys for packed tensors begin with.
const KEY: &str = "packed:";

/// The key and the value that tell of a packed tensor.
pub(crate) fn describe(name: &str, layout: Layout, shape: &[usize]) -> (String, String) {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    (format!("{KEY}{name}"), format!("{} {}", layout.id(), shape.join("x")))
}

/// Rows and columns of a packed tensor of this shape.
pub(crate) fn sides(shape: &[usize]) -> Option<[usize; 2]> {
    let (&rows, rest) = shape.split_first()?;
    let columns = rest.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))?;
    rows.checked_mul(columns).map(|_| [rows, columns])
}

/// Gives the entries that the metadata calls packed the layout and the shape that it says.
pub(crate) fn mark(
    file: &str,
    entries: &mut [Entry],
    metadata: &[(String, String)],
) -> Result<(), WeightsError> {
    for (key, value) in metadata {
        let Some(name) = key.strip_prefix(KEY) else { continue };
        let wrong = |detail: String| WeightsError::Header { file: file.to_owned(), detail };
        let shown = words::name(name);
        let entry = entries.iter_mut().find(|entry| entry.name == name);
        let entry =
            entry.ok_or_else(|| wrong(format!("the metadata calls {shown} packed, which is not there")))?;
        if entry.dtype != Dtype::U8 || entry.shape.len() != 1 {
            return Err(wrong(format!("the metadata calls {shown} packed, which is no tensor of bytes")));
        }
        let (layout, shape) = value.split_once(' ').unwrap_or((value, ""));
        let Some(layout) = Layout::from_id(layout) else {
            let (file, tensor, layout) = (file.to_owned(), shown, words::name(layout));
            return Err(WeightsError::Layout { file, tensor, layout });
        };
        let shape: Option<Vec<usize>> = shape.split('x').map(|axis| axis.parse().ok()).collect();
        let countable = |shape: &[usize]| {
            sides(shape).and(shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis)))
        };
        let shape = shape.filter(|shape| (2..=MAX_RANK).contains(&shape.len()) && countable(shape).is_some());
        entry.shape = shape.ok_or_else(|| wrong(format!("the shape of {shown} is none of a matrix")))?;
        entry.dtype = Dtype::Packed(layout);
    }
    Ok(())
}

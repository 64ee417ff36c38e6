//! What a model's weights come to: how many there are, in which forms, and the kernels that those take.

use std::collections::BTreeMap;

use tiny_vlm_quant::{Group, Precision, kernel_names};
use tiny_vlm_simd::Level;
use tiny_vlm_weights::{Dtype, Params};

use crate::ModelInfo;

/// Fills in what the parameters of a checkpoint say of a model.
pub(crate) fn weigh(params: &Params<'_>, mut info: ModelInfo) -> ModelInfo {
    let weights = params.weights();
    let mut formats = BTreeMap::<String, usize>::new();
    for name in weights.names().filter(|name| !name.ends_with("_scale")) {
        let Some(tensor) = weights.info(name) else { continue };
        let count: usize = tensor.shape.iter().product();
        let is_matrix = tensor.shape.len() > 1 && name.ends_with(".weight");
        let format = if is_matrix { params.precision_of(name) } else { Precision::F32 };
        info.parameters += count;
        info.weight_bytes += match (tensor.dtype, weights.get(name)) {
            (Dtype::Packed(layout), Some(packed)) if Precision::of_layout(layout) == Some(format) => {
                packed.bytes().len()
            }
            _ => bits(format) * count / 8,
        };
        *formats.entry(format.to_string()).or_default() += count;
    }
    let most = formats.iter().max_by_key(|(_, count)| **count);
    info.precision = most.map(|(format, _)| format.clone()).unwrap_or_default();
    info.kernels = kernel_names(Level::detect())
        .into_iter()
        .filter(|kernel| formats.contains_key(&kernel.precision.to_string()))
        .map(|kernel| (kernel.operators.to_owned(), kernel.kernel))
        .collect();
    info
}

/// Bits that a weight takes, its share of a group's scale included.
fn bits(precision: Precision) -> usize {
    let scale = |group: Group| 32 / group.size();
    match precision {
        Precision::Int2(group) => 2 + scale(group),
        Precision::Int4(group) => 4 + scale(group),
        Precision::Int8 | Precision::Int8Sparse => 8,
        Precision::F16 | Precision::Bf16 => 16,
        _ => 32,
    }
}

//! What a model's weights come to: how many there are, in which forms, and the kernels that those take.

use std::collections::BTreeMap;

use tiny_vlm_quant::{Group, Precision, kernel_names};
use tiny_vlm_simd::Level;
use tiny_vlm_weights::{Dtype, Params};

use crate::ModelInfo;

/// What the parameters of a checkpoint say of a model.
pub(crate) struct Weighed {
    /// Parameters.
    pub(crate) parameters: usize,
    /// Bytes that they take in memory.
    pub(crate) bytes: usize,
    /// The form of most of them.
    pub(crate) precision: String,
    /// Operators and the kernels that they take on this machine.
    pub(crate) kernels: Vec<(String, String)>,
}

impl Weighed {
    /// `info` of a model with these weights.
    pub(crate) fn model(self, info: ModelInfo) -> ModelInfo {
        let Self { parameters, bytes: weight_bytes, precision, kernels } = self;
        ModelInfo { parameters, weight_bytes, precision, kernels, ..info }
    }
}

/// Counts parameters: neither the scales of others nor the counters of batch norms are any.
pub(crate) fn weigh(params: &Params<'_>) -> Weighed {
    let weights = params.weights();
    let (mut parameters, mut bytes, mut formats) = (0, 0, BTreeMap::<String, usize>::new());
    let counted = |name: &&str| !name.ends_with("_scale") && !name.ends_with(".num_batches_tracked");
    for name in weights.names().filter(counted) {
        let Some(tensor) = weights.info(name) else { continue };
        let count: usize = tensor.shape.iter().product();
        let is_matrix = tensor.shape.len() > 1 && name.ends_with(".weight");
        let format = if is_matrix { params.precision_of(name) } else { Precision::F32 };
        parameters += count;
        bytes += match (tensor.dtype, weights.get(name)) {
            (Dtype::Packed(layout), Some(packed)) if Precision::of_layout(layout) == Some(format) => {
                packed.bytes().len()
            }
            _ => bits(format) * count / 8,
        };
        *formats.entry(format.to_string()).or_default() += count;
    }
    let most = formats.iter().max_by_key(|(_, count)| **count);
    let precision = most.map(|(format, _)| format.clone()).unwrap_or_default();
    let used = kernel_names(Level::detect())
        .into_iter()
        .filter(|kernel| formats.contains_key(&kernel.precision.to_string()));
    let kernels = used.map(|kernel| (kernel.operators.to_owned(), kernel.kernel)).collect();
    Weighed { parameters, bytes, precision, kernels }
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

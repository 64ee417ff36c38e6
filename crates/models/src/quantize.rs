//! From a checkpoint to a folder of packed matrices, which loads by being mapped.
//!
//! The checkpoint is loaded once, to [see](Watch) which of its tensors its family takes for matrices and how precise it
//! wants them at the least. Each is then packed in the precision asked for, or in the one that a
//! [`Plan`] gives it, and written with all else that the family asks for. The tokenizer is compiled, and what
//! other files the folder has are copied.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tiny_vlm_image::Image;
use tiny_vlm_quant::{
    Budget, Layer, Matrix, Plan, Precision as Format, QuantError, Sensitivity, Workspace, compare_weights,
};
use tiny_vlm_tensor::{Progress, Stop, SystemClock};
use tiny_vlm_weights::{Params, Use, Watch, Weights, Writer};

use crate::sensitivity::sensitivities;
use crate::source::COMPILED;
use crate::{ModelError, ModelOptions, Source, registry};

/// Bytes that padding may add to a packed matrix: to each of its five parts at the most.
const PADDING: usize = 5 * 64;

/// How matrices become smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// All of one precision, but for those that the family wants more exact.
    Precision(Format),
    /// Each of the precision that a plan gives it. [`Budget::Bytes`] is for the whole file of weights;
    /// [`Budget::Error`] is for the mean over all matrices of the noise in their weights, as a share of their power; where
    /// there are samples, for the divergence of the next token's distribution that the plan expects, in nats.
    Budget(Budget),
}

/// How a checkpoint is quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeOptions<'a> {
    /// The precisions.
    pub target: Target,
    /// Whether bytes and f32 may leave out blocks of 16×16 weights that are zero, where that takes less room. It
    /// changes no weight.
    pub sparse: bool,
    /// Pictures on which it is measured how much noise in each matrix matters to the answers, for a budget. Without any, no
    /// matrix is taken to matter more than another.
    pub samples: &'a [Image],
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quantized {
    /// The matrices, sorted by name.
    pub matrices: Vec<QuantizedMatrix>,
    /// Tensors that stayed as they were.
    pub others: usize,
    /// Bytes of the tensors in the source.
    pub source_bytes: usize,
    /// Bytes of the file of weights.
    pub bytes: u64,
}

/// A matrix that was packed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QuantizedMatrix {
    /// Its name.
    pub name: String,
    /// The shape that the family asks for it in.
    pub shape: Vec<usize>,
    /// The precision it was given.
    pub precision: Format,
    /// Bytes it takes.
    pub bytes: usize,
    /// What was lost: the noise in its weights as a share of their power.
    pub noise: f64,
}

impl Quantized {
    /// The mean noise of the matrices.
    pub fn noise(&self) -> f64 {
        let sum: f64 = self.matrices.iter().map(|matrix| matrix.noise).sum();
        sum / self.matrices.len().max(1) as f64
    }
}

/// A matrix that is to be packed.
pub(crate) struct Wanted {
    name: String,
    shape: Vec<usize>,
    least: Option<Format>,
}

impl Wanted {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The matrix in `precision`.
    pub(crate) fn load(&self, weights: &Weights, precision: Format) -> Result<Matrix, ModelError> {
        let params = Params::new(weights, precision).repacking(true);
        let matrix = params.matrix(&self.name, &self.shape);
        params.finish_with_extra().map_err(|error| ModelError::Weights(Box::new(error)))?;
        Ok(matrix)
    }

    /// Its weights row by row.
    pub(crate) fn values(&self, weights: &Weights) -> Result<Vec<f32>, ModelError> {
        let matrix = self.load(weights, Format::F32)?;
        let mut values = vec![0.0; matrix.rows() * matrix.columns()];
        for (i, row) in values.chunks_exact_mut(matrix.columns().max(1)).enumerate() {
            matrix.row(i, row)?;
        }
        Ok(values)
    }

    /// Whether the family puts up with `precision`.
    fn allows(&self, precision: Format) -> bool {
        // Leaving out zeros loses nothing.
        let dense = if precision == Format::Int8Sparse { Format::Int8 } else { precision };
        self.least.is_none_or(|least| dense >= least)
    }
}

/// Writes the checkpoint of `source` to the folder `out`, which is empty or not there yet. `progress` hears of the stages
/// `measure` and `quantize`.
///
/// # Errors
/// If the checkpoint cannot be loaded, a budget cannot be kept, a matrix cannot be held in the precision, a file cannot
/// be written, or `stop` says so. Then no file of weights is left behind.
pub fn quantize(
    source: &Source,
    out: &Path,
    options: &QuantizeOptions<'_>,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Quantized, ModelError> {
    let watch = Watch::default();
    let family = registry::load(&source.watched(&watch), &ModelOptions::default())?;
    let tokenizer = family.tokenizer().to_bytes();
    drop(family);
    prepare(out)?;

    let weights = source.weights()?;
    let uses = watch.uses();
    let wanted = wanted(&uses);
    let others: Vec<&str> = weights.names().filter(|name| stays(name, &uses)).collect();
    let names = || wanted.iter().map(|matrix| &matrix.name[..]).chain(others.iter().copied());
    let precisions = match options.target {
        Target::Precision(precision) => {
            wanted.iter().map(|matrix| matrix.least.map_or(precision, |least| least.max(precision))).collect()
        }
        Target::Budget(budget) => {
            let stored =
                others.iter().filter_map(|name| weights.get(name)).map(|tensor| tensor.bytes().len());
            let fixed = stored.sum::<usize>() + Writer::header_bytes(names()) + PADDING * wanted.len();
            let matter = match options.samples {
                [] => vec![1.0; wanted.len()],
                samples => sensitivities(source, &weights, &wanted, samples, progress, stop)?,
            };
            let layers = measure(&weights, &wanted, &matter, options.sparse, progress, stop)?;
            let mean_of = if options.samples.is_empty() { layers.len() } else { 1 };
            plan(&layers, budget, fixed, mean_of)?
        }
    };

    let mut writer = Writer::create(out.join("model.safetensors"), names()).map_err(weights_error)?;
    let mut matrices = Vec::with_capacity(wanted.len());
    for (i, (matrix, precision)) in wanted.iter().zip(precisions).enumerate() {
        stop.check(&SystemClock)?;
        progress.report("quantize", i, wanted.len());
        let mut packed = matrix.load(&weights, precision)?;
        if options.sparse
            && let Some(sparse) = sparse_of(precision)
        {
            let sparse = matrix.load(&weights, sparse)?;
            packed = if sparse.bytes() < packed.bytes() { sparse } else { packed };
        }
        let noise = compare_weights(&matrix.values(&weights)?, &packed)?.noise();
        writer.matrix(&matrix.name, &matrix.shape, &packed).map_err(weights_error)?;
        let (name, shape) = (matrix.name.clone(), matrix.shape.clone());
        let (precision, bytes) = (packed.precision(), packed.bytes());
        matrices.push(QuantizedMatrix { name, shape, precision, bytes, noise });
    }
    for name in &others {
        if let Some(tensor) = weights.get(name) {
            writer.stored(name, &tensor).map_err(weights_error)?;
        }
    }
    let bytes = writer.finish().map_err(weights_error)?;
    let compiled = out.join(COMPILED);
    fs::write(&compiled, tokenizer).map_err(|source| ModelError::Write { path: compiled, source })?;
    source.copy_beside(out)?;
    Ok(Quantized { matrices, others: others.len(), source_bytes: weights.stored_bytes(), bytes })
}

fn weights_error(error: tiny_vlm_weights::WeightsError) -> ModelError {
    ModelError::Weights(Box::new(error))
}

/// Makes the folder, or sees that it is empty.
fn prepare(out: &Path) -> Result<(), ModelError> {
    let failed = |source| ModelError::Write { path: out.to_owned(), source };
    fs::create_dir_all(out).map_err(failed)?;
    match fs::read_dir(out).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(failed(std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty))),
    }
}

/// The matrices that the family asked for, and the least precision that it puts up with.
fn wanted(uses: &BTreeMap<String, Use>) -> Vec<Wanted> {
    let matrix = |(name, role): (&String, &Use)| match role {
        Use::Matrix { shape, least } => {
            Some(Wanted { name: name.clone(), shape: shape.clone(), least: *least })
        }
        _ => None,
    };
    uses.iter().filter_map(matrix).collect()
}

/// Whether a tensor is asked for and not packed. The scales of one that is packed go with it.
fn stays(name: &str, uses: &BTreeMap<String, Use>) -> bool {
    match uses.get(name) {
        Some(Use::Numbers) => true,
        Some(Use::Scales) => {
            let base = name.strip_suffix("_scale").and_then(|base| uses.get(base));
            !matches!(base, Some(Use::Matrix { .. }))
        }
        _ => false,
    }
}

/// The precision that is the same but for the blocks of zeros that it leaves out.
fn sparse_of(precision: Format) -> Option<Format> {
    match precision {
        Format::Int8 => Some(Format::Int8Sparse),
        Format::F32 => Some(Format::F32Sparse),
        _ => None,
    }
}

/// What each matrix has to choose from.
fn measure(
    weights: &Weights,
    wanted: &[Wanted],
    matter: &[f64],
    sparse: bool,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<Layer>, ModelError> {
    let workspace = Workspace::inline();
    let mut layers = Vec::with_capacity(wanted.len());
    for (i, (matrix, &matters)) in wanted.iter().zip(matter).enumerate() {
        stop.check(&SystemClock)?;
        progress.report("measure", i, wanted.len());
        let more = Format::SPARSE.into_iter().filter(|_| sparse);
        let precisions: Vec<Format> =
            Format::ALL.into_iter().chain(more).filter(|&precision| matrix.allows(precision)).collect();
        let values = matrix.values(weights)?;
        let rows = matrix.shape.first().copied().unwrap_or(0);
        let sides = [rows, values.len() / rows.max(1)];
        let matters = Sensitivity::Measured(matters);
        layers.push(Layer::measure(
            &workspace.context(),
            &matrix.name,
            sides,
            &values,
            matters,
            &precisions,
        )?);
    }
    Ok(layers)
}

/// The precisions of the best plan. `fixed` are the bytes of the file that no precision changes; a budget of error is for
/// the mean over `mean_of` layers.
fn plan(layers: &[Layer], budget: Budget, fixed: usize, mean_of: usize) -> Result<Vec<Format>, ModelError> {
    let count = mean_of.max(1) as f64;
    let inner = match budget {
        Budget::Bytes(bytes) => Budget::Bytes(bytes.saturating_sub(fixed)),
        Budget::Error(mean) => Budget::Error(mean * count),
    };
    let plan = Plan::new(layers, inner).map_err(|error| match (error, budget) {
        (QuantError::ByteBudget { least, .. }, Budget::Bytes(budget)) => {
            QuantError::ByteBudget { budget, least: least.saturating_add(fixed) }
        }
        (QuantError::ErrorBudget { least, .. }, Budget::Error(budget)) => {
            QuantError::ErrorBudget { budget, least: least / count }
        }
        (error, _) => error,
    })?;
    Ok(plan.choices.into_iter().map(|(_, candidate)| candidate.precision).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_quant::Candidate;

    fn layers() -> Vec<Layer> {
        let candidate = |precision, bytes, error| Candidate { precision, bytes, error };
        let layer = |name: &str, error| Layer {
            name: name.to_owned(),
            candidates: vec![candidate(Format::Int8, 100, error), candidate(Format::F32, 400, 0.001)],
        };
        vec![layer("a", 0.5), layer("b", 0.1)]
    }

    #[test]
    fn budgets_are_for_the_whole_file_and_for_the_mean() {
        let plan = |budget| plan(&layers(), budget, 1000, 2);
        assert_eq!(plan(Budget::Bytes(1500)).unwrap(), [Format::F32, Format::Int8]);
        assert_eq!(plan(Budget::Error(0.06)).unwrap(), [Format::F32, Format::Int8]);
        assert_eq!(plan(Budget::Error(0.3)).unwrap(), [Format::Int8, Format::Int8]);
    }

    #[test]
    fn budgets_that_cannot_be_kept_are_told_with_the_least() {
        let refused = |budget| plan(&layers(), budget, 1000, 2).unwrap_err();
        let (bytes, error) = (refused(Budget::Bytes(1199)), refused(Budget::Error(0.0005)));
        assert_eq!((bytes.code(), error.code()), ("model-plan", "model-plan"));
        assert_eq!(bytes.to_string(), "a budget of 1199 bytes, and the least possible is 1200");
        assert!(error.to_string().ends_with("0.0005 for the summed error, and the least possible is 0.001"));
    }

    #[test]
    fn scales_go_with_what_is_packed() {
        let matrix = Use::Matrix { shape: vec![2, 2], least: None };
        let uses = [
            ("a", matrix),
            ("a_scale", Use::Scales),
            ("b", Use::Numbers),
            ("b_scale", Use::Scales),
            ("c", Use::Ignored),
        ];
        let uses = uses.into_iter().map(|(name, role)| (name.to_owned(), role)).collect();
        let stay: Vec<&str> = ["a", "a_scale", "b", "b_scale", "c", "d"]
            .into_iter()
            .filter(|name| stays(name, &uses))
            .collect();
        assert_eq!(stay, ["b", "b_scale"]);
    }
}

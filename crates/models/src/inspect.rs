//! What tensors a checkpoint has, and whether they are those that its family needs.

use std::collections::BTreeMap;

use tiny_vlm_weights::{LoadError, Use, Watch, Weights};

use crate::{ModelError, ModelOptions, Source, registry};

/// What was found in a checkpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The `model_type` that its configuration says.
    pub family: Option<String>,
    /// Its tensors, sorted by name.
    pub tensors: Vec<InspectedTensor>,
    /// The tensors that do not fit the family: all that are missing, of another shape or type, not usable, or extra.
    pub faults: LoadError,
    /// What else keeps it from being loaded: a configuration or a tokenizer that is not there, an unknown family.
    pub problem: Option<ModelError>,
}

/// A tensor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedTensor {
    /// Its name.
    pub name: String,
    /// The type of its elements, or the layout that it is packed in.
    pub dtype: String,
    /// Length of each axis, outermost first.
    pub shape: Vec<usize>,
    /// Bytes it takes.
    pub bytes: usize,
    /// What the family takes it for: `matrix`, `numbers`, `scales`, or `ignored`; nothing where it asks for no such
    /// tensor.
    pub role: Option<&'static str>,
}

impl Inspection {
    /// Whether the model can be loaded.
    pub fn fits(&self) -> bool {
        self.problem.is_none() && self.faults.is_empty()
    }

    /// Parameters of all tensors together; scales are none.
    pub fn parameters(&self) -> usize {
        let parameters = self.tensors.iter().filter(|tensor| tensor.role != Some("scales"));
        parameters.map(|tensor| tensor.shape.iter().product::<usize>()).fold(0, usize::saturating_add)
    }

    /// For each type of elements the number of tensors and their bytes, sorted by its name.
    pub fn by_dtype(&self) -> Vec<(&str, usize, usize)> {
        let mut totals = BTreeMap::<&str, (usize, usize)>::new();
        for tensor in &self.tensors {
            let (count, bytes) = totals.entry(&tensor.dtype).or_default();
            (*count, *bytes) = (*count + 1, *bytes + tensor.bytes);
        }
        totals.into_iter().map(|(dtype, (count, bytes))| (dtype, count, bytes)).collect()
    }
}

/// Lists the tensors of a checkpoint and loads it, to see what it lacks.
///
/// # Errors
/// If there are no weights to list.
pub fn inspect(source: &Source) -> Result<Inspection, ModelError> {
    let weights = match source.weights() {
        Ok(weights) => weights,
        Err(problem) => {
            // A file of some other family, or half of a checkpoint, can be listed all the same.
            let alone = source.path().filter(|path| path.is_file()).and_then(|path| Weights::open(path).ok());
            let Some(weights) = alone else { return Err(problem) };
            let (tensors, faults) = (list(&weights, &BTreeMap::new()), LoadError::default());
            return Ok(Inspection { family: None, tensors, faults, problem: Some(problem) });
        }
    };
    let watch = Watch::default();
    let family = registry::model_type(source);
    let loaded = registry::load(&source.watched(&watch), &ModelOptions::default());
    let (mut faults, problem) = match loaded.map(drop) {
        Ok(()) => (LoadError::default(), None),
        Err(ModelError::Weights(error)) => match error.downcast::<LoadError>() {
            Ok(faults) => (*faults, None),
            Err(error) => (LoadError::default(), Some(ModelError::Weights(error))),
        },
        Err(error) => (LoadError::default(), Some(error)),
    };
    let uses = watch.uses();
    if problem.is_none() {
        faults.extra = weights.names().filter(|&name| !uses.contains_key(name)).map(str::to_owned).collect();
    }
    let tensors = list(&weights, &uses);
    Ok(Inspection { family: family.ok(), tensors, faults, problem })
}

/// The tensors, with what they are used for.
fn list(weights: &Weights, uses: &BTreeMap<String, Use>) -> Vec<InspectedTensor> {
    let tensor = |name: &str| {
        let tensor = weights.get(name)?;
        let role = uses.get(name).map(|role| match role {
            Use::Matrix { .. } => "matrix",
            Use::Scales => "scales",
            Use::Ignored => "ignored",
            _ => "numbers",
        });
        let (dtype, bytes) = (tensor.dtype().to_string(), tensor.bytes().len());
        Some(InspectedTensor { name: name.to_owned(), dtype, shape: tensor.shape().to_vec(), bytes, role })
    };
    weights.names().filter_map(tensor).collect()
}

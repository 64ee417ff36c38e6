//! `inspect`: the tensors of a checkpoint, and whether they are those that its family needs.

use std::process::ExitCode;

use serde::Serialize;
use tiny_vlm::{Error, Inspection};

use crate::{
    args::Args,
    failure::Failure,
    json, model,
    output::Output,
    words::{Words, printable},
};

#[derive(Serialize)]
struct InspectionObject<'a> {
    version: u32,
    family: Option<&'a str>,
    fits: bool,
    parameters: usize,
    bytes: usize,
    totals: Vec<TotalObject<'a>>,
    tensors: Vec<TensorObject<'a>>,
    missing: Vec<FaultObject<'a>>,
    misshapen: Vec<FaultObject<'a>>,
    mistyped: Vec<FaultObject<'a>>,
    unusable: Vec<FaultObject<'a>>,
    extra: &'a [String],
    problem: Option<ProblemObject>,
}

#[derive(Serialize)]
struct TotalObject<'a> {
    dtype: &'a str,
    tensors: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct TensorObject<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: &'a [usize],
    bytes: usize,
    role: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct FaultObject<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a [usize]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a [usize]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct ProblemObject {
    code: &'static str,
    message: String,
}

/// `inspect [MODEL] [--json]`. A checkpoint that does not fit its family ends with the exit code 1.
pub(crate) fn inspect(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    let source = model::source(args)?;
    let mut found = tiny_vlm::inspect(&source).map_err(Error::from)?;
    let problem = found.problem.take().map(|problem| Failure::from(Error::from(problem)));
    let fits = problem.is_none() && found.fits();
    if args.json {
        output.line(&json::text(&object(&found, fits, problem.as_ref(), words)))?;
    } else {
        for line in lines(&found, words) {
            output.line(&line)?;
        }
        match &problem {
            Some(problem) => output.line(&problem.message(words))?,
            None if fits => output.line(words.get("inspect-fits"))?,
            None => {}
        }
    }
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn object<'a>(
    found: &'a Inspection,
    fits: bool,
    problem: Option<&Failure>,
    words: Words,
) -> InspectionObject<'a> {
    let faults = &found.faults;
    let tensors = found.tensors.iter().map(|t| TensorObject {
        name: &t.name,
        dtype: &t.dtype,
        shape: &t.shape,
        bytes: t.bytes,
        role: t.role,
    });
    let total = |(dtype, tensors, bytes)| TotalObject { dtype, tensors, bytes };
    let missing = faults.missing.iter().map(|fault| FaultObject {
        name: &fault.name,
        expected: Some(&fault.expected),
        ..FaultObject::default()
    });
    let misshapen = faults.misshapen.iter().map(|fault| FaultObject {
        name: &fault.name,
        expected: Some(&fault.expected),
        found: Some(&fault.found),
        reason: None,
    });
    let mistyped = faults.mistyped.iter().map(|fault| FaultObject {
        name: &fault.name,
        reason: Some(fault.found.to_string()),
        ..FaultObject::default()
    });
    let unusable = faults.unusable.iter().map(|fault| FaultObject {
        name: &fault.name,
        reason: Some(fault.reason.clone()),
        ..FaultObject::default()
    });
    InspectionObject {
        version: json::VERSION,
        family: found.family.as_deref(),
        fits,
        parameters: found.parameters(),
        bytes: bytes(found),
        totals: found.by_dtype().into_iter().map(total).collect(),
        tensors: tensors.collect(),
        missing: missing.collect(),
        misshapen: misshapen.collect(),
        mistyped: mistyped.collect(),
        unusable: unusable.collect(),
        extra: &faults.extra,
        problem: problem.map(|p| ProblemObject { code: p.code, message: p.message(words) }),
    }
}

fn bytes(found: &Inspection) -> usize {
    found.tensors.iter().map(|tensor| tensor.bytes).sum()
}

/// A line for each tensor, then totals, then a line for each fault.
fn lines(found: &Inspection, words: Words) -> Vec<String> {
    let tensor = |t: &tiny_vlm::InspectedTensor| {
        let (name, role) = (printable(&t.name), t.role.unwrap_or("-"));
        format!("{name}\t{}\t{:?}\t{}\t{role}", t.dtype, t.shape, t.bytes)
    };
    let mut lines: Vec<String> = found.tensors.iter().map(tensor).collect();
    let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
    for (dtype, count, bytes) in found.by_dtype() {
        lines.push(format!("{dtype}: {} {count}, {}", words.get("inspect-tensors"), megabytes(bytes)));
    }
    if let Some(family) = &found.family {
        lines.push(format!("{}: {}", words.get("inspect-family"), printable(family)));
    }
    lines.push(format!(
        "{}: {} ({})",
        words.get("inspect-parameters"),
        found.parameters(),
        megabytes(bytes(found))
    ));
    let faults = &found.faults;
    let mut fault = |key, text: String| lines.push(format!("{}: {}", words.get(key), printable(&text)));
    for missing in &faults.missing {
        fault("inspect-missing", format!("{} {:?}", missing.name, missing.expected));
    }
    for other in &faults.misshapen {
        fault("inspect-shape", format!("{} {:?} ≠ {:?}", other.name, other.found, other.expected));
    }
    for other in &faults.mistyped {
        fault("inspect-type", format!("{} {}", other.name, other.found));
    }
    for other in &faults.unusable {
        fault("inspect-unusable", format!("{}: {}", other.name, other.reason));
    }
    for name in &faults.extra {
        fault("inspect-extra", name.clone());
    }
    lines
}

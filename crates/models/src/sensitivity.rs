//! How much a model's answers suffer from noise in each of its matrices.
//!
//! The model describes pictures in f32, and then again with one matrix after the other rounded to four bits. What that
//! does to the distribution of each next token, as a mean divergence in nats, over the noise that the rounding put into the
//! matrix, is the matrix's sensitivity. Small noises add up, and a smaller one does less in proportion: that is what a
//! plan takes for granted.

use std::sync::Arc;

use tiny_vlm_image::Image;
use tiny_vlm_quant::{Matrix, Precision as Format, Workspace, compare_weights, divergence};
use tiny_vlm_tensor::{Progress, Stop, SystemClock};
use tiny_vlm_weights::Weights;

use crate::quantize::Wanted;
use crate::{
    Family, Lang, ModelError, ModelOptions, Precision, PromptParts, RequestShape, Source, Special, Step,
    Task, registry,
};

/// Tokens of each answer that are compared.
const TOKENS: usize = 8;
/// What a matrix is rounded to for the measurement.
const ROUGH: Format = Format::Int4(tiny_vlm_quant::Group::Of32);

/// An answer: its tokens, and the scores that each was chosen by.
struct Answer {
    ids: Vec<u32>,
    scores: Vec<Vec<f32>>,
}

/// The sensitivity of each matrix, measured on these pictures. `progress` hears of the stage `measure`.
pub(crate) fn sensitivities(
    source: &Source,
    weights: &Weights,
    wanted: &[Wanted],
    pictures: &[Image],
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<f64>, ModelError> {
    let load = |weights: Weights| {
        registry::load(&source.with_weights(weights), &ModelOptions::default().with_precision(Precision::F32))
    };
    let exact = load(weights.clone())?;
    let truth = pictures.iter().map(|picture| answer(&*exact, picture, None, stop));
    let truth: Vec<Answer> = truth.collect::<Result<_, _>>()?;
    drop(exact);
    let mut sensitivities = Vec::with_capacity(wanted.len());
    for (i, matrix) in wanted.iter().enumerate() {
        stop.check(&SystemClock)?;
        progress.report("measure", i, wanted.len());
        let rough = matrix.load(weights, ROUGH)?;
        let noise = compare_weights(&matrix.values(weights)?, &rough)?.noise();
        let rough = Matrix::from_f32(rough.rows(), rough.columns(), &rows(&rough)?, Format::F32)?;
        let family = load(weights.clone().with_matrix(matrix.name(), rough))?;
        let mut sum = 0.0;
        for (picture, truth) in pictures.iter().zip(&truth) {
            let other = answer(&*family, picture, Some(&truth.ids), stop)?;
            for (truth, other) in truth.scores.iter().zip(&other.scores) {
                // Rounding can leave a trace below zero.
                sum += divergence(truth, other)?.max(0.0);
            }
        }
        let count: usize = truth.iter().map(|truth| truth.scores.len()).sum();
        let sensitivity = sum / count.max(1) as f64 / noise;
        sensitivities.push(if sensitivity.is_finite() { sensitivity } else { 0.0 });
    }
    Ok(sensitivities)
}

/// The weights of a matrix row by row.
fn rows(matrix: &Matrix) -> Result<Vec<f32>, ModelError> {
    let mut values = vec![0.0; matrix.rows() * matrix.columns()];
    for (i, row) in values.chunks_exact_mut(matrix.columns().max(1)).enumerate() {
        matrix.row(i, row)?;
    }
    Ok(values)
}

/// Describes a picture: by the likeliest tokens, or by those given.
fn answer(
    family: &dyn Family,
    picture: &Image,
    given: Option<&[u32]>,
    stop: &Stop,
) -> Result<Answer, ModelError> {
    let workspace = Workspace::inline();
    let ctx = workspace.context();
    let ctx = ctx.with_stop(stop);
    let features = [Arc::new(family.encode(&ctx, picture, &RequestShape::default())?)];
    let parts = PromptParts { history: &[], images: 1, task: Task::Caption(Lang::En), lang: None };
    let prompt = family.prompt(&parts, &features)?;
    let mut sequence = family.begin(&ctx, &prompt, &features)?;
    let mut entering = prompt.ids;
    let mut answer = Answer { ids: Vec::new(), scores: Vec::new() };
    loop {
        let mut scores = vec![0.0; family.info().vocab];
        family.step(&ctx, &mut [Step { sequence: &mut *sequence, ids: &entering }], &mut scores)?;
        let next = match given {
            Some(ids) => ids.get(answer.ids.len()).copied(),
            None => likeliest(&scores).filter(|&id| family.special(id) != Special::End),
        };
        answer.scores.push(scores);
        match next {
            Some(id) if answer.scores.len() < TOKENS => {
                answer.ids.push(id);
                entering = vec![id];
            }
            _ => return Ok(answer),
        }
    }
}

fn likeliest(scores: &[f32]) -> Option<u32> {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(id, _)| id as u32)
}

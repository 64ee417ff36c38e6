//! A network run in f32, matrix by matrix, keeping some of the rows that each matrix multiplies.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tiny_vlm_quant::{Activation, Epilogue, Matrix, Precision, matmul};
use tiny_vlm_tensor::{Context, Tensor, View};
use tiny_vlm_weights::Weights;

/// Rows that are kept of each product.
const KEPT: usize = 12;

/// A matrix of a network, and what it multiplied.
pub(crate) struct Traced {
    /// Output channels and input features.
    pub(crate) shape: [usize; 2],
    /// A row an output channel; of a convolution, by kernel row, kernel column and input channel.
    pub(crate) weights: Vec<f32>,
    /// Rows to calibrate with, and others to measure with.
    pub(crate) samples: [Vec<f32>; 2],
    kernel: [usize; 2],
    bias: Option<Vec<f32>>,
    matrix: Matrix,
}

/// What is known of a network's matrices.
pub(crate) struct Trace<'a> {
    pub(crate) ctx: Context<'a>,
    weights: &'a Weights,
    pub(crate) matrices: BTreeMap<String, Traced>,
    /// Which samples are added to.
    pub(crate) half: usize,
}

/// An image `[height, width, channels]`.
pub(crate) struct Map {
    pub(crate) shape: [usize; 3],
    pub(crate) values: Vec<f32>,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(ctx: Context<'a>, weights: &'a Weights) -> Self {
        Trace { ctx, weights, matrices: BTreeMap::new(), half: 0 }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.info(&format!("{name}.weight")).is_some()
    }

    pub(crate) fn vector(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.weights.get(name).with_context(|| format!("there is no {name}"))?;
        let mut values = vec![0.0; tensor.elements()];
        ensure!(tensor.read_f32(&mut values), "{name} cannot be read");
        Ok(values)
    }

    /// The matrix `name.weight`, read when it is first asked for.
    pub(crate) fn matrix(&mut self, name: &str) -> Result<&mut Traced> {
        if !self.matrices.contains_key(name) {
            let key = format!("{name}.weight");
            let stored = self.vector(&key)?;
            let info = self.weights.info(&key).with_context(|| format!("there is no {key}"))?;
            let (kernel, inputs) = match info.shape[..] {
                [_, inputs] => ([1; 2], inputs),
                [_, inputs, height, width] => ([height, width], inputs),
                ref shape => anyhow::bail!("{key} is of shape {shape:?}"),
            };
            let (n, taps) = (info.shape[0], kernel[0] * kernel[1]);
            let k = inputs * taps;
            let at = |i: usize| i / k * k + i % inputs * taps + i % k / inputs;
            let weights: Vec<f32> = (0..n * k).map(|i| stored[at(i)]).collect();
            let bias = format!("{name}.bias");
            let bias = self.weights.info(&bias).is_some().then(|| self.vector(&bias)).transpose()?;
            let matrix = Matrix::from_f32(n, k, &weights, Precision::F32)?;
            let samples = [Vec::new(), Vec::new()];
            let traced = Traced { shape: [n, k], weights, samples, kernel, bias, matrix };
            self.matrices.insert(name.to_owned(), traced);
        }
        self.matrices.get_mut(name).context("it was just put there")
    }

    /// `activation(x · Wᵀ + b)` of rows; some of them are kept.
    pub(crate) fn linear(&mut self, name: &str, x: &[f32], activation: Activation) -> Result<Vec<f32>> {
        let (ctx, half) = (self.ctx, self.half);
        let matrix = self.matrix(name)?;
        let [n, k] = matrix.shape;
        let rows = x.len() / k;
        let step = rows.div_ceil(KEPT).max(1);
        for row in x.chunks_exact(k).skip(step / 2).step_by(step) {
            matrix.samples[half].extend_from_slice(row);
        }
        let epilogue = Epilogue { bias: matrix.bias.as_deref(), activation, ..Epilogue::default() };
        let mut out = Tensor::<f32, 2>::zeroed([rows, n]);
        matmul(&ctx, View::new([rows, k], x)?, &matrix.matrix, &epilogue, out.view_mut())?;
        Ok(out.data().to_vec())
    }

    /// A convolution with GELU, as the product of its windows; one of three by three has a border of zeros.
    pub(crate) fn conv(&mut self, name: &str, x: &Map, stride: [usize; 2]) -> Result<Map> {
        let [h, w, c] = x.shape;
        let matrix = self.matrix(name)?;
        let ([kh, kw], n) = (matrix.kernel, matrix.shape[0]);
        let border = usize::from(kh == 3);
        let side = |size: usize, kernel: usize, stride: usize| (size + 2 * border - kernel) / stride + 1;
        let [oh, ow] = [side(h, kh, stride[0]), side(w, kw, stride[1])];
        let mut windows = Vec::with_capacity(oh * ow * kh * kw * c);
        for (row, column) in (0..oh).flat_map(|row| (0..ow).map(move |column| (row, column))) {
            for (dy, dx) in (0..kh).flat_map(|dy| (0..kw).map(move |dx| (dy, dx))) {
                let y = (row * stride[0] + dy).wrapping_sub(border);
                let x0 = (column * stride[1] + dx).wrapping_sub(border);
                match y < h && x0 < w {
                    true => windows.extend_from_slice(&x.values[(y * w + x0) * c..][..c]),
                    false => windows.resize(windows.len() + c, 0.0),
                }
            }
        }
        Ok(Map { shape: [oh, ow, n], values: self.linear(name, &windows, Activation::Gelu)? })
    }

    /// Each row less its mean, where there is a bias, over its deviation, by the factors and summands of a norm.
    pub(crate) fn norm(&self, name: &str, x: &[f32]) -> Result<Vec<f32>> {
        let weight = self.vector(&format!("{name}.weight"))?;
        let bias = format!("{name}.bias");
        let bias = self.weights.info(&bias).is_some().then(|| self.vector(&bias)).transpose()?;
        let width = weight.len() as f32;
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(weight.len()) {
            let mean = bias.as_ref().map_or(0.0, |_| row.iter().sum::<f32>() / width);
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width;
            let normed = row.iter().zip(&weight).map(|(x, w)| (x - mean) / (variance + 1e-5).sqrt() * w);
            match &bias {
                Some(bias) => out.extend(normed.zip(bias).map(|(x, b)| x + b)),
                None => out.extend(normed),
            }
        }
        Ok(out)
    }
}

/// Attention of rows to rows, in heads of 32; a causal one sees no row after its own.
pub(crate) fn attend([q, k, v]: [&[f32]; 3], width: usize, causal: bool) -> Vec<f32> {
    const HEAD: usize = 32;
    let mut out = vec![0.0; q.len()];
    for (i, (q, out)) in q.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        for head in (0..width).step_by(HEAD) {
            let seen = if causal { i + 1 } else { k.len() / width };
            let part = |x: &'_ [f32], row: usize| x[row * width + head..][..HEAD].to_vec();
            let score = |row| part(k, row).iter().zip(&q[head..]).map(|(k, q)| k * q).sum::<f32>();
            let scores: Vec<f32> = (0..seen).map(|row| score(row) / (HEAD as f32).sqrt()).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = scores.iter().map(|score| (score - most).exp()).sum();
            for (row, score) in scores.iter().enumerate() {
                let share = (score - most).exp() / total;
                out[head..].iter_mut().zip(part(v, row)).for_each(|(out, v)| *out += share * v);
            }
        }
    }
    out
}

/// Turns the halves of each head of 32 by the row's position.
pub(crate) fn rotate(x: &mut [f32], width: usize, theta: f32) {
    for (position, row) in x.chunks_exact_mut(width).enumerate() {
        for head in row.chunks_exact_mut(32) {
            let (first, second) = head.split_at_mut(16);
            for (i, (a, b)) in first.iter_mut().zip(second).enumerate() {
                let (sine, cosine) = (position as f32 / theta.powf(i as f32 / 16.0)).sin_cos();
                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
            }
        }
    }
}

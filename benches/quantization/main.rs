//! What each number format loses of weights, and of the products with them: of the trained model's, and of made-up ones
//! with a normal distribution and with heavy tails. `cargo xtask bench quantization` prints the tables of
//! `docs/quantization.md`.

mod nano;
mod trace;

use std::path::Path;

use anyhow::{Context as _, Result};
use tiny_vlm_quant::{
    Budget, Calibration, Candidate, Hessian, Layer, Matrix, Plan, Precision, compare_products,
    compare_weights,
};
use tiny_vlm_tensor::{Context, View, Workspace};
use tiny_vlm_weights::Weights;

/// Weights, rows to calibrate with and others to measure with.
struct Case {
    name: String,
    shape: [usize; 2],
    weights: Vec<f32>,
    samples: [Vec<f32>; 2],
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("training/export");
    let file = folder.join("model.safetensors");
    let weights = Weights::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
    let workspace = Workspace::new(std::thread::available_parallelism()?.get());
    let ctx = workspace.context();
    let traced = nano::trace(ctx, &folder, &weights, &root.join("fixtures/eval"))?;
    let cases = traced.matrices.into_iter().map(|(name, matrix)| Case {
        name,
        shape: matrix.shape,
        weights: matrix.weights,
        samples: matrix.samples,
    });
    let cases: Vec<Case> = cases.collect();
    let mut plain = Vec::new();
    let mut calibrated = Vec::new();
    for network in ["tower", "reader", "decoder"] {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.name.starts_with(network)).collect();
        let measured = table(&ctx, &format!("{network} ({} matrices)", cases.len()), &cases)?;
        plain.extend(measured.iter().map(|both| both[0].clone()));
        calibrated.extend(measured.into_iter().map(|[_, calibrated]| calibrated));
    }
    let mut random = Random(1);
    let normal = random.case("normal", Random::normal);
    table(&ctx, "normal", &[&normal])?;
    let heavy = random.case("Student's t", Random::student);
    table(&ctx, "Student's t, 3 degrees of freedom", &[&heavy])?;
    plans(&plain, &calibrated)
}

/// Prints what each format loses of the matrices, on the mean; gives the candidates, rounded to the nearest and calibrated.
fn table(ctx: &Context<'_>, title: &str, cases: &[&Case]) -> Result<Vec<[Layer; 2]>> {
    const COLUMNS: usize = 4;
    let mut sums = [[0.0; COLUMNS]; Precision::ALL.len()];
    let (mut bytes, mut count) = ([0; Precision::ALL.len()], 0);
    let mut layers = Vec::new();
    for case in cases {
        let ([n, k], weights) = (case.shape, &case.weights);
        let exact = Matrix::from_f32(n, k, weights, Precision::F32)?;
        let calibration = calibrate(case)?;
        let x = View::new([case.samples[1].len() / k, k], &case.samples[1])?;
        let mut candidates = [Vec::new(), Vec::new()];
        for (i, precision) in Precision::ALL.into_iter().enumerate() {
            let plain = Matrix::from_f32(n, k, weights, precision)?;
            let calibrated = Matrix::calibrated(n, k, weights, precision, &calibration)?;
            for (j, matrix) in [plain, calibrated].into_iter().enumerate() {
                let error = compare_products(ctx, x, &exact, &matrix)?.noise();
                sums[i][j] += compare_weights(weights, &matrix)?.noise();
                sums[i][2 + j] += error;
                candidates[j].push(Candidate { precision, bytes: matrix.bytes(), error });
                bytes[i] += matrix.bytes() * j;
            }
        }
        count += n * k;
        layers.push(candidates.map(|candidates| Layer { name: case.name.clone(), candidates }));
    }
    println!("\n{title}:\n");
    println!("| format | bits a weight | weights, nearest | calibrated | output, nearest | calibrated |");
    println!("|---|---:|{}", "---:|".repeat(COLUMNS));
    for (i, precision) in Precision::ALL.into_iter().enumerate() {
        let bits = 8.0 * bytes[i] as f64 / count as f64;
        let cell = |sum: f64| format!(" {:.2} % |", 100.0 * (sum / cases.len() as f64).sqrt());
        println!("| {precision} | {bits:.2} |{}", sums[i].map(cell).concat());
    }
    Ok(layers)
}

fn calibrate(case: &Case) -> Result<Calibration> {
    let (k, samples) = (case.shape[1], &case.samples[0]);
    let mut hessian = Hessian::new(k)?;
    hessian.add(View::new([samples.len() / k, k], samples)?)?;
    hessian.calibrate(Hessian::DAMPING).with_context(|| format!("cannot calibrate {}", case.name))
}

/// Prints what a precision for each layer gains over one for all.
fn plans(plain: &[Layer], calibrated: &[Layer]) -> Result<()> {
    println!("\nplans:\n");
    println!(
        "| one format for all | bytes | error | plan of as many bytes: error | plan of as small an error: bytes |"
    );
    println!("|---|---:|---:|---:|---:|");
    for (how, layers) in [("nearest", plain), ("calibrated", calibrated)] {
        for (i, precision) in Precision::ALL.into_iter().enumerate().take(5) {
            let bytes = layers.iter().map(|layer| layer.candidates[i].bytes).sum();
            let error: f64 = layers.iter().map(|layer| layer.candidates[i].error).sum();
            let better = Plan::new(layers, Budget::Bytes(bytes))?.error;
            let smaller = Plan::new(layers, Budget::Error(error))?.bytes;
            println!("| {precision}, {how} | {bytes} | {error:.4} | {better:.4} | {smaller} |");
        }
    }
    Ok(())
}

/// Xorshift, and Box and Muller on top.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 40) as f32 + 0.5) / (1 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        let (radius, angle) = (self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
    }

    /// Student's t with three degrees of freedom: a normal number over the root of the mean of three squares.
    fn student(&mut self) -> f32 {
        self.normal() / ((0..3).map(|_| self.normal().powi(2)).sum::<f32>() / 3.0).sqrt()
    }

    /// Weights of a distribution, and samples in which a feature goes along with its neighbours: each is 0.9 of the one
    /// before it and a normal number of variance 0.19.
    fn case(&mut self, name: &str, weight: fn(&mut Random) -> f32) -> Case {
        let [n, k] = [256, 512];
        let weights = (0..n * k).map(|_| weight(self)).collect();
        let samples = [2048, 512].map(|rows| {
            let mut x: Vec<f32> = (0..rows * k).map(|_| self.normal()).collect();
            for row in x.chunks_exact_mut(k) {
                for i in 1..k {
                    row[i] = 0.9 * row[i - 1] + 0.19_f32.sqrt() * row[i];
                }
            }
            x
        });
        Case { name: name.to_owned(), shape: [n, k], weights, samples }
    }
}

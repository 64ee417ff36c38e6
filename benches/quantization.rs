//! What each number format loses of weights: of the embedded model's, and of made-up ones with a normal distribution and
//! with heavy tails. `cargo xtask bench quantization [FILE.safetensors]` prints the table of `docs/quantization.md`.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use tiny_vlm_quant::{Group, Matrix, Precision, compare};
use tiny_vlm_weights::Weights;

const PRECISIONS: [Precision; 7] = [
    Precision::Bf16,
    Precision::F16,
    Precision::Int8,
    Precision::Int4(Group::Of32),
    Precision::Int4(Group::Of64),
    Precision::Int2(Group::Of32),
    Precision::Int2(Group::Of64),
];

/// Rows and columns of a matrix, and its values.
type Plain = ([usize; 2], Vec<f32>);

fn main() -> Result<()> {
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/nano/model/model.safetensors");
    // Cargo adds `--bench` to the arguments of every benchmark.
    let file = std::env::args().skip(1).find(|argument| argument != "--bench");
    let file = file.map_or(embedded, PathBuf::from);
    let mut random = Random(1);
    let shape = [512, 1024];
    let count = shape[0] * shape[1];
    let normal: Vec<f32> = (0..count).map(|_| random.normal()).collect();
    // Student's t with three degrees of freedom: a normal number over the root of the mean of three squares.
    let heavy: Vec<f32> = (0..count)
        .map(|_| random.normal() / ((0..3).map(|_| random.normal().powi(2)).sum::<f32>() / 3.0).sqrt())
        .collect();
    let sets = [
        ("weights of the file", matrices(&file)?),
        ("normal", vec![(shape, normal)]),
        ("Student's t, 3 degrees", vec![(shape, heavy)]),
    ];
    print!("| format | bits a weight |");
    sets.iter().for_each(|(name, _)| print!(" {name}: SNR, dB | largest / rms |"));
    println!("\n|---|---:|{}", "---:|".repeat(2 * sets.len()));
    for precision in PRECISIONS {
        let (mut cells, mut bits) = (String::new(), 0.0);
        for (_, set) in &sets {
            let (mut exact, mut rounded, mut bytes) = (Vec::new(), Vec::new(), 0);
            for ([n, k], values) in set {
                let matrix = Matrix::from_f32(*n, *k, values, precision)?;
                bytes += matrix.bytes();
                let mut row = vec![0.0; *k];
                for (i, values) in values.chunks_exact(*k).enumerate() {
                    matrix.row(i, &mut row)?;
                    exact.extend_from_slice(values);
                    rounded.extend_from_slice(&row);
                }
            }
            let difference = compare(&exact, &rounded)?;
            let power = exact.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / exact.len() as f64;
            cells += &format!(" {:.1} | {:.3} |", difference.snr, difference.max / power.sqrt());
            bits = 8.0 * bytes as f64 / exact.len() as f64;
        }
        println!("| {precision} | {bits:.2} |{cells}");
    }
    Ok(())
}

/// The matrices of a file, stored as bytes with a scale a row or as floats; kernels of convolutions as rows.
fn matrices(file: &Path) -> Result<Vec<Plain>> {
    let weights = Weights::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let mut found = Vec::new();
    for name in weights.names() {
        let Some(tensor) = weights.get(name).filter(|tensor| tensor.shape().len() > 1) else { continue };
        let rows = tensor.shape()[0];
        let mut values = vec![0.0; tensor.elements()];
        if values.is_empty() || !tensor.read_f32(&mut values) {
            continue;
        }
        let columns = values.len() / rows;
        if let Some(scale) = weights.get(&format!("{name}_scale")) {
            let mut scales = vec![0.0; rows];
            if !scale.read_f32(&mut scales) {
                bail!("the scales of {name} cannot be read");
            }
            for (row, scale) in values.chunks_exact_mut(columns).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        found.push(([rows, columns], values));
    }
    Ok(found)
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
}

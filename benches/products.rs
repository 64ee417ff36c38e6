//! Products of activations with packed weights, on the shapes that decide how long an answer takes.
//!
//! One thread; an element of the throughput is one operation, so `Gelem/s` reads as Gop/s. `TINY_VLM_ISA` lowers
//! the instruction set.

use criterion::{BenchmarkId, Criterion, Throughput};
use std::time::Duration;
use tiny_vlm_kernels::Epilogue;
use tiny_vlm_quant::{Matrix, Precision, matmul};
use tiny_vlm_tensor::{Tensor, Workspace};

/// Rows of activations, inputs and outputs: `m × k → n`.
const SHAPES: [[usize; 3]; 6] = [
    // A vision tower's layer over the 1024 patches of one tile: attention's projections, and the feed-forward.
    [1024, 768, 768],
    [1024, 768, 3072],
    [1024, 3072, 768],
    // A small decoder's feed-forward reading a prompt, then saying one token.
    [64, 576, 1536],
    [1, 576, 1536],
    // The same in a larger decoder, whose weights do not stay in the second-level cache.
    [1, 896, 4864],
];

const PRECISIONS: [(&str, Precision); 3] =
    [("f32", Precision::F32), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    products(&mut criterion);
    criterion.final_summary();
}

fn products(criterion: &mut Criterion) {
    let workspace = Workspace::inline();
    let context = workspace.context();
    for (name, precision) in PRECISIONS {
        let mut group = criterion.benchmark_group(name);
        for [m, k, n] in SHAPES {
            let weights: Vec<f32> = (0..n * k).map(noise).collect();
            let weights = Matrix::from_f32(n, k, &weights, precision).expect("these shapes are right");
            let x = Tensor::from_fn([m, k], |[row, column]| noise(row * k + column));
            let mut out = Tensor::<f32, 2>::zeroed([m, n]);
            group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
            group.bench_function(BenchmarkId::from_parameter(format_args!("{m}x{k}->{n}")), |bencher| {
                bencher.iter(|| matmul(&context, x.view(), &weights, &Epilogue::default(), out.view_mut()));
            });
        }
        group.finish();
    }
}

/// The same values on every run, spread over -1 to 1.
fn noise(index: usize) -> f32 {
    let bits = (index as u32).wrapping_mul(0x9e37_79b9);
    (bits ^ bits >> 15) as i32 as f32 / 2_f32.powi(31)
}

//! `candle-core` on the same shapes: a tensor of activations by weights of f32, or by those that `ggml`'s blocks of 32
//! hold. As its callers have it, a product makes the tensor that it returns.

use std::sync::OnceLock;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{Device, Module as _, Tensor};
use rayon::ThreadPool;

use crate::timing::Contestant;

static THREADS: OnceLock<usize> = OnceLock::new();

/// Has it use so many threads. It asks the environment, for quantized products once, so that the first call counts.
///
/// # Safety
/// No other thread may run.
pub(crate) unsafe fn set_threads(threads: usize) {
    let threads = *THREADS.get_or_init(|| threads);
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: the caller promises that no other thread reads the environment.
        unsafe { std::env::set_var(name, threads.to_string()) };
    }
}

/// Whether it uses as many threads as the pool has.
pub(crate) fn runs_in(pool: &ThreadPool) -> bool {
    THREADS.get() == Some(&pool.current_num_threads())
}

/// f32 by f32.
pub(crate) fn dense(pool: &ThreadPool, [m, k, n]: [usize; 3]) -> (String, Contestant<'_>) {
    let (x, weights) = (full(0.5, [m, k]), full(0.25, [n, k]).t().expect("a matrix"));
    contestant(pool, "candle-core".to_owned(), [m, k, n], move || x.matmul(&weights))
}

/// f32, which it quantizes, by blocks of bytes (`Q8_0`) or of four bits (`Q4_0`).
pub(crate) fn quantized(
    pool: &ThreadPool,
    [m, k, n]: [usize; 3],
    blocks: GgmlDType,
) -> (String, Contestant<'_>) {
    let weights = QTensor::quantize(&full(0.25, [n, k]), blocks).expect("rows of whole blocks");
    let (x, weights) = (full(0.5, [m, k]), QMatMul::from_qtensor(weights).expect("weights on the host"));
    contestant(pool, format!("candle-core {blocks:?}"), [m, k, n], move || weights.forward(&x))
}

fn contestant<'a>(
    pool: &'a ThreadPool,
    name: String,
    [m, k, n]: [usize; 3],
    product: impl Fn() -> candle_core::Result<Tensor> + Send + Sync + 'a,
) -> (String, Contestant<'a>) {
    let run = move || {
        pool.install(|| drop(product().expect("the shapes fit")));
        2.0 * (m * n * k) as f64
    };
    (name, Box::new(run))
}

fn full(value: f32, [rows, columns]: [usize; 2]) -> Tensor {
    let values = vec![value; rows * columns];
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("as long as its shape")
}

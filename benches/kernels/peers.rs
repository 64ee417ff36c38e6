//! Other libraries on the same shapes.

use anyhow::Result;
use candle_core::quantized::GgmlDType;
use gemm_common::Parallelism;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rten_gemm::{GemmExecutor, GemmInT, GemmInputA, GemmInputB, GemmOptions, GemmOutT};
use rten_tensor::{AsView as _, NdTensor};

use tiny_vlm_quant::{Group, Precision};

use crate::candle;
use crate::timing::Contestant;

/// The threads that they run on.
pub(crate) struct Pool(ThreadPool);

impl Pool {
    pub(crate) fn new(threads: usize) -> Result<Pool> {
        Ok(Pool(ThreadPoolBuilder::new().num_threads(threads).build()?))
    }
}

/// Has those that ask the environment for their number of threads find this one there; of several calls the first counts.
///
/// # Safety
/// No other thread may run.
pub(crate) unsafe fn set_threads(threads: usize) {
    // SAFETY: the caller's promise.
    unsafe { candle::set_threads(threads) }
}

/// Those that have a product of this format.
pub(crate) fn of_product(
    pool: &Pool,
    shape: [usize; 3],
    precision: Precision,
) -> Vec<(String, Contestant<'_>)> {
    let pool = &pool.0;
    let mut peers = match precision {
        Precision::F32 => vec![gemm(pool, shape), rten_f32(pool, shape)],
        Precision::Int8 => vec![rten_int8(pool, shape)],
        _ => Vec::new(),
    };
    if candle::runs_in(pool) {
        peers.extend(match precision {
            Precision::F32 => Some(candle::dense(pool, shape)),
            Precision::Int8 => Some(candle::quantized(pool, shape, GgmlDType::Q8_0)),
            Precision::Int4(Group::Of32) => Some(candle::quantized(pool, shape, GgmlDType::Q4_0)),
            _ => None,
        });
    }
    peers
}

/// `gemm`, f32: it packs both sides in every call.
fn gemm(pool: &ThreadPool, [m, k, n]: [usize; 3]) -> (String, Contestant<'_>) {
    let (x, w) = (vec![0.5_f32; m * k], vec![0.25_f32; n * k]);
    let mut out = vec![0.0_f32; m * n];
    let threads = pool.current_num_threads();
    let run = move || {
        let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
        let (columns, inner) = (n as isize, k as isize);
        let multiply = gemm_f32::gemm::f32::get_gemm_fn();
        pool.install(|| {
            let (to, x, w) = (out.as_mut_ptr(), x.as_ptr(), w.as_ptr());
            // SAFETY: the three matrices are as large as the shape says, with the strides of rows one after the
            // other, and the output is not one of the others.
            unsafe {
                multiply(
                    m,
                    n,
                    k,
                    to,
                    1,
                    columns,
                    false,
                    x,
                    1,
                    inner,
                    w,
                    inner,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
        });
        2.0 * (m * n * k) as f64
    };
    ("gemm".to_owned(), Box::new(run))
}

/// `rten-gemm`, f32, with the weights packed before.
fn rten_f32(pool: &ThreadPool, shape: [usize; 3]) -> (String, Contestant<'_>) {
    rten(pool, shape, GemmExecutor::<f32>::new(), 0.5_f32, 0.25_f32)
}

/// `rten-gemm`, bytes by bytes into i32, with the weights packed before. What it is spared: quantizing the
/// activations and bringing the sums back to f32.
fn rten_int8(pool: &ThreadPool, shape: [usize; 3]) -> (String, Contestant<'_>) {
    rten(pool, shape, GemmExecutor::<u8, i8, i32>::new(), 3_u8, -2_i8)
}

/// A product of `x` everywhere by `w` everywhere.
fn rten<L: GemmInT + 'static, R: GemmInT + 'static, O: GemmOutT + Default + 'static>(
    pool: &ThreadPool,
    [m, k, n]: [usize; 3],
    executor: GemmExecutor<L, R, O>,
    x: L,
    w: R,
) -> (String, Contestant<'_>) {
    let x = NdTensor::full([m, k], x);
    let w = executor.prepack_b(NdTensor::full([k, n], w).view());
    let mut out = vec![O::default(); m * n];
    let name = format!("rten-gemm {}", executor.kernel_name());
    let run = move || {
        pool.install(|| {
            let x = GemmInputA::Unpacked(x.view());
            let done = executor.gemm(&mut out, x, GemmInputB::Packed(&w), GemmOptions::default());
            done.expect("the shapes fit");
        });
        2.0 * (m * n * k) as f64
    };
    (name, Box::new(run))
}

//! The operators against naive ones in every precision, at every level and for several numbers of threads.

mod random;

use random::random;
use tiny_vlm_quant::{
    Activation, Budget, ConvShape, Epilogue, Layer, Matrix, Plan, Precision, Prepared, QuantError, Residual,
    Sensitivity, compare, conv2d, matmul, matmul_each, prune_blocks,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Tensor, View, ViewMut, Workspace};

fn every() -> impl Iterator<Item = Precision> {
    Precision::ALL.into_iter().chain(Precision::SPARSE)
}

/// The least ratio of signal to noise of a product, in decibels.
fn least_snr(precision: Precision, level: Level) -> f64 {
    match precision {
        Precision::F32 | Precision::F32Sparse => 120.0,
        Precision::F16 => 66.0,
        Precision::Bf16 => 48.0,
        // Uniform weights in 16 and 4 steps: 20·log of that, less what a short row's luck takes.
        Precision::Int4(_) => 22.0,
        Precision::Int2(_) => 10.5,
        // Seven bits of activations are 6 dB worse than eight.
        _ if level.activation_max() < 255 => 34.0,
        _ => 38.0,
    }
}

#[test]
fn products_are_close_and_the_same_for_every_number_of_threads() {
    let workspaces = [1, 2, 3].map(Workspace::new);
    for [m, n, k] in [[1, 1, 1], [1, 300, 64], [7, 33, 130], [1, 4000, 300], [64, 192, 192], [301, 80, 97]] {
        let (x, w, bias) = (random(m * k, 1), random(n * k, 2), random(n, 3));
        let reference: Vec<f32> = (0..m * n)
            .map(|at| {
                let (i, j) = (at / n, at % n);
                let dot = |l: usize| f64::from(x[i * k + l]) * f64::from(w[j * k + l]);
                ((0..k).map(dot).sum::<f64>() + f64::from(bias[j])) as f32
            })
            .collect();
        for precision in every() {
            let matrix = Matrix::from_f32(n, k, &w, precision).unwrap();
            for level in Level::available() {
                let matrix = matrix.clone().at_level(level);
                let mut first: Option<Vec<f32>> = None;
                for workspace in &workspaces {
                    let mut out = vec![9.0; m * n];
                    matmul(
                        &workspace.context(),
                        View::new([m, k], &x).unwrap(),
                        &matrix,
                        &Epilogue::bias(&bias),
                        ViewMut::new([m, n], &mut out).unwrap(),
                    )
                    .unwrap();
                    assert_eq!(
                        *first.get_or_insert_with(|| out.clone()),
                        out,
                        "{level} {precision} {m}x{k}x{n}"
                    );
                }
                let snr = compare(&reference, &first.unwrap()).unwrap().snr;
                // One product of one pair is as good as its luck.
                assert!(
                    snr >= least_snr(precision, level) || k == 1,
                    "{level} {precision} {m}x{k}x{n}: {snr} dB"
                );
            }
        }
    }
}

#[test]
fn convolutions_are_close_and_the_same_for_every_number_of_threads() {
    let workspaces = [1, 3].map(Workspace::new);
    let oblong = ConvShape { kernel: [2, 3], stride: [2, 1], pad_rows: [1, 0], pad_columns: [0, 2] };
    for ([h, w, c], n, conv) in [
        ([9, 9, 3], 24, ConvShape::square(3, 2, 1)),
        ([30, 40, 8], 40, ConvShape::square(3, 1, 1)),
        ([6, 6, 64], 100, ConvShape::square(3, 1, 1)),
        ([12, 12, 16], 17, ConvShape::square(1, 1, 0)),
        ([13, 12, 16], 17, ConvShape::square(1, 2, 0)),
        ([14, 8, 5], 33, ConvShape::square(4, 4, 0)),
        ([11, 23, 7], 5, oblong),
        // Seven strips, which do not go round: their channels are parted.
        ([28, 28, 32], 40, ConvShape::square(3, 1, 1)),
    ] {
        let [oh, ow] = conv.output([h, w]).unwrap();
        let [kh, kw] = conv.kernel;
        let k = kh * kw * c;
        let (x, kernel, bias) = (random(h * w * c, 1), random(n * k, 2), random(n, 3));
        let residual = random(oh * ow * n, 4);
        let mut reference = vec![0.0_f32; oh * ow * n];
        for (at, out) in reference.iter_mut().enumerate() {
            let (pixel, o) = (at / n, at % n);
            let mut sum = f64::from(bias[o]);
            for l in 0..k {
                let (ky, kx, i) = (l / c / kw, l / c % kw, l % c);
                let y = (pixel / ow * conv.stride[0] + ky).wrapping_sub(conv.pad_rows[0]);
                let x0 = (pixel % ow * conv.stride[1] + kx).wrapping_sub(conv.pad_columns[0]);
                if y < h && x0 < w {
                    sum += f64::from(x[(y * w + x0) * c + i]) * f64::from(kernel[o * k + l]);
                }
            }
            *out = (sum.max(0.0) + f64::from(residual[at])) as f32;
        }
        for precision in every() {
            let matrix = Matrix::from_f32(n, k, &kernel, precision).unwrap();
            for level in Level::available() {
                let matrix = matrix.clone().at_level(level);
                let epilogue = Epilogue {
                    bias: Some(&bias),
                    activation: Activation::Relu,
                    residual: Residual::Add(View::new([oh * ow, n], &residual).unwrap()),
                    ..Epilogue::default()
                };
                let mut first: Option<Vec<f32>> = None;
                for workspace in &workspaces {
                    let mut out = vec![9.0; oh * ow * n];
                    conv2d(
                        &workspace.context(),
                        View::new([h, w, c], &x).unwrap(),
                        &matrix,
                        &conv,
                        &epilogue,
                        ViewMut::new([oh, ow, n], &mut out).unwrap(),
                    )
                    .unwrap();
                    assert_eq!(
                        *first.get_or_insert_with(|| out.clone()),
                        out,
                        "{level} {precision} {conv:?}"
                    );
                }
                let snr = compare(&reference, &first.unwrap()).unwrap().snr;
                assert!(snr >= least_snr(precision, level) - 1.0, "{level} {precision} {conv:?}: {snr} dB");
            }
        }
    }
}

#[test]
fn sparse_products_are_the_dense_ones_for_every_number_of_threads() {
    let workspaces = [1, 2, 3].map(Workspace::new);
    for [m, n, k] in [[1, 300, 500], [4, 40, 70], [5, 40, 70], [64, 192, 192], [301, 80, 97], [200, 500, 130]]
    {
        let (x, w, bias) = (random(m * k, 1), random(n * k, 2), random(n, 3));
        let w = prune_blocks(n, k, &w, 0.5).unwrap();
        for (sparse, dense) in
            [(Precision::F32Sparse, Precision::F32), (Precision::Int8Sparse, Precision::Int8)]
        {
            let [sparse, dense] = [sparse, dense].map(|p| Matrix::from_f32(n, k, &w, p).unwrap());
            assert!(m * n < 100 || 3 * sparse.bytes() < 2 * dense.bytes());
            for level in Level::available() {
                for workspace in &workspaces {
                    let [a, b] = [&sparse, &dense].map(|matrix| {
                        let mut out = Tensor::<f32, 2>::zeroed([m, n]);
                        let (matrix, x) = (matrix.clone().at_level(level), View::new([m, k], &x).unwrap());
                        let ctx = workspace.context();
                        matmul(&ctx, x, &matrix, &Epilogue::bias(&bias), out.view_mut()).unwrap();
                        out
                    });
                    assert_eq!(a.data(), b.data(), "{level} {} {m}x{k}x{n}", sparse.precision());
                }
            }
        }
    }
}

#[test]
fn a_plan_has_no_sparse_precision_unasked() {
    assert!(Precision::ALL.iter().all(|precision| !Precision::SPARSE.contains(precision)));
    let (n, k) = (32, 64);
    let w = prune_blocks(n, k, &random(n * k, 2), 0.25).unwrap();
    let workspace = Workspace::inline();
    let measure = |precisions: &[Precision]| {
        let sensitivity = Sensitivity::Measured(1.0);
        Layer::measure(&workspace.context(), "a", [n, k], &w, sensitivity, precisions).unwrap()
    };
    let asked = measure(&[Precision::F32, Precision::F32Sparse]);
    let plan = Plan::new(std::slice::from_ref(&asked), Budget::Error(0.0)).unwrap();
    assert_eq!(plan.precision("a"), Some(Precision::F32Sparse));
    assert!(4 * asked.candidates[1].bytes < 2 * asked.candidates[0].bytes);
}

/// Together, shared out over threads, matrices give what each gives alone.
#[test]
fn prepared_activations_serve_several_matrices() {
    let (k, n) = (400, [800, 7]);
    let (x, weights) = (random(5 * k, 1), n.map(|n| random(n * k, n as u64)));
    let workspace = Workspace::new(2);
    let ctx = workspace.context();
    let x = View::new([5, k], &x).unwrap();
    let plain = Epilogue::default();
    for precision in every() {
        let [a, b] = [0, 1].map(|i| Matrix::from_f32(n[i], k, &weights[i], precision).unwrap());
        let [mut one, mut two] = n.map(|n| Tensor::<f32, 2>::zeroed([5, n]));
        let prepared = Prepared::new(&ctx, x, &a);
        matmul_each(&ctx, &prepared, [(&a, plain, one.view_mut()), (&b, plain, two.view_mut())]).unwrap();
        for (matrix, together) in [(&a, one), (&b, two)] {
            let mut alone = Tensor::<f32, 2>::zeroed([5, matrix.rows()]);
            matmul(&ctx, x, matrix, &plain, alone.view_mut()).unwrap();
            assert_eq!(alone.data(), together.data(), "{precision}");
        }
    }
    let [int8, bf16] =
        [Precision::Int8, Precision::Bf16].map(|precision| Matrix::from_f32(7, k, &weights[1], precision));
    let (int8, bf16) = (int8.unwrap(), bf16.unwrap());
    let [mut one, mut two] = [(); 2].map(|()| Tensor::<f32, 2>::zeroed([5, 7]));
    let prepared = Prepared::new(&ctx, x, &int8);
    let error =
        matmul_each(&ctx, &prepared, [(&int8, plain, one.view_mut()), (&bf16, plain, two.view_mut())]);
    assert!(matches!(error, Err(QuantError::Prepared { .. })));
    assert!(one.data().iter().all(|value| *value == 0.0), "nothing is written");
}

#[test]
fn strided_views_are_taken_as_they_are() {
    let (x, w) = (random(6 * 50, 1), random(20 * 33, 2));
    let workspace = Workspace::inline();
    let ctx = workspace.context();
    let strided = View::new([6, 50], &x).unwrap().slice(1, 4..37);
    let dense: Vec<f32> = strided.rows().flatten().copied().collect();
    for precision in every() {
        let matrix = Matrix::from_f32(20, 33, &w, precision).unwrap();
        let (mut one, mut two) = (Tensor::<f32, 2>::zeroed([6, 20]), Tensor::<f32, 2>::zeroed([6, 31]));
        let plain = Epilogue::default();
        matmul(&ctx, View::new([6, 33], &dense).unwrap(), &matrix, &plain, one.view_mut()).unwrap();
        matmul(&ctx, strided, &matrix, &plain, two.view_mut().slice(1, 5..25)).unwrap();
        for i in 0..6 {
            assert_eq!(one.view().row(i), &two.view().row(i)[5..25], "{precision}");
            assert_eq!(two.view().row(i)[25..], [0.0; 6]);
        }
    }
}

#[test]
fn what_is_not_a_number_spoils_its_row_only() {
    let mut x = random(3 * 20, 1);
    (x[7], x[25]) = (f32::NAN, f32::INFINITY);
    let w = vec![0.5; 20 * 20];
    let workspace = Workspace::inline();
    for precision in every() {
        for level in Level::available() {
            let matrix = Matrix::from_f32(20, 20, &w, precision).unwrap().at_level(level);
            let mut out = Tensor::<f32, 2>::zeroed([3, 20]);
            let x = View::new([3, 20], &x).unwrap();
            matmul(&workspace.context(), x, &matrix, &Epilogue::default(), out.view_mut()).unwrap();
            assert!(
                out.view().row(0).iter().chain(out.view().row(1)).all(|y| !y.is_finite()),
                "{level} {precision}"
            );
            assert!(out.view().row(2).iter().all(|y| y.is_finite()), "{level} {precision}");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let workspace = Workspace::inline();
    let ctx = workspace.context();
    let matrix = Matrix::from_f32(4, 3, &[0.0; 12], Precision::F32).unwrap();
    let x = Tensor::<f32, 2>::zeroed([2, 5]);
    let mut out = Tensor::<f32, 2>::zeroed([2, 4]);
    let plain = Epilogue::default();
    let error = matmul(&ctx, x.view(), &matrix, &plain, out.view_mut()).unwrap_err();
    assert_eq!(error.to_string(), "activations of [2, 5] by weights of [4, 3] into an output of [2, 4]");
    let x = Tensor::<f32, 2>::zeroed([2, 3]);
    let error = matmul(&ctx, x.view(), &matrix, &Epilogue::bias(&[0.0; 3]), out.view_mut()).unwrap_err();
    assert_eq!(error.to_string(), "bias of 3 for an output of 2x4");
    let image = Tensor::<f32, 3>::zeroed([2, 2, 3]);
    let mut out = Tensor::<f32, 3>::zeroed([2, 2, 4]);
    let conv = ConvShape::square(3, 1, 0);
    let error = conv2d(&ctx, image.view(), &matrix, &conv, &plain, out.view_mut()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a kernel of [3, 3] at stride [1, 1] does not fit an image of [2, 2, 3] with its padding"
    );
    let empty = Tensor::<f32, 2>::zeroed([0, 3]);
    let mut nothing = Tensor::<f32, 2>::zeroed([0, 4]);
    matmul(&ctx, empty.view(), &matrix, &plain, nothing.view_mut()).unwrap();
}

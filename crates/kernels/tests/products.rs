//! Every product against a naive one, at every level, over shapes around the edges of tiles and panels.

mod random;

use half::{bf16, f16};
use random::random;
use tiny_vlm_kernels::{
    Activation, Element, Epilogue, Group, Grouped, Layout, Lhs, OutMut, Packed, Quantized, Residual, Single,
    Widen, gemm_bf16, gemm_f32, gemm_grouped, gemm_s8, gemm_widened, pack, pack_codes,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Inline, View, ViewMut, split};

/// Rows, channels, K: one, primes, one off each tile edge, no multiple of a step, none, and beyond a block of K.
fn shapes() -> Vec<[usize; 3]> {
    let mut shapes = vec![[0, 3, 3], [3, 0, 3], [3, 5, 0], [1, 1, 1], [13, 31, 1030], [2, 17, 2049]];
    for m in [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 37] {
        for n in [1, 15, 16, 17, 33, 48, 127, 129] {
            shapes.push([m, n, 3 + (m * n) % 13]);
        }
    }
    shapes
}

fn whole(data: &mut [f32], rows: usize, columns: usize, stride: usize) -> OutMut<'_> {
    ViewMut::with_strides([rows, columns], [stride, 1], data).unwrap().into()
}

fn rows(data: &[f32], rows: usize, columns: usize, stride: usize) -> View<'_, f32, 2> {
    View::with_strides([rows, columns], [stride, 1], data).unwrap()
}

fn packed<T: Element>(values: &[T], n: usize, k: usize) -> Vec<T> {
    let mut out = vec![T::default(); T::LAYOUT.len(n, k).unwrap()];
    pack(values, n, k, k, &mut out);
    out
}

/// `x · wᵀ` in f64.
fn reference(x: &[f32], w: &[f32], [m, n, k]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            out[i * n + j] = (0..k).map(|l| f64::from(x[i * k + l]) * f64::from(w[j * k + l])).sum();
        }
    }
    out
}

/// The error of a sum of `k` products of numbers below 1: k roundings of a sum below k, and what the format adds.
fn assert_close(got: &[f32], expected: &[f64], k: usize, relative: f64, what: &str) {
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let k = k as f64;
        let bound = k * k * f64::from(f32::EPSILON) * 0.5 + k * relative + 1e-6;
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= bound, "{what}: element {i} is {got} for {expected}");
    }
}

#[test]
fn f32_is_the_sum_in_order() {
    for [m, n, k] in shapes() {
        let (x, w) = (random(m * k, 1), random(n * k, 2));
        let packed_w = packed(&w, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        let expected = reference(&x, &w, [m, n, k]);
        let mut bits: Option<Vec<f32>> = None;
        for level in Level::available() {
            let stride = n + 3;
            let mut out = vec![9.0; m * stride];
            let to = whole(&mut out, m, n, stride);
            gemm_f32(level, &Lhs::matrix(&x, m, k, k), weights, &Epilogue::default(), to);
            assert!(out.chunks(stride).all(|row| row[n..] == [9.0; 3]), "{level} wrote beyond {m}x{n}");
            let dense: Vec<f32> = out.chunks(stride).flat_map(|row| row[..n].to_vec()).collect();
            assert_close(&dense, &expected, k, 0.0, &format!("{level} {m}x{k}x{n}"));
            if level.is_fused() {
                assert_eq!(*bits.get_or_insert_with(|| dense.clone()), dense, "{level} {m}x{k}x{n} differs");
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_nor_on_the_tiles() {
    let [m, n, k] = [29, 131, 1100];
    let (x, w) = (random(m * k, 1), random(n * k, 2));
    let packed_w = packed(&w, n, k);
    let weights = Packed::new(&packed_w, n, k).unwrap();
    let lhs = Lhs::matrix(&x, m, k, k);
    for level in Level::available() {
        let mut all = vec![0.0; m * n];
        gemm_f32(level, &lhs, weights, &Epilogue::default(), whole(&mut all, m, n, n));
        for tile in [[1, 16], [5, 48], [29, 32]] {
            let mut out = vec![0.0; m * n];
            let view = ViewMut::new([m, n], &mut out).unwrap();
            split::for_each_tile(&Inline, view, tile, |first, part| {
                gemm_f32(level, &lhs, weights, &Epilogue::default(), OutMut::at(first, part));
            });
            assert_eq!(out, all, "{level} in tiles of {tile:?}");
        }
    }
}

#[test]
fn epilogues_apply_in_order() {
    for [m, n, k] in [[1, 1, 1], [5, 33, 7], [13, 40, 1500]] {
        let (x, w) = (random(m * k, 1), random(n * k, 2));
        let (bias, scale) = (random(n, 3), random(n, 4));
        let residual = random(m * (n + 2), 6);
        let before = random(m * n, 7);
        let packed_w = packed(&w, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        let sums = reference(&x, &w, [m, n, k]);
        for level in Level::available() {
            for residual_kind in 0..3 {
                for full in [false, true] {
                    let epilogue = Epilogue {
                        bias: full.then_some(&bias),
                        activation: if full { Activation::Relu } else { Activation::None },
                        gated: full,
                        scale: full.then_some(&scale),
                        residual: match residual_kind {
                            0 => Residual::None,
                            1 => Residual::Add(rows(&residual, m, n, n + 2)),
                            _ => Residual::Output,
                        },
                        rectify: full,
                    };
                    let mut out = before.clone();
                    let to = whole(&mut out, m, n, n);
                    gemm_f32(level, &Lhs::matrix(&x, m, k, k), weights, &epilogue, to);
                    let expected: Vec<f64> = (0..m * n)
                        .map(|at| {
                            let (i, j) = (at / n, at % n);
                            let mut y = sums[at];
                            if full {
                                y = (y + f64::from(bias[j])).max(0.0);
                                y *= f64::from(before[at]) * f64::from(scale[j]);
                            }
                            y += match residual_kind {
                                0 => 0.0,
                                1 => f64::from(residual[i * (n + 2) + j]),
                                _ => f64::from(before[at]),
                            };
                            if full { y.max(0.0) } else { y }
                        })
                        .collect();
                    assert_close(
                        &out,
                        &expected,
                        k,
                        0.0,
                        &format!("{level} {m}x{k}x{n} {residual_kind} {full}"),
                    );
                }
            }
        }
    }
}

#[test]
fn bytes_are_summed_exactly() {
    for [m, n, k] in shapes() {
        let k4 = k.next_multiple_of(4);
        let w: Vec<i8> = random(n * k, 2).iter().map(|x| (x * 127.0) as i8).collect();
        let packed_w = packed(&w, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        let padded = n.next_multiple_of(16);
        let mut scales = random(n, 3);
        let mut sums: Vec<f32> =
            (0..n).map(|j| w[j * k..(j + 1) * k].iter().map(|w| i32::from(*w)).sum::<i32>() as f32).collect();
        scales.resize(padded, 0.0);
        sums.resize(padded, 0.0);
        let mut params = random(m * 2, 4);
        params.iter_mut().skip(1).step_by(2).for_each(|zero| *zero = 17.0);
        for level in Level::available() {
            let most = f32::from(level.activation_max());
            let x: Vec<u8> = random(m * k4, 5).iter().map(|x| ((x + 1.0) * 0.5 * most) as u8).collect();
            let quantized = Quantized { lhs: Lhs::matrix(&x, m, k4, k4), params: rows(&params, m, 2, 2) };
            let mut out = vec![9.0; m * n];
            let to = whole(&mut out, m, n, n);
            gemm_s8(level, &quantized, weights, &scales, &sums, &Epilogue::default(), to);
            for i in 0..m {
                for j in 0..n {
                    let dot: i64 =
                        (0..k).map(|l| (i64::from(x[i * k4 + l]) - 17) * i64::from(w[j * k + l])).sum();
                    let expected = dot as f32 * (params[2 * i] * scales[j]);
                    assert_eq!(out[i * n + j], expected, "{level} {m}x{k}x{n} at {i}, {j}");
                }
            }
        }
    }
}

#[test]
fn groups_are_summed_with_their_scales() {
    for layout in [Group::Of32, Group::Of64].into_iter().flat_map(|g| [Layout::S4(g), Layout::S2(g)]) {
        let group = layout.group();
        for [m, n, k] in shapes() {
            let value = |x: &f32| match layout {
                Layout::S4(_) => (x * 8.0).floor() as i8,
                _ => 2 * (x * 2.0).floor() as i8 + 1,
            };
            let w: Vec<i8> = random(n * k, 2).iter().map(value).collect();
            let mut codes = vec![0; layout.len(n, k).unwrap()];
            pack_codes(&w, n, k, layout, &mut codes);
            let groups = k.div_ceil(group);
            let scales: Vec<_> = random(n * groups, 3).into_iter().map(f16::from_f32).collect();
            let packed_scales = packed(&scales, n, groups);
            let weights = Grouped::new(&codes, &packed_scales, layout, n, k).unwrap();
            let weight = |j: usize, l: usize| {
                f64::from(scales[j * groups + l / group].to_f32()) * f64::from(w[j * k + l])
            };
            let mut sums: Vec<f32> =
                (0..n).map(|j| (0..k).map(|l| weight(j, l)).sum::<f64>() as f32).collect();
            sums.resize(n.next_multiple_of(16), 0.0);
            let (padded, stride) = (k.next_multiple_of(group), k.next_multiple_of(group) + 4);
            let mut x: Vec<u8> = random(m * stride, 5).iter().map(|x| ((x + 1.0) * 63.5) as u8).collect();
            x.chunks_exact_mut(stride).for_each(|row| row[k..].fill(0));
            let mut params = random(m * 2, 4);
            params.iter_mut().skip(1).step_by(2).for_each(|zero| *zero = 17.0);
            let mut bits: Option<Vec<f32>> = None;
            for level in Level::available() {
                let what = format!("{level} {} {m}x{k}x{n}", layout.id());
                let lhs = Lhs::matrix(&x, m, padded, stride);
                let quantized = Quantized { lhs, params: rows(&params, m, 2, 2) };
                let mut out = vec![9.0; m * n];
                gemm_grouped(
                    level,
                    &quantized,
                    weights,
                    &sums,
                    &Epilogue::default(),
                    whole(&mut out, m, n, n),
                );
                for i in 0..m {
                    for j in 0..n {
                        let term = |l: usize| f64::from(x[i * stride + l]) * weight(j, l);
                        let scale = f64::from(params[2 * i]);
                        let correction = 17.0 * f64::from(sums[j]);
                        let expected = scale * ((0..k).map(term).sum::<f64>() - correction);
                        // A rounding for each group, and one each for the correction, its sum and the scale.
                        let size = (0..k).map(|l| term(l).abs()).sum::<f64>() + correction.abs();
                        let bound = (groups + 3) as f64 * f64::from(f32::EPSILON) * scale.abs() * size;
                        let error = (f64::from(out[i * n + j]) - expected).abs();
                        assert!(error <= bound, "{what} at {i}, {j}: {error} beyond {bound}");
                    }
                }
                if level.is_fused() {
                    assert_eq!(*bits.get_or_insert_with(|| out.clone()), out, "{what} differs");
                }
            }
        }
    }
}

#[test]
fn bf16_is_close_to_what_it_stores() {
    for [m, n, k] in shapes() {
        let (x, w) = (random(m * k, 1), random(n * k, 2));
        let k2 = k.next_multiple_of(2);
        let mut narrow = vec![bf16::ZERO; m * k2];
        for i in 0..m {
            for l in 0..k {
                narrow[i * k2 + l] = bf16::from_f32(x[i * k + l]);
            }
        }
        let wide: Vec<f32> = (0..m * k).map(|at| narrow[at / k * k2 + at % k].to_f32()).collect();
        let w: Vec<_> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        let packed = packed(&w, n, k);
        let weights = Packed::new(&packed, n, k).unwrap();
        let expected = reference(&wide, &w.iter().map(|w| w.to_f32()).collect::<Vec<_>>(), [m, n, k]);
        for level in Level::available() {
            let mut out = vec![9.0; m * n];
            let (lhs, to) = (Lhs::matrix(&narrow, m, k2, k2), whole(&mut out, m, n, n));
            gemm_bf16(level, &lhs, weights, &Epilogue::default(), to);
            assert_close(&out, &expected, k, 0.0, &format!("{level} bf16 {m}x{k}x{n}"));
        }
    }
}

#[test]
fn narrow_weights_are_widened_exactly() {
    widened(f16::from_f32, |w| w.to_f32());
    widened(|w| Single(bf16::from_f32(w)), |w| w.0.to_f32());
    widened(|w| Single((w * 127.0).round() as i8), |w| f32::from(w.0));
}

/// The product is bit for bit that of the widened weights in f32.
fn widened<T: Widen>(narrow: impl Fn(f32) -> T, wide: impl Fn(T) -> f32) {
    for [m, n, k] in shapes() {
        let x = random(m * k, 1);
        let w: Vec<T> = random(n * k, 2).into_iter().map(&narrow).collect();
        let packed_w = packed(&w, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        let packed_wide = packed(&w.into_iter().map(&wide).collect::<Vec<f32>>(), n, k);
        let wide = Packed::new(&packed_wide, n, k).unwrap();
        let scale = random(n, 3);
        let epilogue = Epilogue { scale: Some(&scale), ..Epilogue::default() };
        for level in Level::available() {
            let (mut out, mut expected) = (vec![9.0; m * n], vec![8.0; m * n]);
            let lhs = Lhs::matrix(&x, m, k, k);
            gemm_widened(level, &lhs, weights, &epilogue, whole(&mut out, m, n, n));
            gemm_f32(level, &lhs, wide, &epilogue, whole(&mut expected, m, n, n));
            assert_eq!(out, expected, "{level} {} {m}x{k}x{n}", T::NAME);
        }
    }
}

#[test]
fn what_is_not_a_number_passes_through() {
    let (m, n, k) = (3, 20, 9);
    let mut x = vec![1.0; m * k];
    (x[2], x[k + 1]) = (f32::NAN, f32::INFINITY);
    let packed_w = packed(&vec![0.5; n * k], n, k);
    for level in Level::available() {
        let mut out = vec![0.0; m * n];
        let epilogue = Epilogue { activation: Activation::Gelu, ..Epilogue::default() };
        let weights = Packed::new(&packed_w, n, k).unwrap();
        gemm_f32(level, &Lhs::matrix(&x, m, k, k), weights, &epilogue, whole(&mut out, m, n, n));
        assert!(out[..n].iter().all(|x| x.is_nan()) && out[n..2 * n].iter().all(|x| *x == f32::INFINITY));
        assert!(out[2 * n..].iter().all(|x| x.is_finite()));
    }
}

#[test]
fn lengths_are_checked() {
    assert!(Packed::new(&[0.0_f32; 16], 1, 1).is_some());
    assert!(Packed::new(&[0.0_f32; 15], 1, 1).is_none());
    assert_eq!(Layout::S8.len(17, 5), Some(32 * 8));
}

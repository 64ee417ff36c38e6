//! Sparse products against dense ones of the same weights, at every level, over shapes around the edges of blocks.

mod random;

use random::random;
use tiny_vlm_kernels::{
    Activation, Epilogue, Layout, Lhs, OutMut, PANEL, Packed, Panels, Pattern, Quantized, Residual, Sparse,
    gemm_f32, gemm_f32_sparse, gemm_f32_sparse_panels, gemm_s8, gemm_s8_sparse, gemm_s8_sparse_panels, pack,
    pack_blocks, pack_rows,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Inline, View, ViewMut, split};

/// Weights of which about `zeros` of four blocks are zero.
fn weights(n: usize, k: usize, zeros: usize) -> Vec<f32> {
    let across = k.div_ceil(16);
    let luck = random(n.div_ceil(16) * across, 9);
    let mut w = random(n * k, 2);
    for (at, w) in w.iter_mut().enumerate() {
        let block = at / k / 16 * across + at % k / 16;
        if (luck[block] + 1.0) * 2.0 < zeros as f32 {
            *w = 0.0;
        }
    }
    w
}

/// Rows, channels, K: none, one, no multiples of a block, one off each tile.
fn shapes() -> Vec<[usize; 3]> {
    let mut shapes =
        vec![[0, 3, 3], [3, 0, 3], [3, 5, 0], [20, 5, 0], [1, 1, 1], [2, 150, 70], [1, 300, 1100]];
    for m in [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 48, 65] {
        for n in [1, 15, 16, 17, 33, 130] {
            shapes.push([m, n, [16, 30, 47, 64, 81, 1, 4, 160][(m + n) % 8]]);
        }
    }
    shapes
}

fn whole(data: &mut [f32], rows: usize, columns: usize) -> OutMut<'_> {
    ViewMut::new([rows, columns], data).unwrap().into()
}

fn packed_rows(level: Level, x: View<'_, f32, 2>) -> Vec<f32> {
    let mut out = vec![9.0; Panels::len(x.shape()[0], x.shape()[1]).unwrap()];
    pack_rows(level, x, &mut out);
    out
}

#[test]
fn f32_is_the_dense_product() {
    for [m, n, k] in shapes() {
        for zeros in [0, 2, 4] {
            let (x, w, bias) = (random(m * k, 1), weights(n, k, zeros), random(n, 3));
            let mut dense = vec![0.0; Layout::F32.len(n, k).unwrap()];
            pack(&w, n, k, k, &mut dense);
            let dense = Packed::new(&dense, n, k).unwrap();
            let pattern = Pattern::of(&w, n, k).unwrap();
            assert!(zeros < 4 || pattern.columns().is_empty());
            let mut blocks = vec![9.0; pattern.elements()];
            pack_blocks(&w, &pattern, &mut blocks);
            let sparse = Sparse::new(&pattern, &blocks).unwrap();
            let before = random(m * n, 4);
            let epilogue = Epilogue {
                bias: Some(&bias),
                activation: Activation::Relu,
                residual: Residual::Output,
                ..Epilogue::default()
            };
            for level in Level::available() {
                let lhs = Lhs::matrix(&x, m, k, k);
                let [mut expected, mut few, mut many] = [before.clone(), before.clone(), before.clone()];
                gemm_f32(level, &lhs, dense, &epilogue, whole(&mut expected, m, n));
                gemm_f32_sparse(level, &lhs, sparse, &epilogue, whole(&mut few, m, n));
                // Zeros that are not added change no sum: the bound is none.
                assert_eq!(few, expected, "{level} {m}x{k}x{n}, {zeros} of 4");
                let words = packed_rows(level, View::new([m, k], &x).unwrap());
                let panels = Panels::new(&words, m, k).unwrap();
                gemm_f32_sparse_panels(level, panels, sparse, &epilogue, whole(&mut many, m, n));
                assert_eq!(many, expected, "{level} {m}x{k}x{n}, {zeros} of 4, panels");
            }
        }
    }
}

#[test]
fn bytes_are_the_dense_product() {
    for [m, n, k] in shapes() {
        for zeros in [0, 2, 4] {
            let w: Vec<i8> = weights(n, k, zeros).iter().map(|w| (w * 127.0) as i8).collect();
            let mut dense = vec![0; Layout::S8.len(n, k).unwrap()];
            pack(&w, n, k, k, &mut dense);
            let dense = Packed::new(&dense, n, k).unwrap();
            let pattern = Pattern::of(&w, n, k).unwrap();
            let mut blocks = vec![9; pattern.elements()];
            pack_blocks(&w, &pattern, &mut blocks);
            let sparse = Sparse::new(&pattern, &blocks).unwrap();
            let padded = n.next_multiple_of(16);
            let sum = |row: &[i8]| row.iter().map(|w| i32::from(*w)).sum::<i32>() as f32;
            let (mut scales, mut sums) = (random(n, 3), w.chunks(k.max(1)).map(sum).collect::<Vec<_>>());
            scales.resize(padded, 0.0);
            sums.resize(padded, 0.0);
            let mut params = random(m * 2, 4);
            params.iter_mut().skip(1).step_by(2).for_each(|zero| *zero = 17.0);
            let params = View::new([m, 2], &params).unwrap();
            let (k4, plain) = (k.next_multiple_of(4), Epilogue::default());
            for level in Level::available() {
                let most = f32::from(level.activation_max());
                let mut words = vec![0.0; m * k4 / 4];
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
                bytes
                    .iter_mut()
                    .zip(random(m * k4, 5))
                    .for_each(|(b, x)| *b = ((x + 1.0) * 0.5 * most) as u8);
                let panel_words = packed_rows(level, View::new([m, k4 / 4], &words).unwrap());
                let x = Quantized { lhs: Lhs::matrix(bytemuck::cast_slice(&words), m, k4, k4), params };
                let [mut expected, mut few, mut many] = [(); 3].map(|()| vec![9.0; m * n]);
                gemm_s8(level, &x, dense, &scales, &sums, &plain, whole(&mut expected, m, n));
                gemm_s8_sparse(level, &x, sparse, &scales, &sums, &plain, whole(&mut few, m, n));
                assert_eq!(few, expected, "{level} {m}x{k}x{n}, {zeros} of 4");
                let panels = Panels::new(&panel_words, m, k4 / 4).unwrap();
                let to = whole(&mut many, m, n);
                gemm_s8_sparse_panels(level, panels, params, sparse, &scales, &sums, &plain, to);
                assert_eq!(many, expected, "{level} {m}x{k}x{n}, {zeros} of 4, panels");
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_nor_on_the_tiles() {
    let [m, n, k] = [70, 131, 200];
    let (x, w) = (random(m * k, 1), weights(n, k, 2));
    let pattern = Pattern::of(&w, n, k).unwrap();
    let mut blocks = vec![0.0; pattern.elements()];
    pack_blocks(&w, &pattern, &mut blocks);
    let sparse = Sparse::new(&pattern, &blocks).unwrap();
    let (lhs, plain) = (Lhs::matrix(&x, m, k, k), Epilogue::default());
    for level in Level::available() {
        let words = packed_rows(level, View::new([m, k], &x).unwrap());
        let panels = Panels::new(&words, m, k).unwrap();
        let mut all = vec![0.0; m * n];
        gemm_f32_sparse_panels(level, panels, sparse, &plain, whole(&mut all, m, n));
        for tile in [[16, 16], [48, 48], [70, 32], [32, 131]] {
            let mut out = vec![0.0; m * n];
            split::for_each_tile(&Inline, ViewMut::new([m, n], &mut out).unwrap(), tile, |first, part| {
                gemm_f32_sparse_panels(level, panels, sparse, &plain, OutMut::at(first, part));
            });
            assert_eq!(out, all, "{level} in tiles of {tile:?}");
        }
        for tile in [[1, 16], [5, 48], [70, 131]] {
            let mut out = vec![0.0; m * n];
            split::for_each_tile(&Inline, ViewMut::new([m, n], &mut out).unwrap(), tile, |first, part| {
                gemm_f32_sparse(level, &lhs, sparse, &plain, OutMut::at(first, part));
            });
            assert_eq!(out, all, "{level} in tiles of {tile:?}");
        }
    }
}

#[test]
fn what_is_not_a_number_is_met_by_kept_blocks_only() {
    // Three blocks along K, the middle one left out: the first panel's for every row of activations.
    let (n, k) = (20, 48);
    let mut w = vec![0.5; n * k];
    w[..PANEL * k].chunks_mut(k).for_each(|row| row[16..32].fill(0.0));
    let pattern = Pattern::of(&w, n, k).unwrap();
    let mut blocks = vec![0.0; pattern.elements()];
    pack_blocks(&w, &pattern, &mut blocks);
    let sparse = Sparse::new(&pattern, &blocks).unwrap();
    for m in [3, 18] {
        let mut x = vec![1.0; m * k];
        (x[20], x[k + 31], x[2 * k + 3]) = (f32::NAN, f32::INFINITY, f32::NAN);
        for level in Level::available() {
            let [mut few, mut many] = [(); 2].map(|()| vec![9.0; m * n]);
            let plain = Epilogue::default();
            gemm_f32_sparse(level, &Lhs::matrix(&x, m, k, k), sparse, &plain, whole(&mut few, m, n));
            let words = packed_rows(level, View::new([m, k], &x).unwrap());
            let panels = Panels::new(&words, m, k).unwrap();
            gemm_f32_sparse_panels(level, panels, sparse, &plain, whole(&mut many, m, n));
            for out in [few, many] {
                let rows: Vec<&[f32]> = out.chunks(n).collect();
                assert!(rows[..2].iter().all(|row| row[..PANEL] == [16.0; PANEL]), "{level}");
                assert!(rows[0][PANEL..].iter().all(|y| y.is_nan()), "{level}");
                assert!(rows[1][PANEL..].iter().all(|y| *y == f32::INFINITY), "{level}");
                assert!(rows[2].iter().all(|y| y.is_nan()), "{level}");
                assert!(
                    rows[3..].iter().all(|row| row[..PANEL] == [16.0; PANEL] && row[PANEL..] == [24.0; 4])
                );
            }
        }
    }
}

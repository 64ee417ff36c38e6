//! Convolution, depthwise convolution and pooling against loops over their definitions.

mod random;

use random::random;
use tiny_vlm_kernels::{
    Activation, ConvShape, DepthwiseInput, Element, Epilogue, OutMut, Packed, Pool, Quantized, StripSource,
    copy_strip, depthwise, gather_windows, gemm_f32, gemm_s8, pack, pool, quantize_strip,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Inline, View, ViewMut, split};

const fn shape(
    kernel: [usize; 2],
    stride: [usize; 2],
    pad_rows: [usize; 2],
    pad_columns: [usize; 2],
) -> ConvShape {
    ConvShape { kernel, stride, pad_rows, pad_columns }
}

fn convs() -> Vec<ConvShape> {
    vec![
        ConvShape::square(1, 1, 0),
        ConvShape::square(1, 2, 0),
        ConvShape::square(3, 1, 1),
        ConvShape::square(3, 2, 1),
        ConvShape::square(5, 1, 2),
        ConvShape::square(7, 1, 3),
        ConvShape::square(7, 2, 3),
        ConvShape::square(4, 4, 0),
        shape([3, 1], [1, 2], [1, 0], [0, 2]),
        shape([2, 5], [2, 1], [0, 1], [4, 4]),
    ]
}

/// Height, width and channels.
const IMAGES: [[usize; 3]; 6] = [[7, 7, 3], [9, 23, 16], [1, 12, 17], [13, 4, 33], [8, 40, 8], [3, 139, 18]];

/// Calls `f` with each tap of an output pixel that lies in the image: kernel row and column, input row and column.
fn taps(
    conv: &ConvShape,
    [h, w]: [usize; 2],
    [oy, ox]: [usize; 2],
    mut f: impl FnMut([usize; 2], [usize; 2]),
) {
    for ky in 0..conv.kernel[0] {
        for kx in 0..conv.kernel[1] {
            let y = (oy * conv.stride[0] + ky).checked_sub(conv.pad_rows[0]);
            let x = (ox * conv.stride[1] + kx).checked_sub(conv.pad_columns[0]);
            if let (Some(y), Some(x)) = (y, x)
                && y < h
                && x < w
            {
                f([ky, kx], [y, x]);
            }
        }
    }
}

fn cases() -> impl Iterator<Item = (ConvShape, [usize; 3], [usize; 2])> {
    convs().into_iter().flat_map(|conv| {
        IMAGES.into_iter().filter_map(move |image| Some((conv, image, conv.output([image[0], image[1]])?)))
    })
}

fn whole(data: &mut [f32], rows: usize, columns: usize, stride: usize) -> OutMut<'_> {
    ViewMut::with_strides([rows, columns], [stride, 1], data).unwrap().into()
}

fn packed<T: Element>(values: &[T], n: usize, k: usize) -> Vec<T> {
    let mut out = vec![T::default(); T::LAYOUT.len(n, k).unwrap()];
    pack(values, n, k, k, &mut out);
    out
}

/// The convolution in f64.
fn dense(
    conv: &ConvShape,
    [h, w, c]: [usize; 3],
    [oh, ow]: [usize; 2],
    x: &[f32],
    k: &[f32],
    n: usize,
) -> Vec<f64> {
    let mut out = vec![0.0; oh * ow * n];
    let [kh, kw] = conv.kernel;
    for (at, out) in out.iter_mut().enumerate() {
        let (pixel, o) = (at / n, at % n);
        taps(conv, [h, w], [pixel / ow, pixel % ow], |[ky, kx], [y, x0]| {
            for i in 0..c {
                *out += f64::from(x[(y * w + x0) * c + i]) * f64::from(k[((o * kh + ky) * kw + kx) * c + i]);
            }
        });
    }
    out
}

#[test]
fn dense_convolution_in_f32() {
    for (conv, [h, w, c], [oh, ow]) in cases() {
        let (n, k) = (19, conv.kernel[0] * conv.kernel[1] * c);
        let (x, kernel) = (random(h * w * c, 1), random(n * k, 2));
        let expected = dense(&conv, [h, w, c], [oh, ow], &x, &kernel, n);
        let packed_w = packed(&kernel, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        for level in Level::available() {
            for height in [1, 2, 5] {
                let mut out = vec![0.0; oh * ow * n];
                for first in (0..oh).step_by(height) {
                    let lines = height.min(oh - first);
                    let source = StripSource { image: &x, shape: [h, w, c], conv, first, lines };
                    let mut strip = vec![f32::NAN; source.len()];
                    copy_strip(source, &mut strip);
                    let lhs = conv.windows(&strip, [lines, ow], conv.strip(lines, w)[1], c);
                    let to = whole(&mut out[first * ow * n..], lines * ow, n, n);
                    gemm_f32(level, &lhs, weights, &Epilogue::default(), to);
                }
                for (got, expected) in out.iter().zip(&expected) {
                    let error = (f64::from(*got) - expected).abs();
                    assert!(error < 1e-5 * k as f64, "{level} {conv:?} over {h}x{w}x{c}");
                }
            }
        }
    }
}

#[test]
fn dense_convolution_in_bytes() {
    for (conv, [h, w, c], [oh, ow]) in cases() {
        let (n, k) = (19, conv.kernel[0] * conv.kernel[1] * c);
        let x = random(h * w * c, 1);
        let kernel: Vec<i8> = random(n * k, 2).iter().map(|x| (x * 127.0) as i8).collect();
        let wide: Vec<f32> = kernel.iter().map(|w| f32::from(*w)).collect();
        let expected = dense(&conv, [h, w, c], [oh, ow], &x, &wide, n);
        let packed_w = packed(&kernel, n, k);
        let weights = Packed::new(&packed_w, n, k).unwrap();
        let mut sums: Vec<f32> = wide.chunks(k).map(|row| row.iter().sum()).collect();
        sums.resize(32, 0.0);
        for level in Level::available() {
            let source = StripSource { image: &x, shape: [h, w, c], conv, first: 0, lines: oh };
            let mut strip = vec![99; source.len()];
            let [scale, zero] = quantize_strip(level, source, &mut strip);
            let width = conv.strip(oh, w)[1];
            let gathered;
            let lhs = if (conv.kernel[1] * c).is_multiple_of(4) {
                conv.windows(&strip, [oh, ow], width, c)
            } else {
                let k4 = k.next_multiple_of(4);
                let mut rows = vec![99; oh * ow * k4];
                gather_windows(&conv, &strip, [oh, ow], width, c, 4, &mut rows);
                gathered = rows;
                tiny_vlm_kernels::Lhs::matrix(&gathered, oh * ow, k4, k4)
            };
            let params = [scale, zero];
            let params = View::with_strides([oh * ow, 2], [0, 1], &params).unwrap();
            let quantized = Quantized { lhs, params };
            let mut out = vec![0.0; oh * ow * n];
            let to = whole(&mut out, oh * ow, n, n);
            gemm_s8(level, &quantized, weights, &[1.0; 32], &sums, &Epilogue::default(), to);
            for (got, expected) in out.iter().zip(&expected) {
                // Each value is off by at most a step, and by half of one nearly always.
                let bound = f64::from(scale) * 127.0 * k as f64;
                assert!((f64::from(*got) - expected).abs() <= bound, "{level} {conv:?} over {h}x{w}x{c}");
            }
        }
    }
}

#[test]
fn depthwise_convolution() {
    for (conv, [h, w, c], [oh, ow]) in cases() {
        let [kh, kw] = conv.kernel;
        let (x, weights, bias) = (random(h * w * c, 1), random(kh * kw * c, 2), random(c, 3));
        let input = DepthwiseInput { image: &x, shape: [h, w, c], conv };
        for activation in [Activation::None, Activation::Relu] {
            let epilogue = Epilogue { bias: Some(&bias), activation, ..Epilogue::default() };
            for level in Level::available() {
                let mut out = vec![0.0; oh * ow * c];
                let view = ViewMut::new([oh * ow, c], &mut out).unwrap();
                let channels = if activation == Activation::None { c } else { 16 };
                split::for_each_tile(&Inline, view, [2 * ow, channels], |first, part| {
                    depthwise(level, &input, &weights, &epilogue, OutMut::at(first, part));
                });
                for (at, got) in out.iter().enumerate() {
                    let (pixel, i) = (at / c, at % c);
                    let mut sum = f64::from(bias[i]);
                    taps(&conv, [h, w], [pixel / ow, pixel % ow], |[ky, kx], [y, x0]| {
                        sum +=
                            f64::from(x[(y * w + x0) * c + i]) * f64::from(weights[(ky * kw + kx) * c + i]);
                    });
                    if activation == Activation::Relu {
                        sum = sum.max(0.0);
                    }
                    assert!(
                        (f64::from(*got) - sum).abs() < 1e-5,
                        "{level} {conv:?} over {h}x{w}x{c} at {at}"
                    );
                }
            }
        }
    }
}

#[test]
fn pooling() {
    for (conv, [h, w, c], [oh, ow]) in cases() {
        let x = random(h * w * c, 1);
        let input = DepthwiseInput { image: &x, shape: [h, w, c], conv };
        for kind in [Pool::Max, Pool::Average] {
            for level in Level::available() {
                let mut out = vec![9.0; oh * ow * c];
                pool(level, &input, kind, whole(&mut out, oh * ow, c, c));
                for (at, got) in out.iter().enumerate() {
                    let (pixel, i) = (at / c, at % c);
                    let (mut sum, mut most, mut count) = (0.0, f32::NEG_INFINITY, 0.0);
                    taps(&conv, [h, w], [pixel / ow, pixel % ow], |_, [y, x0]| {
                        let v = x[(y * w + x0) * c + i];
                        (sum, most, count) = (sum + v, most.max(v), count + 1.0);
                    });
                    match kind {
                        Pool::Max => assert_eq!(*got, most, "{level} {conv:?}"),
                        Pool::Average if count == 0.0 => assert_eq!(*got, 0.0),
                        Pool::Average => assert!((got - sum / count).abs() < 1e-6, "{level} {conv:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn shapes_of_outputs() {
    assert_eq!(ConvShape::square(3, 2, 1).output([224, 224]), Some([112, 112]));
    assert_eq!(ConvShape::square(3, 1, 0).output([2, 9]), None);
    assert_eq!(ConvShape::square(0, 1, 0).output([2, 9]), None);
    assert_eq!(ConvShape::square(3, 0, 1).output([2, 9]), None);
    assert_eq!(ConvShape::square(1, 1, 1).output([0, 9]), None);
}

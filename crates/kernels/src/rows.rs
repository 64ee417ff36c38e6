//! Functions of whole rows: softmax and the two norms.

use tiny_vlm_simd::{Bf16Op, DotBf16, Isa, LANES, Level, Op};

use crate::math;

/// Each row becomes its softmax, `e^(scale·x − max) / Σ`. A row of nothing but −∞ becomes zeros.
///
/// # Panics
/// If the rows do not fit the slice.
pub fn softmax(level: Level, data: &mut [f32], rows: usize, columns: usize, stride: usize, scale: f32) {
    check(data.len(), rows, columns, stride);
    level.run(Softmax { data, rows, columns, stride, scale });
}

/// The [`softmax`] of one row, but for the factor that it returns.
pub(crate) fn softmax_unscaled(level: Level, row: &mut [f32], scale: f32) -> f32 {
    level.run(Unscaled { row, scale })
}

struct Unscaled<'a> {
    row: &'a mut [f32],
    scale: f32,
}

impl Op for Unscaled<'_> {
    type Output = f32;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        exponentials(isa, self.row, self.scale)
    }
}

/// As [`softmax_unscaled`] of the row's first `columns` values, which become bf16 in the first half of their bytes. Zeros
/// follow up to a whole vector.
///
/// # Panics
/// If the row is shorter than whole vectors of so many columns.
pub(crate) fn softmax_unscaled_bf16(level: Level, row: &mut [f32], columns: usize, scale: f32) -> f32 {
    assert!(columns.next_multiple_of(LANES) <= row.len(), "{columns} columns of {}", row.len());
    level.run_bf16(UnscaledBf16 { row, columns, scale })
}

struct UnscaledBf16<'a> {
    row: &'a mut [f32],
    columns: usize,
    scale: f32,
}

impl Bf16Op for UnscaledBf16<'_> {
    type Output = f32;
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) -> f32 {
        let less = negated_maximum(isa, &self.row[..self.columns], self.scale);
        let factor = isa.splat(self.scale * std::f32::consts::LOG2_E);
        let from = self.row.as_mut_ptr();
        let to = from.cast::<u16>();
        let mut sum = isa.splat(0.0);
        for at in (0..self.columns).step_by(LANES) {
            // SAFETY: the row has whole vectors of all columns, and a vector's 16 half-words lie before all that is still to
            // be read.
            unsafe {
                let mut e = math::exp2_below(isa, isa.fma(isa.load(from.add(at)), factor, less));
                if self.columns - at < LANES {
                    e = isa.select(below(isa, self.columns - at), e, isa.splat(0.0));
                }
                sum = isa.add(sum, e);
                isa.store_operands(to.add(at), e);
            }
        }
        inverse(isa.reduce_sum(sum))
    }
}

struct Softmax<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    scale: f32,
}

impl Op for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        for r in 0..self.rows {
            softmax_row(isa, &mut self.data[r * self.stride..][..self.columns], self.scale);
        }
    }
}

/// One row's softmax.
#[inline(always)]
pub(crate) fn softmax_row<I: Isa>(isa: I, row: &mut [f32], scale: f32) {
    let inverse = isa.splat(exponentials(isa, row, scale));
    let (whole, tail) = row.as_chunks_mut::<LANES>();
    for x in whole.iter_mut() {
        let y = isa.mul(isa.load_array(x), inverse);
        isa.store_array(x, y);
    }
    let y = isa.mul(isa.load_slice(tail), inverse);
    isa.store_slice(tail, y);
}

/// Replaces a row by `e^(scale·x − max)` and returns what its softmax is that times.
#[inline(always)]
pub(crate) fn exponentials<I: Isa>(isa: I, row: &mut [f32], scale: f32) -> f32 {
    let less = negated_maximum(isa, row, scale);
    let factor = isa.splat(scale * std::f32::consts::LOG2_E);
    let (whole, tail) = row.as_chunks_mut::<LANES>();
    let (pairs, last) = whole.as_chunks_mut::<2>();
    let mut sum = [isa.splat(0.0); 2];
    for [x, y] in pairs {
        let first = math::exp2_below(isa, isa.fma(isa.load_array(x), factor, less));
        let second = math::exp2_below(isa, isa.fma(isa.load_array(y), factor, less));
        sum = [isa.add(sum[0], first), isa.add(sum[1], second)];
        isa.store_array(x, first);
        isa.store_array(y, second);
    }
    for x in last {
        let e = math::exp2_below(isa, isa.fma(isa.load_array(x), factor, less));
        sum[0] = isa.add(sum[0], e);
        isa.store_array(x, e);
    }
    if !tail.is_empty() {
        let e = math::exp2_below(isa, isa.fma(isa.load_slice(tail), factor, less));
        sum[0] = isa.add(sum[0], isa.select(below(isa, tail.len()), e, isa.splat(0.0)));
        isa.store_slice(tail, e);
    }
    inverse(isa.reduce_sum(isa.add(sum[0], sum[1])))
}

/// In every lane what brings the largest of the scaled values to zero, in powers of two.
#[inline(always)]
fn negated_maximum<I: Isa>(isa: I, row: &[f32], scale: f32) -> I::F32 {
    let (whole, tail) = row.as_chunks::<LANES>();
    let lowest = isa.splat(f32::MIN);
    let factor = isa.splat(scale * std::f32::consts::LOG2_E);
    let first = isa.select(below(isa, tail.len()), isa.mul(isa.load_slice(tail), factor), lowest);
    let (fours, rest) = whole.as_chunks::<4>();
    let mut most = [first, lowest, lowest, lowest];
    for four in fours {
        // Constant numbers of accumulators, which would be in memory if the loop were to choose one of them.
        for i in 0..4 {
            most[i] = isa.max(most[i], isa.mul(isa.load_array(&four[i]), factor));
        }
    }
    for x in rest {
        most[0] = isa.max(most[0], isa.mul(isa.load_array(x), factor));
    }
    // A maximum no lower than the least number keeps a row of −∞ from being NaN.
    let most = isa.max(isa.max(most[0], most[1]), isa.max(most[2], most[3]));
    isa.splat(-isa.reduce_max(isa.max(most, lowest)))
}

fn inverse(sum: f32) -> f32 {
    if sum == 0.0 { 0.0 } else { 1.0 / sum }
}

/// The lanes below `n`.
#[inline(always)]
fn below<I: Isa>(isa: I, n: usize) -> I::Mask {
    const ONES: [f32; LANES] = [1.0; LANES];
    isa.gt(isa.load_slice(&ONES[..n]), isa.splat(0.0))
}

/// How a norm is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `(x − mean) / √(variance + ε)` (Ba et al., arXiv 1607.06450).
    Layer,
    /// `x / √(mean of squares + ε)` (Zhang and Sennrich, arXiv 1910.07467).
    Rms,
}

/// Weights of a norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Which.
    pub kind: NormKind,
    /// Factor of each column.
    pub weight: &'a [f32],
    /// Added to each column.
    pub bias: Option<&'a [f32]>,
    /// ε
    pub epsilon: f32,
}

/// Writes the norm of each row of `x` to `out`.
///
/// # Panics
/// If the rows do not fit the slices or the weights are not of a row's length.
pub fn norm(
    level: Level,
    x: &[f32],
    [rows, columns]: [usize; 2],
    strides: [usize; 2],
    n: &Norm<'_>,
    out: &mut [f32],
) {
    check(x.len(), rows, columns, strides[0]);
    check(out.len(), rows, columns, strides[1]);
    assert_eq!(n.weight.len(), columns, "norm weights for {rows}x{columns}");
    assert!(n.bias.is_none_or(|b| b.len() == columns), "norm bias for {rows}x{columns}");
    level.run(RowNorm { x, rows, columns, strides, n, out });
}

struct RowNorm<'a> {
    x: &'a [f32],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
    n: &'a Norm<'a>,
    out: &'a mut [f32],
}

impl Op for RowNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        for r in 0..self.rows {
            let x = &self.x[r * self.strides[0]..][..self.columns];
            let out = &mut self.out[r * self.strides[1]..][..self.columns];
            let mean = match self.n.kind {
                NormKind::Layer => isa.reduce_sum(sum(isa, x, isa.splat(0.0), false)) / x.len() as f32,
                NormKind::Rms => 0.0,
            };
            let variance = isa.reduce_sum(sum(isa, x, isa.splat(mean), true)) / x.len() as f32;
            let inverse = isa.splat(1.0 / (variance + self.n.epsilon).sqrt());
            let mean = isa.splat(mean);
            let (weight, weight_tail) = self.n.weight.as_chunks::<LANES>();
            let (bias, bias_tail) = self.n.bias.unwrap_or_default().as_chunks::<LANES>();
            let (x, x_tail) = x.as_chunks::<LANES>();
            let (out, out_tail) = out.as_chunks_mut::<LANES>();
            for (i, (x, out)) in x.iter().zip(out).enumerate() {
                let y = isa.mul(isa.sub(isa.load_array(x), mean), inverse);
                let weight = isa.load_array(&weight[i]);
                let y = match self.n.bias {
                    Some(_) => isa.fma(y, weight, isa.load_array(&bias[i])),
                    None => isa.mul(y, weight),
                };
                isa.store_array(out, y);
            }
            if !x_tail.is_empty() {
                let y = isa.mul(isa.sub(isa.load_slice(x_tail), mean), inverse);
                let weight = isa.load_slice(weight_tail);
                let y = match self.n.bias {
                    Some(_) => isa.fma(y, weight, isa.load_slice(bias_tail)),
                    None => isa.mul(y, weight),
                };
                isa.store_slice(out_tail, y);
            }
        }
    }
}

/// Sums over lanes of a row less its mean, or of the squares of that. Two accumulators hide the addition's latency.
#[inline(always)]
fn sum<I: Isa>(isa: I, row: &[f32], mean: I::F32, squares: bool) -> I::F32 {
    let (whole, tail) = row.as_chunks::<LANES>();
    let (pairs, whole) = whole.as_chunks::<2>();
    let (mut a, mut b) = (isa.splat(0.0), isa.splat(0.0));
    for [x, y] in pairs {
        a = term(isa, isa.load_array(x), mean, squares, a);
        b = term(isa, isa.load_array(y), mean, squares, b);
    }
    for x in whole {
        a = term(isa, isa.load_array(x), mean, squares, a);
    }
    if !tail.is_empty() {
        // Lanes beyond the row hold the mean and add nothing.
        b = term(isa, isa.select(below(isa, tail.len()), isa.load_slice(tail), mean), mean, squares, b);
    }
    isa.add(a, b)
}

#[inline(always)]
fn term<I: Isa>(isa: I, x: I::F32, mean: I::F32, squares: bool, acc: I::F32) -> I::F32 {
    let x = isa.sub(x, mean);
    if squares { isa.fma(x, x, acc) } else { isa.add(x, acc) }
}

fn check(len: usize, rows: usize, columns: usize, stride: usize) {
    let needed = if rows == 0 { Some(0) } else { (rows - 1).checked_mul(stride).map(|n| n + columns) };
    assert!(
        (rows <= 1 || stride >= columns) && needed.is_some_and(|n| n <= len),
        "{rows}x{columns} at stride {stride} does not fit {len} elements"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use crate::testing::shapes;

    #[test]
    fn softmax_sums_to_one_and_keeps_ratios() {
        for level in Level::available() {
            for (rows, columns) in shapes() {
                let stride = columns + 3;
                let x = random(rows * stride, 7 + columns as u64);
                let mut y = x.clone();
                softmax(level, &mut y, rows, columns, stride, 2.5);
                for r in 0..rows {
                    let row: Vec<f64> =
                        x[r * stride..][..columns].iter().map(|x| (2.5 * f64::from(*x)).exp()).collect();
                    let sum: f64 = row.iter().sum();
                    for c in 0..columns {
                        let (got, expected) = (f64::from(y[r * stride + c]), row[c] / sum);
                        assert!((got - expected).abs() <= 1e-6 * expected + 1e-9, "{level} {rows}x{columns}");
                    }
                    assert_eq!(y[r * stride + columns..][..3], x[r * stride + columns..][..3]);
                }
            }
        }
    }

    #[test]
    fn softmax_of_infinities() {
        for level in Level::available() {
            for columns in [1, 5, 16, 37] {
                let mut x = vec![f32::NEG_INFINITY; columns];
                softmax(level, &mut x, 1, columns, columns, 1.0);
                assert!(x.iter().all(|x| *x == 0.0), "{level} {columns}: {x:?}");
                let mut x = vec![f32::NEG_INFINITY; columns];
                x[columns / 2] = 3.0;
                softmax(level, &mut x, 1, columns, columns, 1.0);
                assert!((x[columns / 2] - 1.0).abs() < 1e-6, "{level} {columns}: {x:?}");
                let mut x = vec![f32::NAN; columns];
                softmax(level, &mut x, 1, columns, columns, 1.0);
                let mut x = vec![f32::INFINITY; columns];
                softmax(level, &mut x, 1, columns, columns, 1.0);
            }
        }
    }

    #[test]
    fn norms_follow_their_definitions() {
        for level in Level::available() {
            for (rows, columns) in shapes() {
                let (x, weight, bias) = (random(rows * columns, 1), random(columns, 2), random(columns, 3));
                for (kind, bias) in [(NormKind::Layer, Some(&bias[..])), (NormKind::Rms, None)] {
                    let n = Norm { kind, weight: &weight, bias, epsilon: 1e-5 };
                    let mut out = vec![0.0; rows * columns];
                    norm(level, &x, [rows, columns], [columns, columns], &n, &mut out);
                    for r in 0..rows {
                        let row: Vec<f64> =
                            x[r * columns..][..columns].iter().map(|x| f64::from(*x)).collect();
                        let count = columns as f64;
                        let mean =
                            if kind == NormKind::Layer { row.iter().sum::<f64>() / count } else { 0.0 };
                        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                        for c in 0..columns {
                            let y = (row[c] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[c])
                                + bias.map_or(0.0, |b| f64::from(b[c]));
                            let got = f64::from(out[r * columns + c]);
                            assert!(
                                (got - y).abs() <= 1e-5,
                                "{level} {kind:?} {rows}x{columns}: {got} for {y}"
                            );
                        }
                    }
                }
            }
        }
    }
}

//! Coefficients of a block to its samples: the inverse cosine transform of Loeffler, Ligtenberg and Moschytz in 13-bit
//! fixed point, rounded exactly as libjpeg's accurate integer method (`JDCT_ISLOW`) rounds it.
//!
//! Each pass treats eight columns at once, so that a row of eight numbers is a vector; between the passes the block is
//! transposed. Products and sums wrap: a valid file has none that are too large, and a broken one may show anything.

const FRACTION: u32 = 13;
/// Fractional bits that are kept between the passes.
const BETWEEN: u32 = 2;

type Row = [i32; 8];

#[inline(always)]
fn add(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

#[inline(always)]
fn sub(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
}

#[inline(always)]
fn mul(a: Row, factor: i32) -> Row {
    a.map(|v| v.wrapping_mul(factor))
}

/// One pass down the columns, then a rounding shift by `shift`.
#[inline(always)]
fn pass(rows: [Row; 8], shift: u32) -> [Row; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    // The even rows.
    let z = mul(add(r2, r6), 4433);
    let low = sub(z, mul(r6, 15137));
    let high = add(z, mul(r2, 6270));
    let sum = mul(add(r0, r4), 1 << FRACTION);
    let difference = mul(sub(r0, r4), 1 << FRACTION);
    let even = [add(sum, high), add(difference, low), sub(difference, low), sub(sum, high)];
    // The odd rows.
    let z1 = mul(add(r7, r1), -7373);
    let z2 = mul(add(r5, r3), -20995);
    let z3 = add(r7, r3);
    let z4 = add(r5, r1);
    let z5 = mul(add(z3, z4), 9633);
    let z3 = add(mul(z3, -16069), z5);
    let z4 = add(mul(z4, -3196), z5);
    let odd = [
        add(mul(r1, 12299), add(z1, z4)),
        add(mul(r3, 25172), add(z2, z3)),
        add(mul(r5, 16819), add(z2, z4)),
        add(mul(r7, 2446), add(z1, z3)),
    ];
    let half = 1 << (shift - 1);
    std::array::from_fn(|i| {
        let whole = if i < 4 { add(even[i], odd[i]) } else { sub(even[7 - i], odd[7 - i]) };
        whole.map(|v| v.wrapping_add(half) >> shift)
    })
}

#[inline(always)]
fn transposed(rows: [Row; 8]) -> [Row; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
}

/// Writes the samples of a block to eight rows that begin `stride` bytes apart.
#[inline(always)]
pub(super) fn block(coefficients: &[i16; 64], quantizers: &[u16; 64], out: &mut [u8], stride: usize) {
    if coefficients[1..].iter().fold(0, |all, &c| all | c) == 0 {
        let value = dequantized(coefficients[0], quantizers[0]);
        // What the passes make of a constant.
        let sample =
            sample((value.wrapping_mul(1 << BETWEEN).wrapping_add(1 << (BETWEEN + 2))) >> (BETWEEN + 3));
        for row in out.chunks_mut(stride).take(8) {
            row[..8].fill(sample);
        }
        return;
    }
    let rows: [Row; 8] = std::array::from_fn(|y| {
        std::array::from_fn(|x| dequantized(coefficients[y * 8 + x], quantizers[y * 8 + x]))
    });
    let columns = transposed(pass(rows, FRACTION - BETWEEN));
    let rows = transposed(pass(columns, FRACTION + BETWEEN + 3));
    for (row, out) in rows.iter().zip(out.chunks_mut(stride)) {
        out[..8].copy_from_slice(&row.map(sample));
    }
}

#[inline(always)]
fn dequantized(coefficient: i16, quantizer: u16) -> i32 {
    i32::from(coefficient).wrapping_mul(i32::from(quantizer))
}

#[inline(always)]
fn sample(centred: i32) -> u8 {
    centred.saturating_add(128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform as it is defined, in f64.
    fn reference(coefficients: &[i16; 64]) -> [f64; 64] {
        let scale = |i: usize| if i == 0 { 0.5f64.sqrt() } else { 1.0 };
        let wave = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos();
        std::array::from_fn(|i| {
            let (x, y) = (i % 8, i / 8);
            let sum: f64 = (0..64)
                .map(|k| {
                    let (u, v) = (k % 8, k / 8);
                    f64::from(coefficients[k]) * scale(u) * scale(v) * wave(x, u) * wave(y, v)
                })
                .sum();
            (sum / 4.0 + 128.0).clamp(0.0, 255.0)
        })
    }

    #[test]
    fn close_to_the_definition() {
        let mut state = 1u32;
        for _ in 0..200 {
            let mut coefficients = [0; 64];
            for c in coefficients.iter_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *c = (state >> 16) as i16 % 60;
            }
            let mut out = [0; 64];
            block(&coefficients, &[1; 64], &mut out, 8);
            for (a, b) in out.iter().zip(reference(&coefficients)) {
                assert!((f64::from(*a) - b).abs() < 1.0, "{a} for {b}");
            }
        }
    }

    #[test]
    fn a_constant_is_what_both_passes_make_of_it() {
        for value in -1100..1100 {
            let mut coefficients = [0; 64];
            coefficients[0] = value;
            let mut short = [0; 64];
            block(&coefficients, &[1; 64], &mut short, 8);
            let rows =
                std::array::from_fn(
                    |y| if y == 0 { [i32::from(value), 0, 0, 0, 0, 0, 0, 0] } else { [0; 8] },
                );
            let long = transposed(pass(transposed(pass(rows, FRACTION - BETWEEN)), FRACTION + BETWEEN + 3));
            assert!(long.as_flattened().iter().map(|&v| sample(v)).eq(short));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut out = [0; 64];
        for value in [i16::MIN, i16::MAX] {
            block(&[value; 64], &[u16::MAX; 64], &mut out, 8);
        }
    }
}

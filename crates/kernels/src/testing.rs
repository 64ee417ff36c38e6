//! What the tests of several kernels share: numbers, shapes and an error function.

/// Numbers in −1..1, the same for the same seed.
pub(crate) fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..n).map(|_| (next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Rows and columns around the edges of a vector.
pub(crate) fn shapes() -> Vec<(usize, usize)> {
    let mut shapes = vec![(0, 5), (3, 1), (1, 257)];
    shapes.extend([2, 3, 5, 13, 15, 16, 17, 31, 32, 33, 47, 48, 64, 67].map(|columns| (2, columns)));
    shapes
}

/// The error function: its Maclaurin series where that converges, 1 − its continued fraction beyond.
pub(crate) fn erf(x: f64) -> f64 {
    let t = x.abs();
    let y = if t < 3.0 {
        let (mut sum, mut term) = (t, t);
        for n in 1..80 {
            term *= -t * t / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let mut fraction = t;
        for n in (1..60).rev() {
            fraction = t + f64::from(n) / 2.0 / fraction;
        }
        1.0 - (-t * t).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    y.copysign(x)
}

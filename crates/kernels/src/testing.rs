//! What the tests of several kernels share: shapes and an error function.

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

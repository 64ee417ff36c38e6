//! Quadrilaterals on a page, and how much two of them share.

/// Corners in pixels, clockwise on screen: upper left, upper right, lower right, lower left of what is in it.
pub type Quad = [[f64; 2]; 4];

/// Corners of a polygon that four cuts of a quadrilateral can make: each adds one at most.
const MOST_CORNERS: usize = 8;

/// A convex polygon without a heap.
#[derive(Clone, Copy)]
struct Polygon {
    corners: [[f64; 2]; MOST_CORNERS],
    count: usize,
}

impl Polygon {
    fn new(quad: &Quad) -> Self {
        let mut corners = [[0.0; 2]; MOST_CORNERS];
        corners[..4].copy_from_slice(quad);
        Polygon { corners, count: 4 }
    }

    fn corners(&self) -> &[[f64; 2]] {
        &self.corners[..self.count]
    }

    /// Corners beyond what a convex polygon can have are dropped: only a twisted quad makes them.
    fn push(&mut self, corner: [f64; 2]) {
        if self.count < MOST_CORNERS {
            self.corners[self.count] = corner;
            self.count += 1;
        }
    }

    /// The part to the inner side of the edge from `a` to `b` (Sutherland and Hodgman, 1974).
    fn clip(&self, a: [f64; 2], b: [f64; 2]) -> Self {
        let side = |p: [f64; 2]| (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]);
        let mut out = Polygon { corners: [[0.0; 2]; MOST_CORNERS], count: 0 };
        let corners = self.corners();
        for (i, &p) in corners.iter().enumerate() {
            let q = corners[(i + 1) % corners.len()];
            let (at_p, at_q) = (side(p), side(q));
            if at_p >= 0.0 {
                out.push(p);
            }
            if (at_p >= 0.0) != (at_q >= 0.0) {
                let t = at_p / (at_p - at_q);
                out.push([p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t]);
            }
        }
        out
    }
}

/// The area of a polygon without crossings.
pub fn area(polygon: &[[f64; 2]]) -> f64 {
    let next = polygon.iter().cycle().skip(1);
    let total: f64 = polygon.iter().zip(next).map(|(&[x, y], &[u, v])| x * v - u * y).sum();
    total.abs() / 2.0
}

/// The area that two convex quads share, over the smaller one's area.
///
/// ```
/// use tiny_vlm_vision::overlap;
///
/// let wide = [[0.0, 0.0], [8.0, 0.0], [8.0, 2.0], [0.0, 2.0]];
/// let small = [[6.0, 0.0], [10.0, 0.0], [10.0, 1.0], [6.0, 1.0]];
/// assert_eq!(overlap(&wide, &small), 0.5);
/// ```
pub fn overlap(a: &Quad, b: &Quad) -> f64 {
    let mut polygon = Polygon::new(a);
    for i in 0..4 {
        polygon = polygon.clip(b[i], b[(i + 1) % 4]);
        if polygon.count == 0 {
            return 0.0;
        }
    }
    area(polygon.corners()) / area(a).min(area(b)).max(1e-9)
}

/// The smallest upright rectangle around a quad: left, top, right, bottom.
pub fn bounds(quad: &Quad) -> [f64; 4] {
    let [mut left, mut top] = quad[0];
    let [mut right, mut bottom] = quad[0];
    for &[x, y] in &quad[1..] {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    [left, top, right, bottom]
}

/// The distance between two points.
pub(crate) fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twisted_and_broken_quads_are_harmless() {
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let twisted = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let nowhere = [[f64::NAN; 2]; 4];
        let far = [[f64::INFINITY, 0.0], [f64::NEG_INFINITY, 0.0], [1.0, f64::INFINITY], [0.0, 1.0]];
        for quad in [twisted, nowhere, far, [[0.0; 2]; 4]] {
            overlap(&square, &quad);
            overlap(&quad, &square);
            overlap(&quad, &quad);
        }
        assert_eq!(overlap(&square, &square), 1.0);
    }
}

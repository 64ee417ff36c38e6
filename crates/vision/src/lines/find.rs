//! From the lines network's map to lines: threshold, components, a straight line through each, a strip around it.

use tiny_vlm_tensor::View;

use super::components::Components;
use crate::config::LinesConfig;
use crate::quad::{Quad, bounds, overlap};

/// A line of print that was found but not read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundLine {
    /// The strip to be cut out, in pixels of the picture.
    pub quad: Quad,
    /// How sure the finder is, 0 to 1.
    pub score: f64,
}

/// The most lines of a picture, at all levels, that are read: this bounds the time for a page.
pub const MOST_LINES: usize = 1000;

/// Lines that cover each other by this share of the smaller one are one line.
const SAME: f64 = 0.4;

/// Cap heights, in cells, that a level sees best.
const BEST_CAPS: std::ops::RangeInclusive<f64> = 3.0..=12.0;

/// A straight line through a component, in cells.
struct Fit {
    centre: [f64; 2],
    direction: [f64; 2],
    /// From where to where it reaches along its direction.
    reach: [f64; 2],
    /// Cap height in pixels of the level.
    cap: f64,
    score: f64,
}

/// Lines in one level's map `[rows, columns, 2]` of a picture of `size` (width, height), in pixels of the picture.
pub fn find_lines(map: View<'_, f32, 3>, size: [usize; 2], rules: &LinesConfig) -> Vec<FoundLine> {
    let [rows, columns, channels] = map.shape();
    let Some(map) = map.data().filter(|_| channels == 2) else {
        return Vec::new();
    };
    let scale = [size[0] as f64 / columns as f64, size[1] as f64 / rows as f64];
    let probability = |cell: usize| 1.0 / (1.0 + (-map[2 * cell]).exp());
    let components = Components::of(rows, columns, |cell| probability(cell) >= rules.core as f32);
    let mut found = Vec::new();
    for cells in components.iter() {
        let fit = fit_line(cells, columns, |cell| [probability(cell), map[2 * cell + 1]].map(f64::from));
        let [low, high] = fit.reach;
        let visible = (rules.cap_range[0]..=rules.cap_range[1]).contains(&fit.cap);
        if !visible || (high - low) * 4.0 < 0.35 * fit.cap || fit.score < 0.5 {
            continue;
        }
        let cap = fit.cap / 4.0; // pixels of the level to cells
        let (low, high) = (low - rules.ends * cap, high + rules.ends * cap);
        let (above, below) = (-(0.5 + rules.above) * cap, (0.5 + rules.below) * cap);
        let ([cx, cy], [ux, uy]) = (fit.centre, fit.direction);
        let quad = [[low, above], [high, above], [high, below], [low, below]]
            .map(|[a, b]| [(cx + a * ux - b * uy) * scale[0], (cy + a * uy + b * ux) * scale[1]]);
        let sharp = if BEST_CAPS.contains(&cap) { 1.0 } else { 0.8 };
        found.push(FoundLine { quad, score: fit.score * sharp });
    }
    found
}

/// The principal axis of a component's cells, weighted by `at(cell)[0]`, if it is long enough to have one; and the mean
/// of `at(cell)[1]`, the logarithm of the cap height.
fn fit_line(cells: &[u32], columns: usize, at: impl Fn(usize) -> [f64; 2]) -> Fit {
    let place = |cell: u32| [(cell as usize % columns) as f64 + 0.5, (cell as usize / columns) as f64 + 0.5];
    let [mut total, mut cx, mut cy, mut cap] = [0.0; 4];
    for &cell in cells {
        let ([x, y], [weight, log_cap]) = (place(cell), at(cell as usize));
        total += weight;
        cx += x * weight;
        cy += y * weight;
        cap += log_cap * weight;
    }
    let [cx, cy, cap] = [cx, cy, cap].map(|sum| sum / total);
    let [mut xx, mut yy, mut xy] = [0.0; 3];
    for &cell in cells {
        let ([x, y], weight) = (place(cell), at(cell as usize)[0]);
        let (x, y) = (x - cx, y - cy);
        xx += x * x * weight;
        yy += y * y * weight;
        xy += x * y * weight;
    }
    let [xx, yy, xy] = [xx, yy, xy].map(|sum| sum / total);
    let spread = ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt();
    let (long, short) = ((xx + yy + spread) / 2.0, (xx + yy - spread) / 2.0);
    let angle = if long > 6.0 * (short + 0.1) { 0.5 * (2.0 * xy).atan2(xx - yy) } else { 0.0 };
    let (uy, ux) = angle.sin_cos();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for &cell in cells {
        let [x, y] = place(cell);
        let along = (x - cx) * ux + (y - cy) * uy;
        (low, high) = (low.min(along), high.max(along));
    }
    Fit {
        centre: [cx, cy],
        direction: [ux, uy],
        reach: [low - 0.5, high + 0.5],
        cap: 16.0 * cap.exp2(),
        score: total / cells.len() as f64,
    }
}

/// Width and height of a picture of `size` at a level: `level` pixels along its longer side, whole strides of the network.
///
/// ```
/// assert_eq!(tiny_vlm_vision::level_size([640, 100], 288), [288, 48]);
/// ```
pub fn level_size(size: [usize; 2], level: usize) -> [usize; 2] {
    let scale = level as f64 / size[0].max(size[1]) as f64;
    size.map(|side| ((side as f64 * scale / 16.0 + 0.5).floor() as usize * 16).max(16))
}

/// Puts the most certain lines first and drops all but [`MOST_LINES`] of them.
pub fn surest_lines(mut lines: Vec<FoundLine>) -> Vec<FoundLine> {
    lines.sort_by(|a, b| {
        let place = |l: &FoundLine| l.quad[0];
        (b.score.total_cmp(&a.score))
            .then(place(a)[1].total_cmp(&place(b)[1]))
            .then(place(a)[0].total_cmp(&place(b)[0]))
    });
    lines.truncate(MOST_LINES);
    lines
}

/// Which lines to keep of several levels: of those that cover each other, the one with the highest score; highest first.
/// Scores nearer than a thousandth are the same, and the earlier line is kept.
pub fn merge_levels(lines: &[(Quad, f64)]) -> Vec<usize> {
    let rank = |i: usize| -(1000.0 * lines[i].1 + 0.5).floor();
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| rank(a).total_cmp(&rank(b)));
    let mut kept: Vec<(usize, [f64; 4])> = Vec::new();
    for line in order {
        let quad = &lines[line].0;
        let bounds = bounds(quad);
        // Most lines are far from most others, which their bounds tell faster.
        let same = |(other, around): &(usize, [f64; 4])| {
            let apart = (0..2).any(|i| bounds[i] > around[i + 2] || around[i] > bounds[i + 2]);
            !apart && overlap(quad, &lines[*other].0) >= SAME
        };
        if !kept.iter().any(same) {
            kept.push((line, bounds));
        }
    }
    kept.into_iter().map(|(line, _)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Tensor;

    #[test]
    fn numbers_that_are_none_find_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let nowhere = Tensor::from_fn([4, 5, 2], |[_, _, channel]| if channel == 0 { bad } else { 0.0 });
            let no_cap = Tensor::from_fn([4, 5, 2], |[_, _, channel]| if channel == 0 { 4.0 } else { bad });
            for map in [&nowhere, &no_cap] {
                for line in find_lines(map.view(), [40, 30], &LinesConfig::default()) {
                    assert!(line.quad.iter().flatten().all(|c| c.is_finite()));
                }
            }
        }
    }

    #[test]
    fn far_too_many_lines_are_cut_off() {
        let quad = |i: usize| {
            let (x, y) = ((i % 100) as f64 * 20.0, (i / 100) as f64 * 20.0);
            [[x, y], [x + 16.0, y], [x + 16.0, y + 9.0], [x, y + 9.0]]
        };
        let lines: Vec<_> =
            (0..4000).map(|i| FoundLine { quad: quad(i), score: i as f64 / 4000.0 }).collect();
        let kept = surest_lines(lines);
        assert_eq!(kept.len(), MOST_LINES);
        assert_eq!(kept[0].quad, quad(3999));
    }
}

//! In which order a person reads the lines of a page.
//!
//! A recursive cut (Nagy and Seth, 1984) over the lines' middles: columns are parted by a gap wider than half a line is
//! high that has two lines or more on either side; otherwise the page is parted at its widest horizontal gap.

use crate::quad::{Quad, bounds};

/// The part of a strip's height by which it reaches beyond its print, above and below; to the sides it may be twice that.
const INSET: f64 = 0.2;

/// Between two columns, in heights of a line.
const COLUMN_GAP: f64 = 0.5;

/// Left, top, right, bottom.
type Box4 = [f64; 4];

/// Indices of lines as a person reads them: columns left to right where the page has columns, else top to bottom.
///
/// ```
/// use tiny_vlm_vision::reading_order;
///
/// let line = |x: f64, y: f64| [[x, y], [x + 80.0, y], [x + 80.0, y + 10.0], [x, y + 10.0]];
/// let two_columns = [line(100.0, 12.0), line(0.0, 24.0), line(100.0, 24.0), line(0.0, 12.0)];
/// assert_eq!(reading_order(&two_columns), [3, 1, 0, 2]);
/// ```
pub fn reading_order(quads: &[Quad]) -> Vec<usize> {
    let boxes: Vec<Box4> = quads.iter().map(middle).collect();
    let mut heights: Vec<f64> = boxes.iter().map(|b| b[3] - b[1]).collect();
    heights.sort_by(f64::total_cmp);
    let line_height = heights.get(heights.len() / 2).copied().unwrap_or_default();
    let mut order = Vec::with_capacity(quads.len());
    // Parts of the page still to be read, the next one last.
    let mut parts = vec![(0..quads.len()).collect::<Vec<_>>()];
    while let Some(items) = parts.pop() {
        match (items.len() > 1).then(|| cut(&boxes, &items, line_height)).flatten() {
            Some((first, second)) => parts.extend([second, first]),
            None => order.extend(rows(&boxes, items)),
        }
    }
    order
}

/// Around a line's print: strips are a little larger, and those of neighbours overlap.
fn middle(quad: &Quad) -> Box4 {
    let [left, top, right, bottom] = bounds(quad);
    let inset = INSET * (quad[3][1] - quad[0][1] + quad[2][1] - quad[1][1]) / 2.0;
    let aside = (2.0 * inset).min(0.25 * (right - left));
    [left + aside, top + inset, right - aside, bottom - inset]
}

/// The two parts of a page, if something parts it.
fn cut(boxes: &[Box4], items: &[usize], line_height: f64) -> Option<(Vec<usize>, Vec<usize>)> {
    let select = |keep: &dyn Fn(&Box4) -> bool| -> Vec<usize> {
        items.iter().copied().filter(|&i| keep(&boxes[i])).collect()
    };
    // Lines whose sides are not in order could be in both parts or in none.
    let whole = |a: &[usize], b: &[usize]| !a.is_empty() && !b.is_empty() && a.len() + b.len() == items.len();
    for (start, end) in gaps(items.iter().map(|&i| (boxes[i][0], boxes[i][2]))) {
        if end - start > COLUMN_GAP * line_height {
            let (left, right) = (select(&|b| b[2] <= start), select(&|b| b[0] >= end));
            if left.len() >= 2 && right.len() >= 2 && whole(&left, &right) {
                return Some((left, right));
            }
        }
    }
    let mut widest: Option<(f64, f64)> = None;
    for (start, end) in gaps(items.iter().map(|&i| (boxes[i][1], boxes[i][3]))) {
        if widest.is_none_or(|(from, to)| end - start > to - from) {
            widest = Some((start, end));
        }
    }
    let (start, end) = widest?;
    let (upper, lower) = (select(&|b| b[3] <= start), select(&|b| b[1] >= end));
    whole(&upper, &lower).then_some((upper, lower))
}

/// Empty stretches between intervals, in order.
fn gaps(spans: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut found = Vec::new();
    let mut reach: Option<f64> = None;
    for (low, high) in spans {
        match reach {
            Some(reach) if low > reach => found.push((reach, low)),
            _ => {}
        }
        reach = Some(reach.map_or(high, |reach| reach.max(high)));
    }
    found
}

/// Lines that nothing parts, row by row: a line whose middle is above the foot of a row's first one is in that row.
fn rows(boxes: &[Box4], mut items: Vec<usize>) -> Vec<usize> {
    let level = |i: usize| boxes[i][1] + boxes[i][3];
    items.sort_by(|&a, &b| level(a).total_cmp(&level(b)).then(boxes[a][0].total_cmp(&boxes[b][0])));
    let mut start = 0;
    for at in 1..=items.len() {
        if at == items.len() || level(items[at]) / 2.0 > boxes[items[start]][3] {
            items[start..at].sort_by(|&a, &b| boxes[a][0].total_cmp(&boxes[b][0]));
            start = at;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_once_whatever_its_corners() {
        let strange = [
            [[0.0, 9.0], [4.0, 9.0], [4.0, 0.0], [0.0, 0.0]],
            [[f64::NAN; 2]; 4],
            [[5.0, 5.0]; 4],
            [[0.0, f64::INFINITY], [4.0, 0.0], [4.0, f64::NEG_INFINITY], [0.0, 1.0]],
            [[9.0, 1.0], [3.0, 1.0], [3.0, 2.0], [9.0, 2.0]],
        ];
        for count in 0..=strange.len() {
            let mut order = reading_order(&strange[..count]);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count));
        }
    }
}

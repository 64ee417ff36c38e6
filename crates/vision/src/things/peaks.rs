//! From the things head's map to things: local maxima, boxes, one for each thing.

use tiny_vlm_tensor::View;

use crate::config::ThingsConfig;

/// Something in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thing {
    /// How sure the finder is, 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom as fractions of the picture; they may lie a little outside of it.
    pub bounds: [f64; 4],
}

/// Logarithms of sides, in cells, are cut off here.
const LARGEST_LOG_SIDE: f64 = 4.0;

/// Things in a map `[n, n, 5]` of centre logit, log width, log height, dx and dy, in cells: at most `rules.most`, none
/// overlapping another, from left to right. Of those that overlap the one with the largest product of certainty and mean
/// side stays: a part of a thing may well be more certain than the whole.
pub fn find_things(map: View<'_, f32, 3>, rules: &ThingsConfig) -> Vec<Thing> {
    let [rows, columns, channels] = map.shape();
    let Some(map) = map.data().filter(|_| channels == 5) else {
        return Vec::new();
    };
    let heat: Vec<f32> = map.iter().step_by(5).map(|&logit| 1.0 / (1.0 + (-logit).exp())).collect();
    let around = |cell: usize| {
        let (row, column) = (cell / columns, cell % columns);
        let across = column.saturating_sub(1)..(column + 2).min(columns);
        (row.saturating_sub(1)..(row + 2).min(rows))
            .flat_map(move |r| across.clone().map(move |c| r * columns + c))
    };
    let is_peak = |&cell: &usize| {
        heat[cell] >= rules.heat as f32 && around(cell).all(|neighbour| heat[cell] >= heat[neighbour])
    };
    let thing = |cell: usize| {
        let (row, column) = ((cell / columns) as f64, (cell % columns) as f64);
        let [log_width, log_height, dx, dy] = [1, 2, 3, 4].map(|i| f64::from(map[5 * cell + i]));
        let (cx, cy) = ((column + 0.5 + dx) / columns as f64, (row + 0.5 + dy) / rows as f64);
        let [w, h] = [log_width, log_height].map(|log| log.min(LARGEST_LOG_SIDE).exp());
        let (w, h) = (w / columns as f64, h / rows as f64);
        Thing { score: heat[cell], bounds: [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0] }
    };
    let is_finite = |thing: &Thing| thing.bounds.iter().all(|side| side.is_finite());
    let mut candidates: Vec<(f64, Thing)> = (0..heat.len())
        .filter(is_peak)
        .map(thing)
        .filter(is_finite)
        .map(|thing| (f64::from(thing.score) * mean_side(&thing.bounds), thing))
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut found: Vec<Thing> = Vec::new();
    for (_, thing) in candidates {
        if found.len() == rules.most {
            break;
        }
        if found.iter().all(|other| share(&thing.bounds, &other.bounds) <= rules.overlap) {
            found.push(thing);
        }
    }
    found.sort_by(|a, b| {
        let middle = |thing: &Thing, axis: usize| thing.bounds[axis] + thing.bounds[axis + 2];
        middle(a, 0).total_cmp(&middle(b, 0)).then(middle(a, 1).total_cmp(&middle(b, 1)))
    });
    found
}

/// The geometric mean of the sides that a box has inside the picture.
fn mean_side(bounds: &[f64; 4]) -> f64 {
    let [left, top, right, bottom] = bounds.map(|side| side.clamp(0.0, 1.0));
    ((right - left) * (bottom - top)).sqrt()
}

/// The area that two boxes share over the smaller one's.
fn share(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let side = |axis: usize| a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis]);
    let (w, h) = (side(0), side(1));
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let area = |b: &[f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    w * h / area(a).min(area(b))
}

/// The whole pixels of a picture of `size` (width, height) that show a thing: a square `grow` times its longer side,
/// moved inside the picture, and cut off only where the picture is smaller. Left, top, right, bottom.
///
/// ```
/// use tiny_vlm_vision::glimpse_box;
///
/// assert_eq!(glimpse_box(&[0.4, 0.5, 0.6, 0.6], [100, 50], 1.2), [38, 16, 62, 40]);
/// assert_eq!(glimpse_box(&[0.0, 0.0, 1.0, 1.0], [100, 50], 1.2), [0, 0, 100, 50]);
/// ```
pub fn glimpse_box(bounds: &[f64; 4], size: [usize; 2], grow: f64) -> [usize; 4] {
    let [width, height] = size.map(|n| n as f64);
    let [x0, y0, x1, y1] = [bounds[0] * width, bounds[1] * height, bounds[2] * width, bounds[3] * height];
    let side = grow * (x1 - x0).max(y1 - y0);
    let span = |centre: f64, length: f64| {
        let size = (side + 0.5).floor().min(length).max(1.0);
        let start = (centre - size / 2.0 + 0.5).floor().max(0.0).min(length - size);
        [start as usize, (start + size) as usize]
    };
    let ([left, right], [top, bottom]) = (span((x0 + x1) / 2.0, width), span((y0 + y1) / 2.0, height));
    [left, top, right, bottom]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Tensor;

    #[test]
    fn maps_of_no_numbers_have_no_things_outside_all_numbers() {
        let rules = ThingsConfig::default();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for channel in 0..5 {
                let map = Tensor::from_fn([4, 4, 5], |[_, _, c]| if c == channel { bad } else { 1.0 });
                for thing in find_things(map.view(), &rules) {
                    assert!(thing.bounds.iter().all(|side| side.is_finite()));
                }
            }
        }
    }

    #[test]
    fn a_glimpse_lies_inside_whatever_the_box() {
        let sides = [0.0, 0.5, -3.0, 7.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for size in [[1, 1], [1, 900], [33, 20]] {
            for a in sides {
                for b in sides {
                    let [left, top, right, bottom] = glimpse_box(&[a, b, b, a], size, 1.2);
                    assert!(left < right && right <= size[0] && top < bottom && bottom <= size[1]);
                }
            }
        }
    }
}

//! Which of a table's positions the patches of a row or column take.

/// The position that each of `patches` patches side by side takes of the `positions` in a table that was learned for
/// full tiles: where its left edge falls, in fractions of the whole (Dehghani et al., 2023, arXiv:2307.06304).
///
/// The fractions are those of 32-bit floats as PyTorch computes them, since the published models were trained so: for some
/// sizes, 19 the least of them, not even a full tile takes its positions in order.
///
/// ```
/// assert_eq!(tiny_vlm_vision::position_of_patches(4, 4), [0, 1, 2, 3]);
/// assert_eq!(tiny_vlm_vision::position_of_patches(2, 4), [0, 2]);
/// ```
pub fn position_of_patches(patches: usize, positions: usize) -> Vec<usize> {
    let step = 1.0 / positions as f64;
    // The edges between positions: from one step on, below the end.
    let edges = ((1.0 - step) / step).ceil().max(0.0) as usize;
    let edges: Vec<f32> = (0..edges).map(|index| edge(index, edges, step)).collect();
    let width = 1.0 / patches as f32;
    let place = |patch: usize| {
        let left = (patch as f32 * width).min(1.0 - 1e-6);
        edges.iter().filter(|&&edge| edge <= left).count()
    };
    (0..patches).map(place).collect()
}

/// Edge `index` of `count` that are a step apart, rounded as `torch.arange` does it: in runs of sixteen, the first of each
/// eight is rounded before lanes are added to it.
fn edge(index: usize, count: usize, step: f64) -> f32 {
    let at = |index: usize| step + index as f64 * step;
    if index >= count / 16 * 16 {
        return at(index) as f32;
    }
    let first = at(index / 8 * 8) as f32;
    (f64::from(first) + (index % 8) as f64 * step) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PyTorch 2.15 finds for full tiles.
    #[test]
    fn rounding_is_the_references() {
        let in_order = |side: usize| position_of_patches(side, side).into_iter().eq(0..side);
        let out_of_order: Vec<usize> = (1..=128).filter(|&side| !in_order(side)).collect();
        let expected = [
            19, 25, 29, 31, 38, 40, 41, 43, 47, 49, 50, 54, 55, 58, 59, 61, 62, 67, 68, 71, 72, 73, 74, 76,
            77, 80, 82, 83, 84, 86, 87, 93, 94, 97, 98, 99, 100, 101, 103, 107, 108, 109, 110, 111, 113, 115,
            116, 118, 121, 122, 123, 124, 127,
        ];
        assert_eq!(out_of_order, expected);
        assert_eq!(position_of_patches(19, 19)[10..13], [10, 11, 11]);
    }
}

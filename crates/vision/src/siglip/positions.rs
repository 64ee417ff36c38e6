//! Which of a table's positions the patches of a row or column take.

/// The position that each of `patches` patches side by side takes of the `positions` in a table that was learned for
/// full tiles: where its left edge falls, in fractions of the whole (Dehghani et al., 2023, arXiv:2307.06304).
///
/// The fractions are those of 32-bit floats, as the published models compute them: a full tile does not take its
/// positions in order for every size.
///
/// ```
/// assert_eq!(tiny_vlm_vision::position_of_patches(4, 4), [0, 1, 2, 3]);
/// assert_eq!(tiny_vlm_vision::position_of_patches(2, 4), [0, 2]);
/// ```
pub fn position_of_patches(patches: usize, positions: usize) -> Vec<usize> {
    let step = 1.0 / positions as f64;
    // The edges between positions: from one step on, below the end.
    let edges = ((1.0 - step) / step).ceil().max(0.0) as usize;
    let edge = |index: usize| (step + index as f64 * step) as f32;
    let width = 1.0 / patches as f32;
    let place = |patch: usize| {
        let left = (patch as f32 * width).min(1.0 - 1e-6);
        (0..edges).filter(|&index| edge(index) <= left).count()
    };
    (0..patches).map(place).collect()
}

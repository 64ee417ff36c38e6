//! Matrices without the 16×16 blocks of weights that are zero, and pruning, which makes such blocks.

use tiny_vlm_kernels::{BLOCK, Element, Pattern, Sparse, pack_blocks};
use tiny_vlm_memory::{AlignedVec, Elements};

use crate::QuantError;
use crate::quantizer::{check_finite, check_length};

/// The blocks of a matrix that are not all zero.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<T: bytemuck::Pod> {
    pub(crate) pattern: Pattern,
    pub(crate) values: Elements<T>,
}

impl<T: Element + PartialEq + bytemuck::Pod> Blocks<T> {
    /// Packs `n` rows of `k` weights.
    pub(crate) fn pack(n: usize, k: usize, weights: &[T]) -> Result<Self, QuantError> {
        let too_large = || QuantError::TooLarge { n, k };
        let pattern = Pattern::of(weights, n, k).ok_or_else(too_large)?;
        let mut values = AlignedVec::try_zeroed(pattern.elements()).map_err(|_| too_large())?;
        pack_blocks(weights, &pattern, &mut values);
        Ok(Blocks { pattern, values: values.into() })
    }

    /// The matrix as kernels take it.
    pub(crate) fn view(&self) -> Sparse<'_, T> {
        Sparse::new(&self.pattern, &self.values).expect("a matrix holds the blocks of its pattern")
    }

    /// Bytes of blocks and pattern.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.values[..])
            + size_of_val(self.pattern.starts())
            + size_of_val(self.pattern.columns())
    }

    /// Writes a row.
    pub(crate) fn row(&self, row: usize, out: &mut [f32], widen: impl Fn(T) -> f32) {
        let weights = self.view();
        out.iter_mut().enumerate().for_each(|(column, out)| *out = widen(weights.get(row, column)));
    }
}

/// Sets the 16×16 blocks of least energy, the sum of the squares of their weights, to zero, so that a share of
/// `density` of them is left (rounded to the nearest number of blocks; of blocks alike the first are left).
///
/// What that loses is measured as any rounding is: [`compare_weights`](crate::compare_weights) and
/// [`compare_products`](crate::compare_products) with the matrix made of what this returns.
///
/// ```
/// use tiny_vlm_quant::{Matrix, Precision, compare_weights, prune_blocks};
///
/// let (n, k) = (64, 64);
/// let weights: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.7).sin() * (i / 1024) as f32).collect();
/// let pruned = prune_blocks(n, k, &weights, 0.5)?;
/// let sparse = Matrix::from_f32(n, k, &pruned, Precision::F32Sparse)?;
/// assert!(sparse.bytes() < 4 * n * k * 51 / 100);
/// // The last two of four rows of blocks have 13 of 14 parts of the energy.
/// assert!((compare_weights(&weights, &sparse)?.noise() - 1.0 / 14.0).abs() < 0.01);
/// # Ok::<(), tiny_vlm_quant::QuantError>(())
/// ```
///
/// # Errors
/// If the length is not `n · k`, a weight is not finite or the density is not in 0..=1.
pub fn prune_blocks(n: usize, k: usize, weights: &[f32], density: f64) -> Result<Vec<f32>, QuantError> {
    check_length("weights", n, k, weights.len())?;
    check_finite("weight", weights)?;
    if !(0.0..=1.0).contains(&density) {
        return Err(QuantError::Density { density });
    }
    let across = k.div_ceil(BLOCK);
    let block = |at: usize| at / k / BLOCK * across + at % k / BLOCK;
    let mut energies = vec![0.0_f64; n.div_ceil(BLOCK) * across];
    for (at, w) in weights.iter().enumerate() {
        energies[block(at)] += f64::from(*w).powi(2);
    }
    let mut order: Vec<usize> = (0..energies.len()).collect();
    order.sort_by(|a, b| energies[*b].total_cmp(&energies[*a]));
    let mut kept = vec![false; energies.len()];
    let left = (density * energies.len() as f64).round() as usize;
    order[..left].iter().for_each(|block| kept[*block] = true);
    Ok(weights.iter().enumerate().map(|(at, w)| if kept[block(at)] { *w } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_most_energy_are_left() {
        let (n, k) = (20, 33);
        // Two by three blocks: those at the ends are narrow, and one of them has a single large weight.
        let mut weights = vec![1.0; n * k];
        weights[17 * k + 32] = -40.0;
        let pruned = prune_blocks(n, k, &weights, 0.5).unwrap();
        for (at, (w, pruned)) in weights.iter().zip(&pruned).enumerate() {
            let kept = matches!((at / k / 16, at % k / 16), (0, 0 | 1) | (1, 2));
            assert_eq!(*pruned, if kept { *w } else { 0.0 }, "at {}, {}", at / k, at % k);
        }
        assert_eq!(prune_blocks(n, k, &weights, 1.0).unwrap(), weights);
        assert_eq!(prune_blocks(n, k, &weights, 0.0).unwrap(), vec![0.0; n * k]);
        assert!(prune_blocks(0, 7, &[], 0.5).unwrap().is_empty());
    }

    #[test]
    fn densities_and_weights_are_checked() {
        let error = prune_blocks(1, 1, &[1.0], 1.5).unwrap_err().to_string();
        assert_eq!(error, "a density of 1.5, which is no share");
        assert!(matches!(prune_blocks(1, 1, &[1.0], f64::NAN), Err(QuantError::Density { .. })));
        assert!(matches!(prune_blocks(1, 1, &[f32::NAN], 0.5), Err(QuantError::NotFinite { .. })));
        assert!(matches!(prune_blocks(1, 2, &[1.0], 0.5), Err(QuantError::Length { .. })));
    }
}

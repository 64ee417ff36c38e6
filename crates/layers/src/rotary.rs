//! Rotary position embedding (Su et al., 2021, arXiv:2104.09864) of the tokens of a batch.

use tiny_vlm_kernels::{Pairing, rotate};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, split};

use crate::{LayerError, Sequence};

/// Tokens that one task turns: some microseconds of work.
const TASK_TOKENS: usize = 32;

/// The angles that each token of a batch turns by, worked out once for all layers.
#[derive(Debug, Clone, Copy)]
pub struct Rotary<'a> {
    /// Cosines and then sines of each token: `head_dim` numbers a row.
    table: &'a [f32],
    half: usize,
}

impl<'a> Rotary<'a> {
    /// Fills `table`, which has `head_dim` numbers for each token of the batch, for positions that go on from what
    /// the sequences' caches hold.
    ///
    /// Frequencies and angles are rounded to f32 where the reference rounds them: at position 1000 that is what
    /// tells two implementations apart.
    pub fn fill(
        table: &'a mut [f32],
        head_dim: usize,
        theta: f32,
        batch: &[Sequence<'_>],
    ) -> Result<Self, LayerError> {
        if !head_dim.is_multiple_of(2) {
            return Err(LayerError::OddHead { dim: head_dim });
        }
        let half = head_dim / 2;
        let positions = batch.iter().flat_map(|sequence| {
            let first = sequence.cache.len();
            first..first + sequence.input.tokens()
        });
        for i in 0..half {
            let frequency = 1.0 / theta.powf((2 * i) as f32 / head_dim as f32);
            for (row, position) in table.chunks_exact_mut(head_dim).zip(positions.clone()) {
                (row[half + i], row[i]) = (position as f32 * frequency).sin_cos();
            }
        }
        Ok(Self { table, half })
    }

    /// Turns every head of every token.
    pub(crate) fn turn(&self, ctx: &Context<'_>, tokens: &mut [f32], width: usize) {
        let level = Level::detect();
        split::for_each_chunk(ctx.executor, tokens, TASK_TOKENS * width, |task, tokens| {
            let rows = self.table.chunks_exact(2 * self.half).skip(task * TASK_TOKENS);
            for (token, row) in tokens.chunks_exact_mut(width).zip(rows) {
                let (cosines, sines) = row.split_at(self.half);
                rotate(level, token, cosines, sines, Pairing::Halves);
            }
        });
    }
}

//! In WebAssembly there is nobody beside us: the other libraries want threads.

use anyhow::Result;
use tiny_vlm_quant::Precision;

use crate::timing::Contestant;

pub(crate) struct Pool;

impl Pool {
    pub(crate) fn new(_threads: usize) -> Result<Pool> {
        Ok(Pool)
    }
}

pub(crate) unsafe fn set_threads(_threads: usize) {}

pub(crate) fn of_product(
    _pool: &Pool,
    _shape: [usize; 3],
    _precision: Precision,
) -> Vec<(String, Contestant<'_>)> {
    Vec::new()
}

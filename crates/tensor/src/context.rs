//! What every stage is called with.

use bytemuck::Pod;
use tiny_vlm_memory::Scratch;

use crate::{Clock, Executor, Inline, Progress, Silent, Stop, Stopped, SystemClock, ViewMut, split};

/// Where to run, where to put short-lived buffers, whether to stop, whom to tell, and what time it is.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Runs the tasks of an operator.
    pub executor: &'a dyn Executor,
    /// Lends short-lived buffers.
    pub scratch: &'a Scratch,
    /// Says whether to go on.
    pub stop: &'a Stop,
    /// Hears how far the work has come.
    pub progress: &'a dyn Progress,
    /// Tells the time.
    pub clock: &'a dyn Clock,
}

impl<'a> Context<'a> {
    /// A context that runs on the calling thread by the system's clock and tells nobody: for tests and small tools.
    pub fn inline(scratch: &'a Scratch, stop: &'a Stop) -> Self {
        Context { executor: &Inline, scratch, stop, progress: &Silent, clock: &SystemClock }
    }

    /// The same context under another handle to stop it.
    #[must_use]
    pub fn with_stop<'b>(&self, stop: &'b Stop) -> Context<'b>
    where
        'a: 'b,
    {
        Context { stop, ..*self }
    }

    /// The same context, telling `progress`.
    #[must_use]
    pub fn with_progress<'b>(&self, progress: &'b dyn Progress) -> Context<'b>
    where
        'a: 'b,
    {
        Context { progress, ..*self }
    }

    /// Whether to go on; to be asked between operators, where it costs nothing that can be measured.
    pub fn check(&self) -> Result<(), Stopped> {
        self.stop.check(self.clock)
    }

    /// Runs `body` once for each of `tasks` tasks, and gives it a buffer of `len` elements that no task in progress
    /// shares. The buffers come from the scratch and hold unspecified values.
    pub fn for_each_with_scratch<T: Pod + Send>(
        &self,
        tasks: usize,
        len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let lanes = self.executor.threads().min(tasks).max(1);
        let mut buffers = self.scratch.take::<T>(lanes * len);
        split::for_each_with_lane(self.executor, tasks, lanes, &mut buffers, body);
    }

    /// Runs `body` with every tile of `output` as [`split::for_each_tile`] does, and gives it a buffer of `len` elements
    /// that no task in progress shares. The buffers come from the scratch and hold unspecified values.
    pub fn for_each_tile_with_scratch<T: Send, S: Pod + Send>(
        &self,
        output: ViewMut<'_, T, 2>,
        tile: [usize; 2],
        len: usize,
        body: impl Fn([usize; 2], ViewMut<'_, T, 2>, &mut [S]) + Sync,
    ) {
        let lanes = self.executor.threads().max(1);
        let mut buffers = self.scratch.take::<S>(lanes * len);
        split::for_each_tile_with_lane(self.executor, output, tile, lanes, &mut buffers, body);
    }
}

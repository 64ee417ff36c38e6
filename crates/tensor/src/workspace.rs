//! What one session owns: an executor, scratch, and the rest of a context.

use std::sync::Arc;

use tiny_vlm_memory::Scratch;

use crate::{Clock, Context, Executor, Inline, Silent, Stop, SystemClock};

/// Owns what a [`Context`] lends. It may move between threads but serves one at a time; an executor may serve several.
pub struct Workspace {
    executor: Arc<dyn Executor>,
    scratch: Scratch,
    stop: Stop,
    clock: Arc<dyn Clock>,
}

impl Workspace {
    /// A workspace that runs on `threads` threads, the calling one among them. Without the feature `threads` that is
    /// the calling thread alone.
    pub fn new(threads: usize) -> Self {
        Self::with_executor(own_executor(threads))
    }

    /// A workspace that runs on the calling thread.
    pub fn inline() -> Self {
        Self::with_executor(Arc::new(Inline))
    }

    /// A workspace that runs where `executor` does.
    pub fn with_executor(executor: Arc<dyn Executor>) -> Self {
        Workspace { executor, scratch: Scratch::new(), stop: Stop::new(), clock: Arc::new(SystemClock) }
    }

    /// The same workspace by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Workspace { clock, ..self }
    }

    /// A context that tells nobody; see [`Context::with_stop`] and [`Context::with_progress`].
    pub fn context(&self) -> Context<'_> {
        Context {
            executor: &*self.executor,
            scratch: &self.scratch,
            stop: &self.stop,
            progress: &Silent,
            clock: &*self.clock,
        }
    }

    /// Runs the tasks of an operator.
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// Lends short-lived buffers.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The handle that stops whatever runs in this workspace.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Tells the time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

#[cfg(feature = "threads")]
fn own_executor(threads: usize) -> Arc<dyn Executor> {
    if threads <= 1 { Arc::new(Inline) } else { Arc::new(crate::Pool::new(threads)) }
}

#[cfg(not(feature = "threads"))]
fn own_executor(_threads: usize) -> Arc<dyn Executor> {
    Arc::new(Inline)
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Workspace")
            .field("threads", &self.executor.threads())
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_move_between_threads() {
        fn moves<T: Send>() {}
        moves::<Workspace>();
    }

    #[test]
    fn the_handle_of_a_workspace_stops_its_context() {
        let workspace = Workspace::inline();
        let handle = workspace.stop().clone();
        assert!(workspace.context().check().is_ok());
        handle.cancel();
        assert!(workspace.context().check().is_err());
    }
}

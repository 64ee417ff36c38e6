//! Tasks on rayon's threads, for programs that already have them.

use std::sync::Arc;

use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::Executor;

/// Runs tasks on a rayon pool. Waking its threads costs more than a small operator takes; it suits loading, image work
/// and programs that want all their work in one pool.
#[derive(Clone, Debug, Default)]
pub struct Rayon {
    pool: Option<Arc<ThreadPool>>,
}

impl Rayon {
    /// The pool that the calling thread belongs to, or else rayon's global one.
    pub fn current() -> Self {
        Rayon { pool: None }
    }

    /// A pool of the program's own.
    pub fn with_pool(pool: Arc<ThreadPool>) -> Self {
        Rayon { pool: Some(pool) }
    }
}

impl Executor for Rayon {
    fn threads(&self) -> usize {
        match &self.pool {
            Some(pool) => pool.current_num_threads(),
            None => rayon::current_num_threads(),
        }
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        let run = || (0..tasks).into_par_iter().with_max_len(1).for_each(body);
        match &self.pool {
            Some(pool) => pool.install(run),
            None => run(),
        }
    }
}

//! Running independent tasks, on one thread or many.

mod inline;
#[cfg(feature = "threads")]
mod pool;
#[cfg(feature = "threads")]
mod quota;
#[cfg(feature = "rayon")]
mod rayon;
#[cfg(feature = "threads")]
mod thread;

#[cfg(feature = "rayon")]
pub use self::rayon::Rayon;
pub use inline::Inline;
#[cfg(feature = "threads")]
pub use pool::Pool;
#[cfg(feature = "threads")]
pub use quota::default_threads;
#[cfg(all(feature = "threads", target_family = "wasm", target_os = "unknown"))]
pub use thread::{Job, lend_threads};

/// How many threads to use unless the user says otherwise: one, as this build has no threads.
#[cfg(not(feature = "threads"))]
pub fn default_threads() -> usize {
    1
}

/// Runs independent tasks.
pub trait Executor: Send + Sync {
    /// How many tasks run at one time at most.
    fn threads(&self) -> usize;

    /// Calls `body` once for each number below `tasks`, in any order and on any thread, and returns when all calls have
    /// returned. A panic in a call is passed on to the caller; other calls may then be left out.
    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync));
}

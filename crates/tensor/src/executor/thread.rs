//! Starting threads: the system's, or those that the host of bare WebAssembly lends.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use lent::{Job, lend_threads};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(super) use lent::{Thread, start};
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(super) use system::{Thread, start};

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod system {
    /// A thread that was started.
    pub(in super::super) type Thread = std::thread::JoinHandle<()>;

    /// Runs `work` on a new thread, unless the system refuses one.
    pub(in super::super) fn start(name: String, work: impl FnOnce() + Send + 'static) -> Option<Thread> {
        std::thread::Builder::new().name(name).spawn(work).ok()
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod lent {
    use std::sync::OnceLock;

    /// What a lent thread runs.
    pub type Job = Box<dyn FnOnce() + Send>;

    static LENT: OnceLock<fn(Job) -> bool> = OnceLock::new();

    /// Lends the host's threads: `run` has one of them run a job, or says that there is none. The first host stays.
    pub fn lend_threads(run: fn(Job) -> bool) {
        // A second one is refused, as said.
        let _ = LENT.set(run);
    }

    /// A thread that was lent.
    pub(in super::super) struct Thread;

    impl Thread {
        /// Nothing is waited for: the job owns all that it works on.
        pub(in super::super) fn join(self) -> Result<(), ()> {
            Ok(())
        }
    }

    /// Runs `work` on a thread of the host's, if it has one.
    pub(in super::super) fn start(_name: String, work: impl FnOnce() + Send + 'static) -> Option<Thread> {
        LENT.get().is_some_and(|run| run(Box::new(work))).then_some(Thread)
    }
}

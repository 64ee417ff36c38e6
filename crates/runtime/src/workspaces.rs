//! The workspaces of a model: who works, works in one of them.
//!
//! There are as many as the model has instances, each with its share of the threads, so that requests that run side
//! by side never ask for more threads than the model was given. A request holds a workspace for one step and not from
//! its beginning to its end: a stream that nobody reads from blocks nobody.

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tiny_vlm_tensor::{Clock, Stop, Stopped, Workspace};

/// How often one who waits looks whether to give up.
const PATIENCE: Duration = Duration::from_millis(5);

pub(crate) struct Workspaces {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: Vec<Workspace>,
    /// Who waits, first come first. Without a queue, one who returns a workspace and takes it again at once, as a
    /// decoding loop does, would never let another in.
    queue: VecDeque<u64>,
    next_ticket: u64,
}

impl Workspaces {
    /// `instances` workspaces that share `threads` threads; no more than there are threads.
    pub(crate) fn new(threads: usize, instances: usize) -> Self {
        let threads = threads.max(1);
        let instances = instances.clamp(1, threads);
        let share = |i: usize| threads / instances + usize::from(i < threads % instances);
        let free = (0..instances).rev().map(|i| Workspace::new(share(i))).collect();
        let state = State { free, queue: VecDeque::new(), next_ticket: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A workspace, when one is free and nobody waited longer, unless `stop` says otherwise before.
    pub(crate) fn take(&self, stop: &Stop, clock: &dyn Clock) -> Result<Lease<'_>, Stopped> {
        let mut state = self.lock();
        if state.queue.is_empty()
            && let Some(workspace) = state.free.pop()
        {
            return Ok(Lease { owner: self, workspace: Some(workspace) });
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(ticket);
        loop {
            if state.queue.front() == Some(&ticket)
                && let Some(workspace) = state.free.pop()
            {
                state.queue.pop_front();
                self.changed.notify_all();
                return Ok(Lease { owner: self, workspace: Some(workspace) });
            }
            if let Err(stopped) = stop.check(clock) {
                state.queue.retain(|&waiting| waiting != ticket);
                self.changed.notify_all();
                return Err(stopped);
            }
            state = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A change of the vectors leaves them whole, whatever happened around it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A workspace that goes back when this is dropped.
pub(crate) struct Lease<'a> {
    owner: &'a Workspaces,
    workspace: Option<Workspace>,
}

impl Deref for Lease<'_> {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        self.workspace.as_ref().expect("a lease has its workspace until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.take() {
            self.owner.lock().free.push(workspace);
            self.owner.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tiny_vlm_tensor::SystemClock;

    use super::*;

    #[test]
    fn threads_are_shared_out() {
        let workspaces = Workspaces::new(5, 3);
        let stop = Stop::new();
        let leases: Vec<_> = (0..3).map(|_| workspaces.take(&stop, &SystemClock).unwrap()).collect();
        let mut threads: Vec<_> = leases.iter().map(|lease| lease.executor().threads()).collect();
        threads.sort_unstable();
        assert_eq!(threads, [1, 2, 2]);
        assert_eq!(Workspaces::new(2, 8).lock().free.len(), 2);
        assert_eq!(Workspaces::new(0, 0).lock().free.len(), 1);
    }

    #[test]
    fn one_who_waits_can_be_stopped() {
        let workspaces = Workspaces::new(1, 1);
        let (stop, other) = (Stop::new(), Stop::new());
        let lease = workspaces.take(&stop, &SystemClock).unwrap();
        other.cancel();
        assert_eq!(workspaces.take(&other, &SystemClock).err(), Some(Stopped::Cancelled));
        let soon = stop.within(Duration::from_millis(10), &SystemClock);
        assert_eq!(workspaces.take(&soon, &SystemClock).err(), Some(Stopped::Deadline));
        drop(lease);
        assert!(workspaces.take(&soon, &SystemClock).is_ok());
    }

    #[test]
    fn one_who_waits_gets_what_another_returns() {
        let workspaces = Workspaces::new(1, 1);
        let stop = Stop::new();
        let lease = workspaces.take(&stop, &SystemClock).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| workspaces.take(&stop, &SystemClock).is_ok());
            std::thread::sleep(Duration::from_millis(10));
            drop(lease);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn one_who_comes_back_at_once_does_not_starve_the_others() {
        let workspaces = Workspaces::new(1, 1);
        let stop = Stop::new();
        let served = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                for _ in 0..2000 {
                    let _lease = workspaces.take(&stop, &SystemClock).unwrap();
                    std::thread::sleep(Duration::from_micros(500));
                    if served.load(Ordering::Relaxed) {
                        return true;
                    }
                }
                false
            });
            std::thread::sleep(Duration::from_millis(5));
            drop(workspaces.take(&stop, &SystemClock).unwrap());
            served.store(true, Ordering::Relaxed);
            assert!(busy.join().unwrap());
        });
    }
}

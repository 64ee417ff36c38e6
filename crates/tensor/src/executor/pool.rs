//! Tasks on threads that wait for them.
//!
//! A decoding step is some two hundred regions of a few microseconds each, so opening and closing a region must cost
//! about one. The workers therefore watch one word, the *gate*, for a while before they sleep. To open a region the
//! caller stores what to run and raises the gate; a worker that sees it open adds itself to the count in the same word,
//! and from there on everybody, the caller included, draws task numbers from a shared counter. When the numbers run out
//! the caller closes the gate and waits only for workers that had joined: one that was asleep or busy elsewhere is not
//! missed, it finds the gate closed and goes on watching.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::quota::{cpu_quota, default_threads};
use super::thread::{self, Thread};
use super::{Executor, Inline};
use crate::{Clock, SystemClock};

/// How long a worker watches before it sleeps: longer than the pauses within a decoding step.
const SPIN: Duration = Duration::from_micros(50);

/// How long a thread watches before it lets others have the processor in between. On a machine that is busy otherwise
/// the one it waits for may be among them.
const POLITE_AFTER: Duration = Duration::from_micros(10);

/// Looks at the gate between two looks at the clock.
const LOOKS: u32 = 32;

// The gate, from its lowest bit: how many workers have joined, whether more may, whether the caller sleeps until they
// have left, whether the pool shuts down, and above that the number of the region, which may wrap around.
const JOINED: usize = 0xffff;
const OPEN: usize = 1 << 16;
const CALLER_SLEEPS: usize = 1 << 17;
const SHUT_DOWN: usize = 1 << 18;
const REGION: usize = 1 << 19;

/// Runs tasks on the calling thread and on workers of its own, which end with it.
///
/// Pools are independent of each other. While one thread runs tasks, whoever else asks the same pool, be it another
/// thread or one of the tasks, runs its own on the spot: nobody ever waits for a pool.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Thread>,
}

impl Pool {
    /// A pool of `threads` threads, the calling one among them, which watch for work for a while where each of them can
    /// have a processor to itself. Under a quota they do not: watching would use up time that the work needs. A host
    /// that lends threads is taken to have a processor for each.
    pub fn new(threads: usize) -> Self {
        let lent = cfg!(all(target_family = "wasm", target_os = "unknown"));
        let crowded = !lent && (cpu_quota().is_some() || threads > default_threads());
        Self::with_spin(threads, if crowded { Duration::ZERO } else { SPIN })
    }

    /// A pool of `threads` threads that watch for work for the time `spin` before they sleep. When the system refuses a
    /// thread, the pool makes do with those it has.
    pub fn with_spin(threads: usize, spin: Duration) -> Self {
        let shared = Arc::new(Shared::new(spin));
        let workers = (1..threads.min(JOINED))
            .map_while(|number| {
                let shared = Arc::clone(&shared);
                let name = format!("tiny-vlm-{number}");
                thread::start(name, move || shared.serve())
            })
            .collect();
        Pool { shared, workers }
    }
}

impl Executor for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        let alone = tasks <= 1 || self.workers.is_empty();
        if alone || self.shared.busy.swap(true, Ordering::Acquire) {
            return Inline.run(tasks, body);
        }
        let outcome = self.shared.run_region(tasks, body);
        self.shared.busy.store(false, Ordering::Release);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shut_down();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it ends in order.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("threads", &self.threads())
            .field("spin", &self.shared.spin)
            .finish_non_exhaustive()
    }
}

/// A value on cache lines of its own: two, as processors fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

/// What the caller and its workers both see.
struct Shared {
    gate: Apart<AtomicUsize>,
    next_task: Apart<AtomicUsize>,
    region: UnsafeCell<Region>,
    /// Whether some thread runs a region.
    busy: AtomicBool,
    /// Workers that sleep and have not been called. Changes under the lock of `sleep`.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    /// Calls sleeping workers.
    gate_opened: Condvar,
    /// Calls the caller when the last worker has left.
    workers_left: Condvar,
    /// The first panic of the region.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spin: Duration,
}

/// What to run.
#[derive(Clone, Copy)]
struct Region {
    body: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: `region` is written by the thread that set `busy`, while the gate is closed and no worker is inside; workers
// read it between joining and leaving. The pointer in it leads to a `Sync` closure that outlives the region.
unsafe impl Sync for Shared {}
// SAFETY: the only field that is not `Send` is the pointer in `region`, which may be followed from any thread as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new(spin: Duration) -> Self {
        Shared {
            gate: Apart(AtomicUsize::new(0)),
            next_task: Apart(AtomicUsize::new(0)),
            region: UnsafeCell::new(Region { body: &|_| (), tasks: 0 }),
            busy: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            gate_opened: Condvar::new(),
            workers_left: Condvar::new(),
            panic: Mutex::new(None),
            spin,
        }
    }

    /// Runs a region from opening to closing. The caller has set `busy`.
    fn run_region(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) -> Result<(), Box<dyn Any + Send>> {
        // SAFETY: this only lengthens the lifetime. The region is closed and every worker has left it before this
        // function returns, and nothing between opening and closing unwinds: panics of the tasks are caught.
        let body: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        let region = Region { body, tasks };
        // SAFETY: the gate is closed with nobody inside, and `busy` keeps other callers out.
        unsafe { self.region.get().write(region) };
        self.next_task.0.store(0, Ordering::Relaxed);
        self.open();
        self.take_part(region);
        self.close();
        lock(&self.panic).take().map_or(Ok(()), Err)
    }

    fn open(&self) {
        let region = (self.gate.0.load(Ordering::Relaxed) & !(REGION - 1)).wrapping_add(REGION);
        // Either this is seen by a worker that is about to sleep, or the worker is seen here: both sides write and then
        // read, in an order that everybody agrees on.
        self.gate.0.store(region | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.call_sleepers();
        }
    }

    /// Wakes as many workers as there are tasks for.
    #[cold]
    fn call_sleepers(&self) {
        // SAFETY: the calling thread set `busy` and wrote the region, which nobody changes before it is closed.
        let wanted = unsafe { (*self.region.get()).tasks } - 1;
        let _asleep = lock(&self.sleep);
        let called = wanted.min(self.sleepers.load(Ordering::Relaxed));
        self.sleepers.fetch_sub(called, Ordering::SeqCst);
        for _ in 0..called {
            self.gate_opened.notify_one();
        }
    }

    /// Closes the gate and waits until all workers have left.
    fn close(&self) {
        let inside = self.gate.0.fetch_and(!OPEN, Ordering::AcqRel) & JOINED;
        if inside == 0 || self.watch(|gate| gate & JOINED == 0).is_some() {
            return;
        }
        let mut asleep = lock(&self.sleep);
        self.gate.0.fetch_or(CALLER_SLEEPS, Ordering::AcqRel);
        while self.gate.0.load(Ordering::Acquire) & JOINED != 0 {
            asleep = self.workers_left.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.gate.0.fetch_and(!CALLER_SLEEPS, Ordering::AcqRel);
    }

    /// Runs tasks until there are no more.
    fn take_part(&self, region: Region) {
        // SAFETY: the caller waits in `run_region`, where it borrows the closure, until everybody has left the region.
        let body = unsafe { &*region.body };
        let work = || {
            loop {
                let task = self.next_task.0.fetch_add(1, Ordering::Relaxed);
                if task >= region.tasks {
                    return;
                }
                body(task);
            }
        };
        // What a panic leaves behind is only looked at by the caller, who gets the panic too.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.next_task.0.store(region.tasks, Ordering::Relaxed);
            self.keep_first(panic);
        }
    }

    fn keep_first(&self, panic: Box<dyn Any + Send>) {
        let mut first = lock(&self.panic);
        if first.is_none() {
            *first = Some(panic);
            return;
        }
        drop(first);
        // Dropping what a task panicked with may panic again, and this thread must leave the region in order: what it
        // panics with a second time is left alone.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(again))));
        }
    }

    /// A worker's life.
    fn serve(&self) {
        let mut last = 0;
        while self.join(&mut last) {
            // SAFETY: this worker has joined, so the region stays as the caller wrote it before opening the gate.
            let region = unsafe { *self.region.get() };
            self.take_part(region);
            self.leave();
        }
    }

    /// Waits for a region other than the last and joins it, or says that the pool shuts down.
    fn join(&self, last: &mut usize) -> bool {
        loop {
            let Some(gate) = self.watch(|gate| calls(gate, *last)) else {
                self.sleep_until_called(*last);
                continue;
            };
            if gate & SHUT_DOWN != 0 {
                return false;
            }
            let joined =
                self.gate.0.compare_exchange_weak(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed);
            if joined.is_ok() {
                *last = number(gate);
                return true;
            }
        }
    }

    fn leave(&self) {
        let gate = self.gate.0.fetch_sub(1, Ordering::AcqRel);
        if gate & CALLER_SLEEPS != 0 && gate & JOINED == 1 {
            let _asleep = lock(&self.sleep);
            self.workers_left.notify_one();
        }
    }

    /// Sleeps until a region opens. It may be over on waking, so the worker then goes on watching for the next.
    fn sleep_until_called(&self, last: usize) {
        let asleep = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if calls(self.gate.0.load(Ordering::SeqCst), last) {
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        } else {
            drop(self.gate_opened.wait(asleep));
        }
    }

    /// Watches the gate until it satisfies `wanted`, and gives up after a while.
    fn watch(&self, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let mut watching_since = None;
        loop {
            for _ in 0..LOOKS {
                let gate = self.gate.0.load(Ordering::Acquire);
                if wanted(gate) {
                    return Some(gate);
                }
                if self.spin.is_zero() {
                    return None;
                }
                std::hint::spin_loop();
            }
            let now = SystemClock.now();
            let watched = now.saturating_sub(*watching_since.get_or_insert(now));
            if watched >= self.spin {
                return None;
            }
            if watched >= POLITE_AFTER {
                std::thread::yield_now();
            }
        }
    }

    fn shut_down(&self) {
        self.gate.0.fetch_or(SHUT_DOWN, Ordering::SeqCst);
        let _asleep = lock(&self.sleep);
        self.gate_opened.notify_all();
    }
}

/// Whether the gate asks something of a worker whose last region was number `last`.
fn calls(gate: usize, last: usize) -> bool {
    gate & SHUT_DOWN != 0 || (gate & OPEN != 0 && number(gate) != last)
}

/// The number of the region.
fn number(gate: usize) -> usize {
    gate / REGION
}

/// Nothing unwinds while it holds one of these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

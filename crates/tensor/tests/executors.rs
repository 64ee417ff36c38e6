//! What every executor promises: each task once, panics passed on, no dead locks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tiny_vlm_tensor::{Executor, Inline};

fn executors() -> Vec<(&'static str, Arc<dyn Executor>)> {
    let inline: Arc<dyn Executor> = Arc::new(Inline);
    [("inline", inline)].into_iter().chain(pools()).chain(rayons()).collect()
}

#[cfg(feature = "threads")]
fn pools() -> Vec<(&'static str, Arc<dyn Executor>)> {
    use tiny_vlm_tensor::Pool;

    vec![
        ("pool of 1", Arc::new(Pool::new(1))),
        ("pool of 2", Arc::new(Pool::new(2))),
        ("pool of 3", Arc::new(Pool::new(3))),
        ("pool of 7", Arc::new(Pool::new(7))),
        ("pool that sleeps at once", Arc::new(Pool::with_spin(3, Duration::ZERO))),
        ("pool that watches for long", Arc::new(Pool::with_spin(3, Duration::from_millis(1)))),
    ]
}

#[cfg(not(feature = "threads"))]
fn pools() -> Vec<(&'static str, Arc<dyn Executor>)> {
    Vec::new()
}

#[cfg(feature = "rayon")]
fn rayons() -> Vec<(&'static str, Arc<dyn Executor>)> {
    vec![("rayon", Arc::new(tiny_vlm_tensor::Rayon::current()))]
}

#[cfg(not(feature = "rayon"))]
fn rayons() -> Vec<(&'static str, Arc<dyn Executor>)> {
    Vec::new()
}

fn run_and_count(executor: &dyn Executor, tasks: usize) -> Vec<usize> {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    executor.run(tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    counts.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_task_runs_exactly_once() {
    for (name, executor) in executors() {
        for tasks in [0, 1, 2, 3, 16, 17, 1000] {
            for _ in 0..20 {
                assert!(
                    run_and_count(&*executor, tasks).iter().all(|&count| count == 1),
                    "{name}, {tasks} tasks"
                );
            }
        }
    }
}

#[test]
fn many_small_regions_in_a_row() {
    for (name, executor) in executors() {
        let sum = AtomicUsize::new(0);
        for _ in 0..5000 {
            executor.run(3, &|task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.into_inner(), 5000 * 3, "{name}");
    }
}

#[test]
fn regions_with_pauses_between_them_wake_sleeping_workers() {
    for (name, executor) in executors() {
        for pause in [0, 10, 60, 200, 1000] {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_micros(pause));
                assert!(run_and_count(&*executor, 8).iter().all(|&count| count == 1), "{name}");
            }
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "a panic ends the program there")]
fn a_panic_reaches_the_caller_and_the_executor_goes_on() {
    for (name, executor) in executors() {
        for culprit in [0, 1, 40, 99] {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                executor.run(100, &|task| {
                    if task == culprit {
                        std::panic::panic_any(culprit);
                    }
                });
            }));
            assert_eq!(*panic.unwrap_err().downcast_ref::<usize>().unwrap(), culprit, "{name}");
            assert!(run_and_count(&*executor, 10).iter().all(|&count| count == 1), "{name}");
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "a panic ends the program there")]
fn when_every_task_panics_one_panic_arrives() {
    for (name, executor) in executors() {
        for _ in 0..20 {
            let panic =
                catch_unwind(AssertUnwindSafe(|| executor.run(8, &|task| std::panic::panic_any(task))));
            assert!(panic.unwrap_err().is::<usize>(), "{name}");
        }
    }
}

#[test]
fn tasks_may_run_tasks() {
    for (name, executor) in executors() {
        let sum = AtomicUsize::new(0);
        executor.run(6, &|_| {
            executor.run(5, &|_| {
                executor.run(4, &|_| {
                    sum.fetch_add(1, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(sum.into_inner(), 6 * 5 * 4, "{name}");
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no thread can be started there")]
fn threads_that_share_an_executor_do_not_wait_for_each_other() {
    for (name, executor) in executors() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        assert!(run_and_count(&*executor, 9).iter().all(|&count| count == 1), "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn executors_coexist_and_nest_in_each_other() {
    let executors = executors();
    let sum = AtomicUsize::new(0);
    for (_, outer) in &executors {
        outer.run(4, &|_| {
            for (_, inner) in &executors {
                inner.run(4, &|_| {
                    sum.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    }
    assert_eq!(sum.into_inner(), 16 * executors.len() * executors.len());
}

#[cfg(feature = "threads")]
mod pools {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread::ThreadId;

    use tiny_vlm_tensor::Pool;

    use super::*;

    #[test]
    fn a_pool_of_one_has_no_workers() {
        let pool = Pool::new(1);
        assert_eq!(pool.threads(), 1);
        assert_eq!(threads_of(&pool), HashSet::from([std::thread::current().id()]));
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "no thread can be started there")]
    fn long_tasks_are_shared_by_all_threads() {
        let pool = Pool::new(3);
        assert_eq!(pool.threads(), 3);
        assert_eq!(threads_of(&pool).len(), 3);
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "a panic ends the program there")]
    fn panics_that_panic_when_dropped_do_no_harm() {
        struct Bomb;

        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }

        let pool = Pool::new(3);
        for _ in 0..50 {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                pool.run(3, &|_| {
                    std::thread::sleep(Duration::from_micros(100));
                    std::panic::panic_any(Bomb);
                });
            }));
            std::mem::forget(panic.unwrap_err().downcast::<Bomb>());
        }
        assert!(run_and_count(&pool, 10).iter().all(|&count| count == 1));
    }

    #[test]
    fn pools_come_and_go() {
        for round in 0..50 {
            let pool = Pool::new(4);
            if round % 2 == 0 {
                pool.run(4, &|_| ());
            }
        }
    }

    /// The threads that take part while there is work for as many as the pool has, or for three seconds.
    fn threads_of(pool: &Pool) -> HashSet<ThreadId> {
        let seen = Mutex::new(HashSet::new());
        pool.run(1000, &|_| {
            let mut seen = seen.lock().unwrap();
            seen.insert(std::thread::current().id());
            let missing = seen.len() < pool.threads();
            drop(seen);
            if missing {
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        seen.into_inner().unwrap()
    }
}

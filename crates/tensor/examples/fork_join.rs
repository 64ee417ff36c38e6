//! Times small regions on each executor: what an operator pays for running on several threads.
//!
//! `cargo run --release -p tiny-vlm-tensor --features rayon --example fork_join [THREADS]`

use std::time::{Duration, Instant};

use tiny_vlm_tensor::{Executor, Inline, default_threads};

const REGIONS: usize = 10_000;

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(default_threads);
    println!("{threads} threads; a region has as many tasks; times in microseconds");
    time("inline", &Inline, threads);
    #[cfg(feature = "threads")]
    {
        use tiny_vlm_tensor::Pool;
        time("pool", &Pool::new(threads), threads);
        time("pool that never watches", &Pool::with_spin(threads, Duration::ZERO), threads);
    }
    #[cfg(feature = "rayon")]
    time("rayon", &tiny_vlm_tensor::Rayon::current(), threads);
}

/// Regions of tasks that take no time, and of tasks that take about as long as a small operator's share, with as much
/// work for the calling thread between them as between a decoder's operators.
fn time(name: &str, executor: &dyn Executor, tasks: usize) {
    for task_time in [Duration::ZERO, Duration::from_micros(2), Duration::from_micros(10)] {
        let mut times: Vec<Duration> = (0..REGIONS)
            .map(|_| {
                busy(Duration::from_micros(3));
                let start = Instant::now();
                executor.run(tasks, &|_| busy(task_time));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        let at = |percent: usize| times[(REGIONS - 1) * percent / 100].as_secs_f64() * 1e6;
        println!(
            "{name:>24}, tasks of {:>2}: median {:7.2}  9 of 10 {:7.2}  99 of 100 {:7.2}",
            task_time.as_micros(),
            at(50),
            at(90),
            at(99)
        );
    }
}

fn busy(time: Duration) {
    if time.is_zero() {
        return;
    }
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

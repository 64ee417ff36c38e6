//! What a buffer pool promises: reuse, budget, time to live, and honest books.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tiny_vlm_memory::{ALIGNMENT, BufferPool, MemoryError, PoolOptions};

/// A pool whose clock the test moves, in seconds.
fn pool_by_hand(budget_bytes: usize) -> (BufferPool, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&seconds);
    let pool = BufferPool::new(PoolOptions {
        budget_bytes,
        time_to_live: Duration::from_secs(10),
        now: Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed))),
    });
    (pool, seconds)
}

#[test]
fn a_request_of_about_the_same_size_reuses_the_block() {
    let (pool, _) = pool_by_hand(1 << 20);
    let address = {
        let mut buffer = pool.take::<f32>(1000).unwrap();
        assert!(buffer.iter().all(|&value| value == 0.0));
        buffer.fill(3.0);
        buffer.as_ptr().addr()
    };
    assert_eq!(address % ALIGNMENT, 0);
    let again = pool.take::<f32>(990).unwrap();
    assert_eq!((again.as_ptr().addr(), again.len()), (address, 990));
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.allocations_avoided()), (1, 1, 1));
    assert_eq!(stats.hit_ratio(), 0.5);
    drop(again);
    assert!(pool.take_zeroed::<f32>(1000).unwrap().iter().all(|&value| value == 0.0));
}

#[test]
fn element_types_and_distant_sizes_do_not_share() {
    let (pool, _) = pool_by_hand(1 << 20);
    drop(pool.take::<f32>(1000).unwrap());
    drop(pool.take::<u32>(1000).unwrap());
    drop(pool.take::<f32>(2000).unwrap());
    assert_eq!((pool.stats().hits, pool.stats().misses), (0, 3));
}

#[test]
fn a_somewhat_larger_block_serves_when_there_is_no_other() {
    let (pool, _) = pool_by_hand(1 << 20);
    let address = pool.take::<u8>(7000).unwrap().as_ptr().addr();
    let buffer = pool.take::<u8>(4096).unwrap();
    assert_eq!((buffer.as_ptr().addr(), buffer.len()), (address, 4096));
    assert_eq!((pool.stats().requested_bytes, pool.stats().in_use_bytes), (4096, 7168));
    drop(buffer);
    assert_eq!(pool.take::<u8>(7000).unwrap().as_ptr().addr(), address, "it went back to its own class");
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses), (2, 1));
}

#[test]
fn idle_memory_stays_within_the_budget_and_the_oldest_goes_first() {
    let (pool, _) = pool_by_hand(10_000);
    let buffers: Vec<_> = (0..4).map(|_| pool.take::<u8>(4096).unwrap()).collect();
    let newest = buffers[3].as_ptr().addr();
    assert_eq!(pool.stats().in_use_bytes, 4 * 4096);
    for buffer in buffers {
        drop(buffer);
        assert!(pool.stats().idle_bytes <= 10_000);
    }
    let stats = pool.stats();
    assert_eq!((stats.idle_bytes, stats.in_use_bytes, stats.evictions), (2 * 4096, 0, 2));
    assert_eq!(stats.high_water_bytes, 4 * 4096);
    assert_eq!(pool.take::<u8>(4096).unwrap().as_ptr().addr(), newest);

    let (pool, _) = pool_by_hand(9000);
    drop(pool.take::<u8>(4096).unwrap());
    drop(pool.take::<u16>(2048).unwrap());
    drop(pool.take::<i8>(4096).unwrap());
    drop(pool.take::<u16>(2048).unwrap());
    drop(pool.take::<u8>(4096).unwrap());
    assert_eq!((pool.stats().hits, pool.stats().misses), (1, 4), "the first of three types had to go");
}

#[test]
fn a_block_larger_than_the_budget_is_not_kept() {
    let (pool, _) = pool_by_hand(1000);
    drop(pool.take::<u8>(500).unwrap());
    drop(pool.take::<u8>(5000).unwrap());
    let stats = pool.stats();
    assert_eq!((stats.idle_bytes, stats.evictions), (512, 1));
    let (none, _) = pool_by_hand(0);
    drop(none.take::<u8>(1).unwrap());
    assert_eq!(none.stats().idle_bytes, 0);
}

#[test]
fn idle_memory_goes_when_its_time_is_over() {
    let (pool, seconds) = pool_by_hand(1 << 20);
    drop(pool.take::<u8>(1000).unwrap());
    seconds.store(9, Ordering::Relaxed);
    drop(pool.take::<u64>(1000).unwrap());
    pool.trim(Duration::from_secs(9));
    assert_eq!(pool.stats().evictions, 0);
    pool.trim(Duration::from_secs(10));
    assert_eq!(pool.stats().evictions, 1);
    seconds.store(19, Ordering::Relaxed);
    drop(pool.take::<f32>(1).unwrap());
    assert_eq!((pool.stats().evictions, pool.stats().idle_bytes), (2, 256));
    pool.clear();
    assert_eq!(pool.stats().held_bytes(), 0);
    assert_eq!(pool.stats().fragmentation(), 0.0);
}

#[test]
fn fragmentation_is_what_nobody_asked_for() {
    let (pool, _) = pool_by_hand(1 << 20);
    let whole = pool.take::<u8>(4096).unwrap();
    assert_eq!(pool.stats().fragmentation(), 0.0);
    let part = pool.take::<u8>(4097).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.requested_bytes, stats.in_use_bytes), (4096 + 4097, 4096 + 5120));
    assert!((stats.fragmentation() - (1.0 - 8193.0 / 9216.0)).abs() < 1e-12);
    drop((whole, part));
    assert_eq!(pool.stats().fragmentation(), 1.0);
}

#[test]
fn nothing_costs_nothing_and_too_much_is_an_error() {
    let pool = BufferPool::default();
    assert!(pool.take::<f32>(0).unwrap().is_empty());
    assert_eq!((pool.stats().hits, pool.stats().misses, pool.stats().hit_ratio()), (0, 0, 1.0));
    assert!(matches!(pool.take::<f32>(usize::MAX), Err(MemoryError::TooLarge { .. })));
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no thread can be started there")]
fn many_threads_share_a_pool() {
    let (pool, _) = pool_by_hand(100_000);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let pool = &pool;
            scope.spawn(move || {
                let mut state = thread + 1;
                for _ in 0..2000 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let mut buffer = pool.take::<u64>((state >> 53) as usize).unwrap();
                    buffer.fill(state);
                    assert!(pool.stats().idle_bytes <= 100_000);
                    assert!(buffer.iter().all(|&value| value == state));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.requested_bytes), (0, 0));
    assert!((7900..=8000).contains(&(stats.hits + stats.misses)), "a few requests were for nothing");
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no thread can be started there")]
fn buffers_outlive_the_handle_and_return_from_another_thread() {
    let pool = BufferPool::default();
    let other = pool.clone();
    let buffer = pool.take::<u8>(100).unwrap();
    drop(pool);
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert_eq!(other.stats().idle_bytes, 256);
}

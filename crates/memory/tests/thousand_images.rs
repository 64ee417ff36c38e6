//! A thousand images of mixed sizes through one pool, as a server would see them: nearly everything is reused, and the
//! process does not grow. Alone in its file, so that no other test's memory is counted.
// In WebAssembly the process is its host's, and so is what it holds.
#![cfg(not(target_family = "wasm"))]

use tiny_vlm_memory::{BufferPool, PoolOptions};

const IMAGES: usize = 1000;
const GROWTH_LIMIT: usize = 10_000_000;

#[test]
fn a_thousand_images_reuse_their_memory() {
    // Thumbnails to screenshots in a pool that keeps little: the limit holds from the first image on.
    let small = PoolOptions { budget_bytes: 4 << 20, ..PoolOptions::default() };
    show_images(small, 0, [800, 600]);
    // Photographs: the limit holds once the pool has filled up.
    let large = PoolOptions { budget_bytes: 16 << 20, ..PoolOptions::default() };
    show_images(large, IMAGES / 4, [2000, 1500]);
}

/// Shows images of up to `largest` width and height. Resident memory may not grow beyond what it was before, nor, if
/// there is a `warm_up`, beyond its peak during that many images.
fn show_images(options: PoolOptions, warm_up: usize, largest: [usize; 2]) {
    let budget = options.budget_bytes;
    let pool = BufferPool::new(options);
    let mut before = resident_bytes();
    let mut peak = before;
    let mut state = 7_u64;
    for image in 0..IMAGES {
        if image == warm_up {
            before = peak;
        }
        let [width, height] = largest.map(|most| random_between(&mut state, 64, most));
        see(&pool, width, height);
        peak = peak.max(resident_bytes());
    }
    let growth = peak.zip(before).map_or(0, |(peak, before)| peak - before);

    let stats = pool.stats();
    println!(
        "up to {largest:?}: resident memory grew {growth} bytes, hit ratio {:.3}, {stats:?}",
        stats.hit_ratio()
    );
    assert!(stats.hit_ratio() >= 0.85, "hit ratio {:.3}: {stats:?}", stats.hit_ratio());
    let requests = (stats.hits + stats.misses) as f64;
    assert!(stats.allocations_avoided() as f64 >= 0.9 * requests, "{stats:?}");
    assert!(stats.idle_bytes <= budget);
    assert!(growth < GROWTH_LIMIT, "resident memory grew by {growth} bytes");
}

/// Takes the buffers an image takes on its way and writes to all of them: its pixels, two sizes of it between resizing
/// passes, the network's input, and features.
fn see(pool: &BufferPool, width: usize, height: usize) {
    let mut pixels = pool.take::<u8>(3 * width * height).unwrap();
    pixels.fill(1);
    for side in [224, 96, 96] {
        let mut between = pool.take::<u8>(3 * side * height).unwrap();
        between.fill(2);
        let mut resized = pool.take::<u8>(3 * side * side).unwrap();
        resized.fill(3);
        let mut input = pool.take::<f32>(3 * side * side).unwrap();
        input.fill(4.0);
        let mut features = pool.take::<f32>(side / 16 * (side / 16) * 192).unwrap();
        features.fill(5.0);
    }
}

fn random_between(state: &mut u64, least: usize, most: usize) -> usize {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    least + (*state >> 33) as usize % (most - least)
}

/// Resident memory of this process, where the system says.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

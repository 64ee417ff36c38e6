//! Any bytes as a `preprocessor_config.json`, and two sizes: pictures are cut into tiles that can be counted beforehand.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_vision::{TileBounds, Tiler};

fuzz_target!(|input: (u16, u16, u8, bool, &[u8])| {
    let (width, height, most, enlarge, bytes) = input;
    let Ok(config) = serde_json::from_slice(bytes) else { return };
    let Ok(tiler) = Tiler::new(config) else { return };
    let size = [usize::from(width), usize::from(height)];
    let plan = tiler.plan(size, TileBounds { most: usize::from(most), enlarge });
    assert!(plan.tiles() <= usize::from(most).max(1));
});

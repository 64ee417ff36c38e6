//! Files that lie: every fixture truncated and mutated. Nothing may panic, and no decoder may hold more memory than its
//! limits allow, however large the header says the picture is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use tiny_vlm_image::{Header, Image, Limits, Options};

/// The system's allocator, counting the bytes that are live and their peak.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches only atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        grow(size);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Marsaglia's xorshift: the same files on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

const MAX_PIXELS: u64 = 200_000;
/// What `Limits` promises for a picture, and room for the decoders' own tables.
const MOST: usize = MAX_PIXELS as usize * 16 + 512 * 1024;

fn files() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/image");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|e| ["png", "jpg", "webp", "gif", "bmp"].iter().any(|k| e == *k))
        })
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Decodes, and says how the attempt broke its promises.
fn attempt(bytes: &[u8]) -> Result<bool, String> {
    let limits = Limits::default().with_max_pixels(MAX_PIXELS).with_max_ratio(5000);
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = catch_unwind(|| {
        let header = Header::read(bytes, &limits);
        let image = Image::decode_with(bytes, &Options::with_limits(limits));
        match (&header, &image) {
            (Ok(header), Ok(image)) => {
                assert_eq!((header.width(), header.height()), (image.width(), image.height()));
            }
            (Err(_), Ok(_)) => panic!("decoded past its header"),
            (_, Err(error)) => assert!(!error.to_string().is_empty()),
        }
        image.is_ok()
    });
    let held = PEAK.load(Ordering::Relaxed) - before;
    match result {
        Err(_) => Err("panicked".to_owned()),
        Ok(_) if held > MOST => Err(format!("held {held} bytes")),
        Ok(decoded) => Ok(decoded),
    }
}

#[test]
fn lies_are_errors() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let mut random = Random(seed.unwrap_or(0x9e37_79b9_7f4a_7c15));
    let mut failures = Vec::new();
    let (mut tried, mut decoded) = (0, 0);
    let mut check = |name: &str, what: String, bytes: &[u8]| {
        tried += 1;
        match attempt(bytes) {
            Ok(yes) => decoded += usize::from(yes),
            Err(failure) => {
                failures.push(format!("{name} {what}: {failure}"));
            }
        }
    };
    for (name, whole) in files() {
        check(&name, "whole".to_owned(), &whole);
        for _ in 0..40 {
            let n = random.below(whole.len());
            check(&name, format!("cut to {n}"), &whole[..n]);
        }
        for round in 0..120 {
            let mut bytes = whole.clone();
            // Half of the rounds change the header only, where sizes and counts are.
            let reach = if round % 2 == 0 { bytes.len().min(64) } else { bytes.len() };
            let mut changes = Vec::new();
            for _ in 0..1 + random.below(4) {
                let at = random.below(reach);
                let value = [0, 0xff, 0x7f, 0x80, random.below(256) as u8][random.below(5)];
                bytes[at] = value;
                changes.push((at, value));
            }
            check(&name, format!("{changes:?}"), &bytes);
        }
    }
    assert!(tried > 8000);
    assert!(decoded > 1000 && decoded < tried, "{decoded} of {tried} decoded");
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn truncated_files_are_not_passed_off_as_whole() {
    // Of an animation only the first frame is needed, and that may be there.
    for (name, whole) in files().into_iter().filter(|(name, _)| !name.starts_with("animated")) {
        let half = &whole[..whole.len() * 6 / 10];
        let error = Image::decode(half, &Limits::default().with_max_ratio(5000)).expect_err(&name);
        assert!(["image-truncated", "image-broken"].contains(&error.code()), "{name}: {error}");
    }
}

//! From a token to the next, the runtime allocates the piece of text that it hands out, and nothing else. (That the
//! decoder allocates nothing either, its own test shows.)

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

#[allow(dead_code, reason = "other tests use the rest of it")]
mod fake;

use fake::{Fake, image};
use tiny_vlm_runtime::{Prompt, RequestOptions};

/// Counts the allocations of each thread, as the test harness allocates on its own.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn steady_decoding_allocates_the_pieces_alone() {
    let model = Fake::saying(&[0; 63]).load();
    let image = image(1);
    for options in [RequestOptions::default(), RequestOptions::default().temperature(0.5).seed(3)] {
        let mut session = model.session();
        let mut stream = session.stream(Prompt::new().image(&image).text("a"), &options).unwrap();
        // The first pieces grow the buffers.
        for _ in 0..17 {
            stream.next().unwrap().unwrap();
        }
        let before = ALLOCATIONS.with(Cell::get);
        let mut pieces = 0;
        for _ in 0..14 {
            pieces += usize::from(stream.next().is_some());
        }
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        assert!(allocations <= pieces, "{allocations} for {pieces} pieces");
    }
}

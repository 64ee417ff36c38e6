//! A scratch allocates while it warms up and never again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tiny_vlm_memory::{Scratch, ScratchBuf};

/// Counts the allocations of each thread, as the test harness allocates on its own.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Borrows as a decoder layer does: some buffers live long, some short, some are handed on.
fn step(scratch: &Scratch, scale: usize) {
    let mut hidden = scratch.take::<f32>(192 * scale);
    let logits = scratch.take::<f32>(1536);
    for layer in 0..12 {
        let normed = scratch.take::<f32>(192 * scale);
        let quantized = scratch.take::<u8>(192 * scale + layer);
        let mut heads: [Option<ScratchBuf<'_, f32>>; 6] = Default::default();
        for head in &mut heads {
            *head = Some(scratch.take(64 * scale));
        }
        drop((normed, quantized));
        hidden = scratch.take::<f32>(192 * scale);
        let _wide = scratch.take::<u16>(768 * scale);
    }
    drop((hidden, logits));
}

#[test]
fn after_the_first_step_nothing_is_allocated() {
    let scratch = Scratch::new();
    assert!(allocations_of(|| step(&scratch, 40)) > 0);
    let capacity = scratch.capacity();
    assert_eq!(allocations_of(|| (0..100).for_each(|_| step(&scratch, 40))), 0);
    assert_eq!(
        allocations_of(|| (1..40).for_each(|scale| step(&scratch, scale))),
        0,
        "smaller steps fit too"
    );
    assert_eq!(scratch.capacity(), capacity);
    assert!(scratch.high_water() <= capacity);
}

#[test]
fn nothing_is_allocated_around_a_buffer_that_stays() {
    let scratch = Scratch::new();
    step(&scratch, 40);
    let stays = scratch.take::<u8>(100);
    step(&scratch, 40);
    assert_eq!(allocations_of(|| (0..100).for_each(|_| step(&scratch, 40))), 0);
    drop(stays);
}

#[test]
fn a_scratch_with_capacity_does_not_even_warm_up() {
    let sized = Scratch::new();
    step(&sized, 40);
    let scratch = Scratch::with_capacity(sized.capacity()).unwrap();
    let first = scratch.take::<u8>(1);
    drop(first);
    assert_eq!(allocations_of(|| step(&scratch, 40)), 0);
}

//! Once a sequence's buffers have grown, a step of one token allocates nothing, in any family, on any of its threads.
//!
//! The allocator counts for the whole process, so that this file has one test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use tiny_vlm_image::Image;
use tiny_vlm_models::{
    CachePrecision, Family, ModelOptions, Precision, PreparedPrompt, PromptParts, RequestShape, Sequence,
    Step, Task, open,
};
use tiny_vlm_tensor::{Context, Workspace};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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

/// More than a block of the cache has.
const STEPS: usize = 70;

fn prompt(model: &dyn Family, ctx: &Context<'_>) -> (PreparedPrompt, Box<dyn Sequence>) {
    let image = Image::from_rgb8(40, 30, 120, &[90; 3600]).unwrap();
    let features = [Arc::new(model.encode(ctx, &image, &RequestShape::default()).unwrap())];
    let parts = PromptParts { history: &[], images: 1, task: Task::Question("What?"), lang: None };
    let prompt = model.prompt(&parts, &features).unwrap();
    let sequence = model.begin(ctx, &prompt, &features).unwrap();
    (prompt, sequence)
}

/// Allocations of each of some steps behind the prompt.
fn steps(
    model: &dyn Family,
    ctx: &Context<'_>,
    sequence: &mut dyn Sequence,
    scores: &mut [f32],
) -> Vec<usize> {
    let room = model.info().context - sequence.len();
    let mut counts = Vec::with_capacity(STEPS);
    for place in 0..STEPS.min(room) {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        model.step(ctx, &mut [Step { sequence, ids: &[place as u32] }], scores).unwrap();
        counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
    }
    counts
}

#[test]
fn steps_do_not_allocate() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let models = [
        "fixtures/models/smolvlm-tiny",
        "fixtures/models/fastvlm",
        "fixtures/models/florence2",
        "crates/nano/model",
    ];
    for name in models {
        for precision in [Precision::Auto, Precision::F32, Precision::Int4] {
            for cache in CachePrecision::ALL {
                let options = ModelOptions::default().with_precision(precision).with_kv_cache(cache);
                let model = open(&folder.join(name), &options).unwrap();
                let workspace = Workspace::new(2);
                let ctx = workspace.context();
                // A thread allocates when it starts, which may be late.
                let threads = ctx.executor.threads();
                let all = Barrier::new(threads);
                ctx.executor.run(threads, &|_| {
                    all.wait();
                });
                let (prompt, mut sequence) = prompt(&*model, &ctx);
                let mut scores = vec![0.0; model.info().vocab];
                model
                    .step(&ctx, &mut [Step { sequence: &mut *sequence, ids: &prompt.ids }], &mut scores)
                    .unwrap();
                assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "allocations are counted");
                // The buffers grow, and what they have grown to is kept.
                steps(&*model, &ctx, &mut *sequence, &mut scores);
                sequence.truncate(prompt.ids.len());
                let counts = steps(&*model, &ctx, &mut *sequence, &mut scores);
                assert!(counts.len() >= 32, "{name}");
                assert_eq!(counts.iter().sum::<usize>(), 0, "{name} {precision} {cache:?}: {counts:?}");
            }
        }
    }
}

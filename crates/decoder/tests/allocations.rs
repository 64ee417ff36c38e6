//! From logits to token and through the next step, nothing is allocated once a session has warmed up.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tiny_vlm_decoder::{
    CachePrecision, Decoder, DecoderConfig, DecoderStage, Input, Multipliers, Names, Sequence,
    sampling::{Sampler, SamplingOptions},
};
use tiny_vlm_quant::Precision;
use tiny_vlm_tensor::{Tensor, Workspace};
use tiny_vlm_weights::{Params, Weights};

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

/// A decoder with cross-attention; its parameters are zeros, which cost as much as any.
fn decoder(precision: Precision) -> Decoder {
    let config = DecoderConfig {
        vocab: 1536,
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        ffn: 96,
        rope_theta: 10_000.0,
        rms_eps: 1e-5,
        tied: true,
        qkv_bias: true,
        cross_attention: true,
        multipliers: Multipliers::default(),
    };
    let empty = b"\x08\0\0\0\0\0\0\0{}      ".to_vec();
    let weights = Weights::from_bytes(empty.into()).unwrap();
    let params = Params::new(&weights, precision);
    Decoder::load(&params.root(), &params.root(), &config, &Names::LLAMA).unwrap()
}

#[test]
fn steps_do_not_allocate() {
    for (precision, cache_precision) in [
        (Precision::F32, CachePrecision::F32),
        (Precision::Int8, CachePrecision::F32),
        (Precision::F32, CachePrecision::Bf16),
        (Precision::F32, CachePrecision::Int8),
    ] {
        let decoder = decoder(precision).with_cache_precision(cache_precision);
        let workspace = Workspace::inline();
        let ctx = workspace.context();
        let memory = Tensor::<f32, 2>::from_fn([13, 64], |[row, column]| (row * column) as f32 * 0.01);
        let memory = decoder.remember(&ctx, memory.view()).unwrap();
        let options = SamplingOptions {
            temperature: 0.8,
            top_k: Some(50),
            top_p: 0.9,
            repetition_penalty: 1.1,
            ..SamplingOptions::default()
        };
        let mut samplers =
            [SamplingOptions::default(), SamplingOptions { top_k: None, ..options.clone() }, options]
                .map(|options| Sampler::new(options, 1536).unwrap());
        let mut logits = Tensor::<f32, 2>::zeroed([1, 1536]);
        let mut cache = decoder.new_cache();
        cache.reserve(200).unwrap();

        let mut step = |ids: &[u32]| {
            let mut batch = [Sequence::new(Input::Tokens(ids), &mut cache).with_memory(&memory)];
            decoder.step(&ctx, &mut batch, logits.view_mut()).unwrap();
            samplers.each_mut().map(|sampler| {
                let choice = sampler.choose(logits.data());
                sampler.observe(choice.id);
                choice.id
            })
        };
        // Scratch grows with the cache: the longest there will be decides.
        let mut id = step(&[7; 30])[0];
        id = step(&[id])[0];
        let mut counts = [0; 150];
        for count in &mut counts {
            let before = ALLOCATIONS.get();
            id = step(&[id])[0];
            *count = ALLOCATIONS.get() - before;
        }
        assert_eq!(counts.iter().sum::<usize>(), 0, "{precision:?}, {cache_precision:?}: {counts:?}");
    }
}

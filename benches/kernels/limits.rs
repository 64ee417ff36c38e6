//! What the machine can do at most: loops of nothing but the instruction in question, and reads of nothing but memory.

use std::hint::black_box;
use tiny_vlm_simd::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Level, Op};
use tiny_vlm_tensor::{Context, split};

/// What bounds a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// Multiply-adds of f32, in operations a second.
    F32,
    /// Dot products of bf16.
    Bf16,
    /// Dot products of bytes.
    Int8,
    /// Reading a buffer of so many bytes again and again, in bytes a second.
    Read(usize),
    /// Nothing to be a share of: what counts is how long a call takes.
    Time,
}

/// Turns of a loop of one task: about a millisecond.
const TURNS: usize = 200_000;
/// Bytes that one call reads at least.
const READ: usize = 64 << 20;

/// A loop at the limit.
pub(crate) struct Loop {
    limit: Limit,
    level: Level,
    buffer: Vec<f32>,
}

impl Loop {
    pub(crate) fn new(limit: Limit, level: Level) -> Self {
        let floats = match limit {
            Limit::Read(bytes) => bytes.div_ceil(4).next_multiple_of(64 * LANES),
            _ => 0,
        };
        Loop { limit, level, buffer: vec![0.5; floats] }
    }

    /// Runs it on every thread of the context and returns how much was done: operations or bytes.
    pub(crate) fn run(&mut self, ctx: &Context<'_>) -> f64 {
        let threads = ctx.executor.threads();
        let (limit, level) = (self.limit, self.level);
        if let Limit::Read(_) = limit {
            let bytes = size_of_val(&self.buffer[..]);
            let times = READ.div_ceil(bytes);
            let part = self.buffer.len().div_ceil(threads).next_multiple_of(LANES);
            split::for_each_chunk(ctx.executor, &mut self.buffer, part, |_, part| {
                for _ in 0..times {
                    black_box(level.run(Read(black_box(part))));
                }
            });
            return (times * bytes) as f64;
        }
        let mut done = vec![0.0; threads];
        split::for_each_chunk(ctx.executor, &mut done, 1, |_, done| {
            done[0] = match limit {
                Limit::F32 => level.run(Fma),
                Limit::Bf16 => level.run_bf16(Pairs),
                _ => level.run_dot(Bytes),
            };
        });
        done.iter().sum()
    }
}

/// Operands that the compiler cannot know, at a new address as far as it can tell in every turn.
static OPERANDS: [[f32; LANES]; 2] = [[0.999; LANES], [0.001; LANES]];

/// Runs `$step` on as many accumulators as a tile of `$tile` has, of which 12 hide every latency there is. Two are eight
/// registers where a vector takes four.
macro_rules! chains {
    ($tile:expr, |$count:ident| $body:expr) => {
        if $tile.accumulators >= 12 {
            const $count: usize = 12;
            $body
        } else if $tile.accumulators >= 6 {
            const $count: usize = 6;
            $body
        } else {
            const $count: usize = 2;
            $body
        }
    };
}

struct Fma;

impl Op for Fma {
    type Output = f64;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f64 {
        chains!(I::TILE, |COUNT| {
            let mut acc = [isa.splat(1.0); COUNT];
            for _ in 0..TURNS {
                // One operand beside the sums, for all that few registers have room for.
                let factor = isa.load_array(&black_box(&OPERANDS)[0]);
                acc.iter_mut().for_each(|acc| *acc = isa.fma(factor, factor, *acc));
            }
            acc.into_iter().for_each(|acc| _ = black_box(isa.reduce_sum(acc)));
            (TURNS * COUNT * 2 * LANES) as f64
        })
    }
}

struct Pairs;

impl Bf16Op for Pairs {
    type Output = f64;
    #[inline(always)]
    fn eval<I: DotBf16>(self, isa: I) -> f64 {
        chains!(I::BF16_TILE, |COUNT| {
            let mut acc = [isa.splat(1.0); COUNT];
            let a = isa.bits(isa.load_array(&black_box(OPERANDS)[1]));
            for _ in 0..TURNS {
                let b = isa.bits(isa.load_array(&black_box(&OPERANDS)[0]));
                acc.iter_mut().for_each(|acc| *acc = isa.dot_bf16(*acc, a, b));
            }
            acc.into_iter().for_each(|acc| _ = black_box(isa.reduce_sum(acc)));
            (TURNS * COUNT * 4 * LANES) as f64
        })
    }
}

struct Bytes;

impl DotOp for Bytes {
    type Output = f64;
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) -> f64 {
        chains!(I::DOT_TILE, |COUNT| {
            let mut acc = [isa.splat_i32(1); COUNT];
            // An own left side for every chain: were two the same, what follows the product could be shared.
            let a: [I::I32; COUNT] =
                std::array::from_fn(|i| isa.splat_i32(black_box(0x0101_0101 * i as i32)));
            for _ in 0..TURNS {
                let w = isa.bits(isa.load_array(&black_box(&OPERANDS)[0]));
                for (acc, a) in acc.iter_mut().zip(a) {
                    *acc = isa.dot4(*acc, a, w);
                }
            }
            acc.into_iter().for_each(|acc| _ = black_box(isa.reduce_sum(isa.to_f32(acc))));
            (TURNS * COUNT * 8 * LANES) as f64
        })
    }
}

/// Reads a buffer of whole vectors.
struct Read<'a>(&'a [f32]);

impl Op for Read<'_> {
    type Output = f32;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let mut acc = [isa.splat_i32(0); 4];
        let (rows, rest) = self.0.as_chunks::<{ 8 * LANES }>();
        for row in rows {
            let (vectors, _) = row.as_chunks::<LANES>();
            for (i, vector) in vectors.iter().enumerate() {
                acc[i % 4] = isa.add_i32(acc[i % 4], isa.bits(isa.load_array(vector)));
            }
        }
        let (vectors, _) = rest.as_chunks::<LANES>();
        for vector in vectors {
            acc[0] = isa.add_i32(acc[0], isa.bits(isa.load_array(vector)));
        }
        let sum = isa.add_i32(isa.add_i32(acc[0], acc[1]), isa.add_i32(acc[2], acc[3]));
        isa.reduce_sum(isa.to_f32(sum))
    }
}

//! Instruction-set tokens and vector traits.
//!
//! An algorithm is written once, generic over [`Isa`], and run at a [`Level`] that detection found:
//!
//! - A vector is **16 lanes on every instruction set** ([`LANES`]). A narrower set holds it in several
//!   registers (two of AVX2's, four of NEON's), so tails, packed layouts and the order of every reduction
//!   are the same everywhere, and every level with a fused multiply-add gives the same bits. WebAssembly promises no
//!   such instruction: its simd128 rounds twice and its relaxed vectors as the engine decides, though always alike.
//! - A token ([`Portable`], `Avx2`, `Neon`, ...) can only be had from a [`Level`], and a `Level` only from
//!   detection, so holding one proves that the instructions exist. Its methods are safe but for the loads
//!   and stores, which take pointers.
//! - [`Dot4`] (u8·s8 products summed by fours into i32) and [`DotBf16`] (bf16 products summed by pairs into
//!   f32) are extensions: an instruction set without them computes the same thing from what it has.
//!
//! ```
//! use tiny_vlm_simd::{Isa, LANES, Level, Op};
//!
//! struct Dot<'a>(&'a [f32], &'a [f32]);
//!
//! impl Op for Dot<'_> {
//!     type Output = f32;
//!     #[inline(always)]
//!     fn eval<I: Isa>(self, isa: I) -> f32 {
//!         let mut sum = isa.splat(0.0);
//!         for (a, b) in self.0.chunks(LANES).zip(self.1.chunks(LANES)) {
//!             let n = a.len().min(b.len());
//!             sum = isa.fma(isa.load_slice(&a[..n]), isa.load_slice(&b[..n]), sum);
//!         }
//!         isa.reduce_sum(sum)
//!     }
//! }
//!
//! let x: Vec<f32> = (0..37).map(|i| i as f32).collect();
//! for level in Level::available() {
//!     assert_eq!(level.run(Dot(&x, &x)), 16206.0, "{}", level.name());
//! }
//! ```

/// Register-to-register intrinsics, all of them under the token's promise.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: the token is made only where the machine has this instruction set.
        unsafe { $e }
    };
}

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod isa;
mod level;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub use aarch64::Neon;
pub use isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, LANES, Op, Tile};
pub use level::{Kind, Level, UnknownLevel};
pub use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm32::Simd128;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

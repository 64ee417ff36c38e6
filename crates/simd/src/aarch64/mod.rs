//! 64-bit Arm: NEON.

mod neon;

pub use neon::Neon;

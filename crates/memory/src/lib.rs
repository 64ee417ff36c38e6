//! Where bytes live: aligned buffers, buffer pools, scratch, mapped files and spilled outputs.
//!
//! Everything above this crate borrows memory from here, so that alignment, budgets and reuse are decided once:
//!
//! - [`AlignedVec`] owns a fixed number of elements that start on a cache line. Weights and tensors live in it.
//! - [`Scratch`] serves the short-lived buffers of one session. It allocates while it warms up and never again.
//! - [`BufferPool`] serves buffers that cross threads and come in many sizes, such as decoded images. It keeps idle
//!   memory within a byte budget and a time to live, and counts what it saved.
//! - [`MappedFile`] reads a weights file without copying it. [`SharedBytes`] are parts of it (or of the program, or of
//!   memory) that many hold, and [`Elements`] numbers that lie there or in a buffer of their own.
//! - [`OutputBuffer`] holds one result and moves to a temporary file when the result is large.
//!
//! ```
//! use tiny_vlm_memory::{AlignedVec, Scratch};
//!
//! let weights = AlignedVec::<f32>::from_slice(&[1.0, 2.0, 3.0]);
//! let scratch = Scratch::new();
//! let mut doubled = scratch.take::<f32>(weights.len());
//! for (out, weight) in doubled.iter_mut().zip(weights.iter()) {
//!     *out = 2.0 * weight;
//! }
//! assert_eq!(*doubled, [2.0, 4.0, 6.0]);
//! ```
//!
//! # Features
//!
//! `mmap` (default) maps files into memory, and on Linux asks for large pages behind large buffers. Without it, or on a
//! target that has no files to map, a file is read into an aligned buffer and a large output stays on the heap; no
//! signature changes.

mod aligned_vec;
mod block;
mod elements;
mod error;
#[cfg(all(target_os = "linux", feature = "mmap"))]
mod huge_pages;
mod mapped_file;
mod output;
mod pool;
mod scratch;
mod shared_bytes;
mod size_class;
#[cfg(all(feature = "mmap", any(unix, windows)))]
mod temporary_file;

pub use aligned_vec::AlignedVec;
pub use block::ALIGNMENT;
pub use elements::Elements;
pub use error::MemoryError;
pub use mapped_file::MappedFile;
pub use output::{DEFAULT_SPILL_THRESHOLD, OutputBuffer};
pub use pool::{BufferPool, PoolOptions, PoolStats, PooledBuffer};
pub use scratch::{Scratch, ScratchBuf};
pub use shared_bytes::SharedBytes;

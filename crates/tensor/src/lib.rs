//! Static-rank tensors and views, executors and the context every stage takes.
//!
//! A [`Tensor`] owns the elements of a shape, a [`View`] or [`ViewMut`] borrows them; the rank is part of the type, so
//! that `let [rows, columns] = view.shape();` is how code learns its sizes. The last dimension is always contiguous.
//!
//! An [`Executor`] runs independent tasks: [`Inline`] on the calling thread, `Pool` on threads of its own, `Rayon` on
//! the host's. The functions of [`split`] share a result out over its tasks, which is the only way work is split here:
//! by outputs, so that a result never depends on the number of threads.
//!
//! A [`Context`] is what a stage is called with: where to run, where to put short-lived buffers, whether to stop, whom
//! to tell, and what time it is. A [`Workspace`] owns these for one session.
//!
//! ```
//! use tiny_vlm_tensor::{Tensor, Workspace, split};
//!
//! let workspace = Workspace::new(2);
//! let context = workspace.context();
//! let input = Tensor::from_fn([3, 4], |[row, column]| (10 * row + column) as f32);
//! let mut output = Tensor::<f32, 2>::zeroed([3, 4]);
//!
//! split::for_each_tile(context.executor, output.view_mut(), [1, 4], |[row, _], mut tile| {
//!     for (out, value) in tile.row_mut(0).iter_mut().zip(input.view().row(row)) {
//!         *out = 2.0 * value;
//!     }
//! });
//! context.check()?;
//! assert_eq!(output[[2, 3]], 46.0);
//! # Ok::<(), tiny_vlm_tensor::Stopped>(())
//! ```
//!
//! # Features
//!
//! `threads` (default) adds `Pool`; `rayon` adds `Rayon`.

mod clock;
mod context;
mod error;
mod executor;
mod layout;
mod progress;
pub mod split;
mod stop;
mod tensor;
mod view;
mod view_mut;
mod workspace;

pub use clock::{Clock, SystemClock};
pub use context::Context;
pub use error::TensorError;
#[cfg(feature = "threads")]
pub use executor::Pool;
#[cfg(feature = "rayon")]
pub use executor::Rayon;
pub use executor::{Executor, Inline, default_threads};
#[cfg(all(feature = "threads", target_family = "wasm", target_os = "unknown"))]
pub use executor::{Job, lend_threads};
pub use progress::{Progress, Silent};
pub use stop::{Stop, Stopped};
pub use tensor::Tensor;
pub use view::View;
pub use view_mut::ViewMut;
pub use workspace::Workspace;

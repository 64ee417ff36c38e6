//! Sharing a result out over tasks.
//!
//! Each function hands every task a part of the result that no other task can see, so that the tasks can run on any
//! number of threads in any order. How the result is cut depends on its shape and the sizes asked for, never on the
//! number of threads.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::layout::Layout;
use crate::{Executor, ViewMut};

/// Runs `body` with every chunk of `chunk_len` elements of `data` and the chunk's number; the last may be shorter.
///
/// # Panics
///
/// If `chunk_len` is zero.
pub fn for_each_chunk<T: Send>(
    executor: &dyn Executor,
    data: &mut [T],
    chunk_len: usize,
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    for_each_tile(executor, ViewMut::from(data).into_row(), [1, chunk_len], |[_, first], tile| {
        // The tile is part of a single row.
        if let Some(chunk) = tile.into_data() {
            body(first / chunk_len, chunk);
        }
    });
}

/// Runs `body` with every tile of `tile` rows and columns of `output` and the index of the tile's first element;
/// the last tile along each dimension may be smaller.
///
/// # Panics
///
/// If a size of `tile` is zero.
pub fn for_each_tile<T: Send>(
    executor: &dyn Executor,
    output: ViewMut<'_, T, 2>,
    tile: [usize; 2],
    body: impl Fn([usize; 2], ViewMut<'_, T, 2>) + Sync,
) {
    let tiles = Tiles::new(output.shape(), tile);
    let shared = Shared::new(output);
    once_each(executor, tiles.count(), |task| {
        let [first, end] = tiles.bounds(task);
        // SAFETY: `once_each` gives every task to one thread only, and the tiles of two tasks have no index in common.
        body(first, unsafe { shared.part(first, end) });
    });
}

/// As [`for_each_tile`] for several outputs at once, each with the size of its tiles; `body` gets the number of the output,
/// too.
///
/// # Panics
///
/// If a size of a tile is zero.
pub fn for_each_tile_of<T: Send, const N: usize>(
    executor: &dyn Executor,
    outputs: [(ViewMut<'_, T, 2>, [usize; 2]); N],
    body: impl Fn(usize, [usize; 2], ViewMut<'_, T, 2>) + Sync,
) {
    let outputs = outputs.map(|(output, tile)| (Tiles::new(output.shape(), tile), Shared::new(output)));
    let tasks = outputs.iter().map(|(tiles, _)| tiles.count()).sum();
    once_each(executor, tasks, |mut task| {
        for (number, (tiles, shared)) in outputs.iter().enumerate() {
            if task < tiles.count() {
                let [first, end] = tiles.bounds(task);
                // SAFETY: `once_each` gives every task to one thread only, the tiles of two tasks have no index in common,
                // and the outputs were borrowed apart.
                return body(number, first, unsafe { shared.part(first, end) });
            }
            task -= tiles.count();
        }
    });
}

/// As [`for_each_tile`], with a lane of `buffers` that no other task in progress uses; see [`for_each_with_lane`].
///
/// # Panics
///
/// If a size of `tile` or `lanes` is zero.
pub fn for_each_tile_with_lane<T: Send, L: Send>(
    executor: &dyn Executor,
    output: ViewMut<'_, T, 2>,
    tile: [usize; 2],
    lanes: usize,
    buffers: &mut [L],
    body: impl Fn([usize; 2], ViewMut<'_, T, 2>, &mut [L]) + Sync,
) {
    let tiles = Tiles::new(output.shape(), tile);
    let shared = Shared::new(output);
    for_each_with_lane(executor, tiles.count(), lanes, buffers, |task, lane| {
        let [first, end] = tiles.bounds(task);
        // SAFETY: `for_each_with_lane` draws the number of each task once, and the tiles of two tasks have no index in
        // common.
        body(first, unsafe { shared.part(first, end) }, lane);
    });
}

/// How a matrix is cut.
struct Tiles {
    shape: [usize; 2],
    tile: [usize; 2],
    across: usize,
}

impl Tiles {
    fn new(shape: [usize; 2], tile: [usize; 2]) -> Self {
        assert!(tile[0] > 0 && tile[1] > 0, "a tile of {tile:?} covers nothing");
        Tiles { shape, tile, across: shape[1].div_ceil(tile[1]) }
    }

    /// How many tiles there are: none of a matrix without elements.
    fn count(&self) -> usize {
        self.shape[0].div_ceil(self.tile[0]) * self.across
    }

    /// Index of the first element of a tile, and the index behind its last.
    fn bounds(&self, task: usize) -> [[usize; 2]; 2] {
        let first = [task / self.across * self.tile[0], task % self.across * self.tile[1]];
        let end = [0, 1].map(|axis| self.shape[axis].min(first[axis] + self.tile[axis]));
        [first, end]
    }
}

/// Runs `body` once for each of `tasks` tasks, with a lane of `buffers` that no other task in progress uses. The
/// buffers are divided evenly over `lanes` lanes, and at most that many tasks run at one time.
///
/// # Panics
///
/// If `lanes` is zero.
pub fn for_each_with_lane<T: Send>(
    executor: &dyn Executor,
    tasks: usize,
    lanes: usize,
    buffers: &mut [T],
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    assert!(lanes > 0, "tasks need at least one lane");
    let per_lane = buffers.len() / lanes;
    let next = AtomicUsize::new(0);
    let work = |lane: &mut [T]| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            body(task, lane);
        }
    };
    if per_lane == 0 {
        executor.run(lanes.min(tasks), &|_| work(&mut []));
        return;
    }
    let lanes = lanes.min(tasks);
    for_each_chunk(executor, &mut buffers[..lanes * per_lane], per_lane, |_, lane| work(lane));
}

/// Runs `body` once for each of `tasks` tasks, however the executor numbers its calls.
///
/// Safe code may implement [`Executor`], so its numbers cannot be trusted with memory. Drawing the numbers here makes
/// each of them unique; and a call that borrows `body` cannot outlast `run`.
fn once_each(executor: &dyn Executor, tasks: usize, body: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    executor.run(tasks, &|_| {
        let task = next.fetch_add(1, Ordering::Relaxed);
        if task < tasks {
            body(task);
        }
    });
}

/// An output that several tasks write to.
struct Shared<T> {
    first: NonNull<T>,
    layout: Layout<2>,
}

// SAFETY: tasks on other threads only reach elements through `part`, whose callers keep the parts apart.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(output: ViewMut<'_, T, 2>) -> Self {
        let (first, layout) = output.into_raw();
        Shared { first, layout }
    }

    /// The elements from index `first` up to but without `end`.
    ///
    /// # Safety
    ///
    /// The output is still borrowed, the range lies within its shape and is not empty, and no other part in use has an
    /// index in common with it.
    unsafe fn part<'a>(&self, first: [usize; 2], end: [usize; 2]) -> ViewMut<'a, T, 2> {
        let strides = self.layout.strides;
        let offset = first[0] * strides[0] + first[1] * strides[1];
        let layout = Layout { shape: [end[0] - first[0], end[1] - first[1]], strides };
        // SAFETY: the caller promises that the part lies within the output and is its own; the elements of an output are
        // apart, hence those of its parts.
        unsafe { ViewMut::from_raw(self.first.add(offset), layout) }
    }
}

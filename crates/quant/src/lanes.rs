//! Scratch for tasks that also own a part of the output.

use std::array::from_fn;
use std::sync::Mutex;

/// The most lanes; executors of more threads take turns.
pub(crate) const MOST_LANES: usize = 64;

/// Buffers that tasks borrow one at a time.
pub(crate) struct Lanes<'a> {
    lanes: [Mutex<&'a mut [f32]>; MOST_LANES],
    count: usize,
}

impl<'a> Lanes<'a> {
    /// Cuts a buffer into lanes of `words`.
    pub(crate) fn new(buffer: &'a mut [f32], words: usize) -> Self {
        let count = buffer.len().checked_div(words).unwrap_or(1).clamp(1, MOST_LANES);
        let mut parts = buffer.chunks_exact_mut(words.max(1));
        Lanes { lanes: from_fn(|_| Mutex::new(parts.next().unwrap_or_default())), count }
    }

    /// Runs a task with a lane that is free; there is one as long as no more tasks run than there are lanes.
    pub(crate) fn with(&self, task: impl FnOnce(&mut [f32])) {
        let lanes = &self.lanes[..self.count];
        let mut lane = match lanes.iter().find_map(|lane| lane.try_lock().ok()) {
            Some(lane) => lane,
            // A task that panicked leaves nothing behind that the next would rely on.
            None => lanes[0].lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
        };
        task(&mut lane);
    }
}

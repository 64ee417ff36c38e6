//! Buffers that many threads share, kept for the next request of about the same size.
//!
//! Requests are rounded up to a size class, and what is given back waits under its class and element type. A request
//! takes what waits under its own class, or else a block of less than twice the size, or else new memory. Idle memory
//! never exceeds a byte budget and never waits longer than a time to live; what has waited longest goes first.

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytemuck::Pod;

use crate::MemoryError;
use crate::block::{Block, bytes_of};
use crate::size_class::SizeClass;

/// How much a [`BufferPool`] keeps, and for how long.
#[derive(Clone)]
pub struct PoolOptions {
    /// The most bytes of idle memory. Memory in use is not limited.
    pub budget_bytes: usize,
    /// How long idle memory waits for a request.
    pub time_to_live: Duration,
    /// The time since some fixed moment; tests put their own here.
    pub now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Default for PoolOptions {
    /// 64 MiB for half a minute, by the system's clock.
    fn default() -> Self {
        PoolOptions {
            budget_bytes: 64 << 20,
            time_to_live: Duration::from_secs(30),
            now: Arc::new(time_since_first_use),
        }
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PoolOptions")
            .field("budget_bytes", &self.budget_bytes)
            .field("time_to_live", &self.time_to_live)
            .finish_non_exhaustive()
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn time_since_first_use() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Bare WebAssembly has no clock, so nothing ages there unless the host lends one.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn time_since_first_use() -> Duration {
    Duration::ZERO
}

/// A handle to a pool of buffers; clones share the pool.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    options: PoolOptions,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    class: SizeClass,
    element: TypeId,
}

struct Idle {
    block: Block,
    since: Duration,
    /// Counts returns over all keys, so that the oldest of several queues can be told.
    order: u64,
}

#[derive(Default)]
struct State {
    /// Per key, oldest first.
    idle: HashMap<Key, VecDeque<Idle>>,
    returns: u64,
    counts: PoolStats,
}

/// What a pool did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Requests served from idle memory.
    pub hits: u64,
    /// Requests that had to allocate.
    pub misses: u64,
    /// Blocks given back to the system because of the budget or their age.
    pub evictions: u64,
    /// Bytes of all blocks that are lent.
    pub in_use_bytes: usize,
    /// Bytes that borrowers asked for, of those lent.
    pub requested_bytes: usize,
    /// Bytes of all blocks that wait.
    pub idle_bytes: usize,
    /// The most bytes ever held, lent and waiting together.
    pub high_water_bytes: usize,
}

impl PoolStats {
    /// The share of requests served from idle memory; one before the first. Requests for nothing are not counted.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits + self.misses {
            0 => 1.0,
            requests => self.hits as f64 / requests as f64,
        }
    }

    /// Allocations that the pool made unnecessary: one for each hit.
    pub fn allocations_avoided(&self) -> u64 {
        self.hits
    }

    /// Bytes held, lent and waiting.
    pub fn held_bytes(&self) -> usize {
        self.in_use_bytes + self.idle_bytes
    }

    /// The share of the memory held that nobody asked for at this moment: rounding to size classes, and what waits.
    pub fn fragmentation(&self) -> f64 {
        match self.held_bytes() {
            0 => 0.0,
            held => 1.0 - self.requested_bytes as f64 / held as f64,
        }
    }
}

impl BufferPool {
    /// An empty pool.
    pub fn new(options: PoolOptions) -> Self {
        BufferPool { shared: Arc::new(Shared { options, state: Mutex::default() }) }
    }

    /// Lends `len` elements that start on a cache line. Their values are whatever the last borrower left (zero at
    /// first): write before reading.
    pub fn take<T: Pod>(&self, len: usize) -> Result<PooledBuffer<T>, MemoryError> {
        let requested = bytes_of::<T>(len)?;
        if requested == 0 {
            return Ok(PooledBuffer { block: Block::empty(), len, lease: None, element: PhantomData });
        }
        let class = SizeClass::holding(requested)
            .ok_or(MemoryError::TooLarge { len, element_bytes: size_of::<T>() })?;
        let wanted = Key { class, element: TypeId::of::<T>() };
        let (key, block) = match self.shared.take_idle(wanted, requested) {
            Some(found) => found,
            None => (wanted, self.shared.allocate(class, requested)?),
        };
        let lease = Some(Lease { pool: Arc::clone(&self.shared), key, requested });
        Ok(PooledBuffer { block, len, lease, element: PhantomData })
    }

    /// As [`take`](Self::take), with every element set to zero.
    pub fn take_zeroed<T: Pod>(&self, len: usize) -> Result<PooledBuffer<T>, MemoryError> {
        let mut buffer = self.take(len)?;
        buffer.fill(T::zeroed());
        Ok(buffer)
    }

    /// What the pool did and holds.
    pub fn stats(&self) -> PoolStats {
        self.shared.lock().counts
    }

    /// Gives idle memory that has waited its time at `now` back to the system. Requests and returns do so too; a
    /// caller that expects a long pause can do it then.
    pub fn trim(&self, now: Duration) {
        let expired = self.shared.lock().remove_expired(now, self.shared.options.time_to_live);
        drop(expired);
    }

    /// Gives all idle memory back to the system.
    pub fn clear(&self) {
        let evicted = self.shared.lock().remove_until(0);
        drop(evicted);
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(PoolOptions::default())
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BufferPool")
            .field("options", &self.shared.options)
            .field("stats", &self.stats())
            .finish()
    }
}

impl Shared {
    /// The state stays consistent between any two statements that may panic, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle block for `requested` bytes that were wanted under `key`, and the key it goes back to.
    fn take_idle(&self, wanted: Key, requested: usize) -> Option<(Key, Block)> {
        let now = (self.options.now)();
        let mut state = self.lock();
        let expired = state.remove_expired(now, self.options.time_to_live);
        let found = state.take_newest(wanted).map(|block| (wanted, block)).or_else(|| {
            let larger = wanted.class.somewhat_larger().map(|class| Key { class, ..wanted });
            larger.into_iter().find_map(|key| state.take_newest(key).map(|block| (key, block)))
        });
        if let Some((_, block)) = &found {
            state.counts.hits += 1;
            state.counts.idle_bytes -= block.bytes();
            state.lend(block.bytes(), requested);
        }
        drop(state);
        // Freeing may be slow, so it waits until the lock is open.
        drop(expired);
        found
    }

    fn allocate(&self, class: SizeClass, requested: usize) -> Result<Block, MemoryError> {
        let block = Block::zeroed(class.bytes())?;
        let mut state = self.lock();
        state.counts.misses += 1;
        state.lend(block.bytes(), requested);
        Ok(block)
    }

    fn give_back(&self, key: Key, requested: usize, block: Block) {
        let now = (self.options.now)();
        let bytes = block.bytes();
        let mut state = self.lock();
        state.counts.in_use_bytes -= bytes;
        state.counts.requested_bytes -= requested;
        let mut evicted = state.remove_expired(now, self.options.time_to_live);
        if bytes > self.options.budget_bytes {
            state.counts.evictions += 1;
            evicted.push(block);
        } else {
            evicted.append(&mut state.remove_until(self.options.budget_bytes - bytes));
            let order = state.returns;
            state.returns += 1;
            state.counts.idle_bytes += bytes;
            state.idle.entry(key).or_default().push_back(Idle { block, since: now, order });
        }
        drop(state);
        drop(evicted);
    }
}

impl State {
    /// Removes the block of `key` that came back last, the one most likely still in the processor's cache.
    fn take_newest(&mut self, key: Key) -> Option<Block> {
        self.idle.get_mut(&key)?.pop_back().map(|idle| idle.block)
    }

    fn lend(&mut self, bytes: usize, requested: usize) {
        self.counts.requested_bytes += requested;
        self.counts.in_use_bytes += bytes;
        self.counts.high_water_bytes = self.counts.high_water_bytes.max(self.counts.held_bytes());
    }

    /// Removes what has waited for `time_to_live` at `now`.
    fn remove_expired(&mut self, now: Duration, time_to_live: Duration) -> Vec<Block> {
        let expired = |idle: &mut Idle| now.saturating_sub(idle.since) >= time_to_live;
        let mut removed = Vec::new();
        for queue in self.idle.values_mut() {
            while let Some(idle) = queue.pop_front_if(expired) {
                removed.push(idle.block);
            }
        }
        self.forget(&removed);
        removed
    }

    /// Removes the oldest until at most `bytes` are idle.
    fn remove_until(&mut self, bytes: usize) -> Vec<Block> {
        let mut removed = Vec::new();
        let mut left = self.counts.idle_bytes;
        while left > bytes {
            let oldest = self
                .idle
                .values_mut()
                .filter(|queue| !queue.is_empty())
                .min_by_key(|queue| queue.front().map(|idle| idle.order));
            let Some(idle) = oldest.and_then(VecDeque::pop_front) else { break };
            left -= idle.block.bytes();
            removed.push(idle.block);
        }
        self.forget(&removed);
        removed
    }

    /// Takes removed blocks out of the books.
    fn forget(&mut self, removed: &[Block]) {
        self.counts.idle_bytes -= removed.iter().map(Block::bytes).sum::<usize>();
        self.counts.evictions += removed.len() as u64;
        if !removed.is_empty() {
            self.idle.retain(|_, queue| !queue.is_empty());
        }
    }
}

/// Elements lent by a [`BufferPool`]; they go back when this is dropped, from whichever thread.
pub struct PooledBuffer<T: Pod> {
    block: Block,
    len: usize,
    /// Nothing for a buffer without bytes.
    lease: Option<Lease>,
    element: PhantomData<T>,
}

/// Where a block goes back to, and as what.
struct Lease {
    pool: Arc<Shared>,
    key: Key,
    requested: usize,
}

impl<T: Pod> Drop for PooledBuffer<T> {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            let block = std::mem::replace(&mut self.block, Block::empty());
            lease.pool.give_back(lease.key, lease.requested, block);
        }
    }
}

impl<T: Pod> Deref for PooledBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.block.typed(self.len)
    }
}

impl<T: Pod> DerefMut for PooledBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.block.typed_mut(self.len)
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for PooledBuffer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

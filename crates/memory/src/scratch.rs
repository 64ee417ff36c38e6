//! Short-lived buffers for one session, from memory that is kept between uses.
//!
//! A scratch owns a few chunks of memory and remembers which ranges of them are lent. A request gets the first gap
//! that is large enough; dropping the guard opens the gap again, in any order. When no gap fits, a chunk is added;
//! when everything has been given back, the chunks are joined into one. A session that repeats its steps therefore
//! finds its gaps where they were the time before, and allocates nothing after the first step.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::block::{Block, bytes_of, refuse};
use crate::{ALIGNMENT, MemoryError};

/// The least a chunk holds, so that the first few small requests share one.
const LEAST_CHUNK_BYTES: usize = 64 << 10;

/// An arena for the buffers of one session. It may move between threads but serves one at a time.
#[derive(Default)]
pub struct Scratch {
    arena: RefCell<Arena>,
}

#[derive(Default)]
struct Arena {
    chunks: Vec<Chunk>,
    live_bytes: usize,
    high_water: usize,
}

struct Chunk {
    block: Block,
    /// Lent ranges in the order of their starts; they never overlap.
    lent: Vec<Lent>,
}

#[derive(Clone, Copy)]
struct Lent {
    start: usize,
    end: usize,
}

impl Scratch {
    /// An arena that has not allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An arena that can lend `bytes` before it allocates again.
    pub fn with_capacity(bytes: usize) -> Result<Self, MemoryError> {
        let scratch = Self::new();
        if bytes > 0 {
            scratch.arena.borrow_mut().add_chunk(bytes)?;
        }
        Ok(scratch)
    }

    /// Lends `len` elements that start on a cache line. Their values are whatever the last borrower left (zero at
    /// first): write before reading.
    ///
    /// # Panics
    ///
    /// As `Vec` does, when the size overflows; when memory runs out the allocator's error handler is called.
    pub fn take<T: Pod>(&self, len: usize) -> ScratchBuf<'_, T> {
        self.try_take(len).unwrap_or_else(|error| refuse(error))
    }

    /// As [`take`](Self::take), with every element set to zero.
    pub fn take_zeroed<T: Pod>(&self, len: usize) -> ScratchBuf<'_, T> {
        let mut buffer = self.take(len);
        buffer.fill(T::zeroed());
        buffer
    }

    /// As [`take`](Self::take), or why there is no room.
    pub fn try_take<T: Pod>(&self, len: usize) -> Result<ScratchBuf<'_, T>, MemoryError> {
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        let bytes = bytes_of::<T>(len)?.next_multiple_of(ALIGNMENT);
        if bytes == 0 {
            return Ok(ScratchBuf {
                scratch: self,
                place: None,
                first: NonNull::dangling(),
                len,
                element: PhantomData,
            });
        }
        let mut arena = self.arena.borrow_mut();
        let place = arena.lend(bytes)?;
        let start = arena.chunks[place.chunk].block.start();
        // SAFETY: `lend` found `place.start + bytes` within the chunk's block.
        let first = unsafe { start.add(place.start) }.cast();
        Ok(ScratchBuf { scratch: self, place: Some(place), first, len, element: PhantomData })
    }

    /// Bytes lent at this moment, rounded up to whole cache lines.
    pub fn live_bytes(&self) -> usize {
        self.arena.borrow().live_bytes
    }

    /// The most bytes that were ever lent at one time.
    pub fn high_water(&self) -> usize {
        self.arena.borrow().high_water
    }

    /// Bytes held, lent or not.
    pub fn capacity(&self) -> usize {
        self.arena.borrow().capacity()
    }

    /// Gives back all memory to the system if nothing is lent, and says whether it did.
    pub fn release(&self) -> bool {
        let mut arena = self.arena.borrow_mut();
        let unused = arena.live_bytes == 0;
        if unused {
            arena.chunks.clear();
        }
        unused
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Scratch")
            .field("live_bytes", &self.live_bytes())
            .field("high_water", &self.high_water())
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// Where a lent range lies.
#[derive(Clone, Copy)]
struct Place {
    chunk: usize,
    start: usize,
    bytes: usize,
}

impl Arena {
    fn capacity(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.block.bytes()).sum()
    }

    fn lend(&mut self, bytes: usize) -> Result<Place, MemoryError> {
        let found = self
            .chunks
            .iter_mut()
            .enumerate()
            .find_map(|(chunk, memory)| memory.lend(bytes).map(|start| Place { chunk, start, bytes }));
        let place = match found {
            Some(place) => place,
            None => {
                let chunk = self.add_chunk(bytes)?;
                self.chunks[chunk].lent.push(Lent { start: 0, end: bytes });
                Place { chunk, start: 0, bytes }
            }
        };
        self.live_bytes += bytes;
        self.high_water = self.high_water.max(self.live_bytes);
        Ok(place)
    }

    fn take_back(&mut self, place: Place) {
        self.chunks[place.chunk].take_back(place.start);
        self.live_bytes -= place.bytes;
        if self.live_bytes == 0 && self.chunks.len() > 1 {
            self.join_chunks();
        }
    }

    fn add_chunk(&mut self, bytes: usize) -> Result<usize, MemoryError> {
        let block = Block::zeroed(bytes.next_multiple_of(ALIGNMENT).max(LEAST_CHUNK_BYTES))?;
        // The ranges of all chunks move to one chunk later, so room for as many as there are now spares growing.
        let ranges = self.chunks.iter().map(|chunk| chunk.lent.capacity()).sum::<usize>().max(16);
        self.chunks.push(Chunk { block, lent: Vec::with_capacity(ranges) });
        Ok(self.chunks.len() - 1)
    }

    /// Replaces the chunks, none of which is lent, by one as large as all of them.
    fn join_chunks(&mut self) {
        let bytes = self.capacity();
        self.chunks.clear();
        // If this fails there simply is no chunk yet, and the next request says what is wrong.
        let _ = self.add_chunk(bytes);
    }
}

impl Chunk {
    /// Lends the first gap of at least `bytes` and says where it starts.
    fn lend(&mut self, bytes: usize) -> Option<usize> {
        let mut gap_start = 0;
        let mut position = self.lent.len();
        for (index, lent) in self.lent.iter().enumerate() {
            if lent.start - gap_start >= bytes {
                position = index;
                break;
            }
            gap_start = lent.end;
        }
        let end = gap_start.checked_add(bytes)?;
        if position == self.lent.len() && end > self.block.bytes() {
            return None;
        }
        self.lent.insert(position, Lent { start: gap_start, end });
        Some(gap_start)
    }

    fn take_back(&mut self, start: usize) {
        if let Ok(index) = self.lent.binary_search_by_key(&start, |lent| lent.start) {
            self.lent.remove(index);
        }
    }
}

/// Elements lent by a [`Scratch`]; they go back when this is dropped.
pub struct ScratchBuf<'a, T: Pod> {
    scratch: &'a Scratch,
    /// Nothing for a buffer without bytes.
    place: Option<Place>,
    first: NonNull<T>,
    len: usize,
    element: PhantomData<&'a mut [T]>,
}

impl<T: Pod> Deref for ScratchBuf<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `first` starts `len` initialised elements in a chunk that lives at least as long as the scratch,
        // because chunks are only dropped while nothing is lent; no other guard has this range. Without bytes, `first`
        // is dangling but aligned, which suffices.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for ScratchBuf<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the unique borrow of the only guard of this range makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T: Pod> Drop for ScratchBuf<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.scratch.arena.borrow_mut().take_back(place);
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for ScratchBuf<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_buffers_live_at_once_and_do_not_overlap() {
        let scratch = Scratch::new();
        let mut first = scratch.take::<f32>(1000);
        let mut second = scratch.take::<u8>(77);
        let mut third = scratch.take::<u64>(30_000);
        first.fill(1.0);
        second.fill(2);
        third.fill(3);
        assert!(first.iter().all(|&value| value == 1.0));
        assert!(second.iter().all(|&value| value == 2));
        assert!(third.iter().all(|&value| value == 3));
        for address in [first.as_ptr().addr(), second.as_ptr().addr(), third.as_ptr().addr()] {
            assert_eq!(address % ALIGNMENT, 0);
        }
    }

    #[test]
    fn handing_buffers_on_does_not_grow_the_arena() {
        let scratch = Scratch::new();
        let mut current = scratch.take::<f32>(10_000);
        let mut capacity = 0;
        for round in 0..100 {
            let next = scratch.take::<f32>(10_000);
            current = next;
            if round == 2 {
                capacity = scratch.capacity();
            }
        }
        drop(current);
        assert!(scratch.capacity() <= capacity);
        assert_eq!(scratch.live_bytes(), 0);
        assert_eq!(scratch.high_water(), 2 * 40_000);
    }

    #[test]
    fn chunks_join_when_everything_is_back() {
        let scratch = Scratch::new();
        let buffers: Vec<_> = (1..10).map(|index| scratch.take::<u8>(index * 100_000)).collect();
        drop(buffers);
        assert_eq!(scratch.arena.borrow().chunks.len(), 1);
        let held = scratch.capacity();
        let buffers: Vec<_> = (1..10).map(|index| scratch.take::<u8>(index * 100_000)).collect();
        assert_eq!(scratch.capacity(), held);
        drop(buffers);
        assert!(scratch.release());
        assert_eq!(scratch.capacity(), 0);
    }

    #[test]
    fn random_borrowing_never_overlaps() {
        let scratch = Scratch::new();
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let mut live: Vec<(u32, ScratchBuf<'_, u32>)> = Vec::new();
        for step in 0..4000_u32 {
            if live.len() < 20 && random(2) == 0 {
                let mut buffer = scratch.take::<u32>(random(3000));
                buffer.fill(step);
                live.push((step, buffer));
            } else if !live.is_empty() {
                let (value, buffer) = live.swap_remove(random(live.len()));
                assert!(buffer.iter().all(|&found| found == value));
            }
        }
        drop(live);
        assert_eq!(scratch.live_bytes(), 0);
    }

    #[test]
    fn empty_buffers_and_impossible_lengths() {
        let scratch = Scratch::new();
        assert!(scratch.take::<f32>(0).is_empty());
        assert_eq!(scratch.capacity(), 0);
        assert!(matches!(scratch.try_take::<u64>(usize::MAX), Err(MemoryError::TooLarge { .. })));
        assert!(scratch.release());
    }

    #[test]
    fn zeroed_buffers_are_zero_after_use() {
        let scratch = Scratch::new();
        scratch.take::<u8>(100).fill(9);
        assert!(scratch.take_zeroed::<u8>(100).iter().all(|&value| value == 0));
    }
}

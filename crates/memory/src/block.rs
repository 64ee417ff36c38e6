//! An untyped, cache-line aligned stretch of heap memory: what every buffer of this crate is cut from.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::MemoryError;

/// Every buffer starts at a multiple of this many bytes: one cache line, and one AVX-512 register.
pub const ALIGNMENT: usize = 64;

/// The strongest alignment for which the system's zeroed allocation hands out untouched pages. Asking it for
/// [`ALIGNMENT`] instead would clear, and so make resident, memory that may never be used.
const BASE_ALIGNMENT: usize = 2 * size_of::<usize>();

/// Owns `bytes` initialised bytes that start at a multiple of [`ALIGNMENT`].
pub(crate) struct Block {
    start: NonNull<u8>,
    /// The allocation that `start` lies in; the two differ by less than [`ALIGNMENT`].
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is the only owner of its memory, which no thread-local state refers to.
unsafe impl Send for Block {}
// SAFETY: a shared block only gives away its address and size.
unsafe impl Sync for Block {}

impl Block {
    /// A block without memory.
    pub(crate) const fn empty() -> Block {
        Block { start: DANGLING, base: DANGLING, bytes: 0 }
    }

    /// Allocates `bytes` zero bytes.
    pub(crate) fn zeroed(bytes: usize) -> Result<Block, MemoryError> {
        if bytes == 0 {
            return Ok(Block::empty());
        }
        let layout = layout_of(bytes).ok_or(MemoryError::TooLarge { len: bytes, element_bytes: 1 })?;
        // SAFETY: the layout's size is `bytes` plus the slack for alignment, hence not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(MemoryError::OutOfMemory { bytes })?;
        #[cfg(all(target_os = "linux", feature = "mmap"))]
        crate::huge_pages::advise(base, layout.size());
        let offset = base.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        // SAFETY: `offset` is below `ALIGNMENT`, and `layout_of` added that much to the allocation.
        let start = unsafe { base.add(offset) };
        Ok(Block { start, base, bytes })
    }

    /// Number of usable bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the usable bytes start.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The first `len` elements.
    pub(crate) fn typed<T: Pod>(&self, len: usize) -> &[T] {
        debug_assert!(len * size_of::<T>() <= self.bytes);
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        // SAFETY: every caller passes a `len` whose bytes it allocated this block for; the bytes are initialised
        // and any bytes are a `T`, as it is `Pod`; `start` is aligned for `T`; the borrow of `self` keeps them alive.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), len) }
    }

    /// The first `len` elements, to write.
    pub(crate) fn typed_mut<T: Pod>(&mut self, len: usize) -> &mut [T] {
        debug_assert!(len * size_of::<T>() <= self.bytes);
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        // SAFETY: as in `typed`, and the unique borrow of `self` makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast().as_ptr(), len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        if let Some(layout) = layout_of(self.bytes) {
            // SAFETY: `base` came from `alloc_zeroed` with this very layout, and nothing else frees it.
            unsafe { dealloc(self.base.as_ptr(), layout) }
        }
    }
}

/// An aligned address for blocks and buffers that hold nothing.
const DANGLING: NonNull<u8> = match NonNull::new(std::ptr::without_provenance_mut(ALIGNMENT)) {
    Some(address) => address,
    None => unreachable!(),
};

/// The allocation behind a block of `bytes`, or nothing if no allocation can be that large.
fn layout_of(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(ALIGNMENT)?, BASE_ALIGNMENT).ok()
}

/// Size of `len` elements in bytes.
pub(crate) fn bytes_of<T>(len: usize) -> Result<usize, MemoryError> {
    len.checked_mul(size_of::<T>())
        .filter(|&bytes| layout_of(bytes).is_some())
        .ok_or(MemoryError::TooLarge { len, element_bytes: size_of::<T>() })
}

/// Ends the program as the standard collections do when memory runs out.
#[cold]
pub(crate) fn refuse(error: MemoryError) -> ! {
    match error {
        MemoryError::OutOfMemory { bytes } => match layout_of(bytes) {
            Some(layout) => std::alloc::handle_alloc_error(layout),
            None => panic!("{error}"),
        },
        error => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_zeroed_and_writable_to_the_end() {
        for bytes in [1, 2, 63, 64, 65, 127, 4095, 4096, 4097, 1 << 20] {
            let mut block = Block::zeroed(bytes).unwrap();
            assert_eq!(block.start().as_ptr().addr() % ALIGNMENT, 0);
            assert!(block.typed::<u8>(bytes).iter().all(|&byte| byte == 0));
            block.typed_mut::<u8>(bytes).fill(0xa5);
            assert_eq!(block.typed::<u8>(bytes)[bytes - 1], 0xa5);
        }
    }

    #[test]
    fn sizes_beyond_the_address_space_are_errors() {
        assert!(matches!(Block::zeroed(usize::MAX), Err(MemoryError::TooLarge { .. })));
        assert!(matches!(bytes_of::<u64>(usize::MAX / 4), Err(MemoryError::TooLarge { .. })));
        assert!(bytes_of::<u64>(8).is_ok_and(|bytes| bytes == 64));
    }
}

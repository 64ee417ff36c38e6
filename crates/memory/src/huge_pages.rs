//! Large blocks in large pages, where the system has them to give: fewer faults when a block is first written, and fewer
//! misses of the translation cache whenever it is read.

use std::ptr::NonNull;

/// Blocks from this size on are asked for: below it, what a page rounds up to would count.
const LEAST_BYTES: usize = 4 << 20;
/// No system's ordinary pages are larger than this, and every such size divides it.
const PAGE: usize = 64 << 10;

/// Asks for large pages behind the `bytes` bytes from `base` on. Linux calls them transparent huge pages and by default
/// gives them to those who ask; where it does not, nothing changes.
pub(crate) fn advise(base: NonNull<u8>, bytes: usize) {
    if bytes < LEAST_BYTES {
        return;
    }
    let skipped = base.as_ptr().addr().wrapping_neg() % PAGE;
    let whole = (bytes - skipped) / PAGE * PAGE;
    // SAFETY: whole pages of the caller's allocation, whose contents the advice does not change.
    unsafe {
        libc::madvise(base.as_ptr().add(skipped).cast(), whole, libc::MADV_HUGEPAGE);
    }
}

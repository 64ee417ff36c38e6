//! Sizes a pool hands out: four to a doubling, so that at most a fifth of a block is waste.

use crate::ALIGNMENT;

/// A size that many requests share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SizeClass {
    bytes: usize,
}

impl SizeClass {
    /// The smallest class that holds `bytes`, or nothing if that overflows.
    pub(crate) fn holding(bytes: usize) -> Option<SizeClass> {
        let least = bytes.max(4 * ALIGNMENT);
        // A class is a multiple of a quarter of the largest power of two below it.
        let step = 1_usize << (least.ilog2() - 2);
        Some(SizeClass { bytes: least.checked_next_multiple_of(step)? })
    }

    /// The next larger classes, up to less than twice this one.
    pub(crate) fn somewhat_larger(self) -> impl Iterator<Item = SizeClass> {
        let next = |class: &SizeClass| SizeClass::holding(class.bytes.checked_add(1)?);
        std::iter::successors(next(&self), next).take_while(move |class| class.bytes / 2 < self.bytes)
    }

    /// Bytes of a block of this class.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_little_more() {
        for bytes in (1..100_000).chain([1 << 20, (1 << 20) + 1, (7 << 20) - 1]) {
            let class = SizeClass::holding(bytes).unwrap();
            assert!(class.bytes() >= bytes);
            assert_eq!(class.bytes() % ALIGNMENT, 0);
            assert!(bytes < 4 * ALIGNMENT || class.bytes() - bytes <= bytes / 4);
            assert_eq!(SizeClass::holding(class.bytes()).unwrap(), class);
        }
        assert!(SizeClass::holding(usize::MAX).is_none());
    }

    #[test]
    fn larger_classes_stay_below_twice_the_size() {
        let larger = |bytes| SizeClass::holding(bytes).unwrap().somewhat_larger().map(SizeClass::bytes);
        assert_eq!(larger(1000).collect::<Vec<_>>(), [1280, 1536, 1792]);
        assert_eq!(larger(1700).collect::<Vec<_>>(), [2048, 2560, 3072]);
        assert_eq!(larger(usize::MAX / 2 + 2).count(), 2, "then sizes end");
    }
}

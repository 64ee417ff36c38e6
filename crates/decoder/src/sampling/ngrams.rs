//! Runs of tokens that may not come twice.

/// Calls `ban` with each token that would complete a run of `length` tokens that `ids` has already. A `length` of 0 bans
/// nothing, as do fewer tokens than it.
pub(super) fn repeated(ids: &[u32], length: usize, mut ban: impl FnMut(u32)) {
    if length == 0 || ids.len() < length {
        return;
    }
    let begun = &ids[ids.len() + 1 - length..];
    for run in ids.windows(length) {
        if let Some((last, first)) = run.split_last()
            && first == begun
        {
            ban(*last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(ids: &[u32], length: usize) -> Vec<u32> {
        let mut all = Vec::new();
        repeated(ids, length, |id| all.push(id));
        all
    }

    #[test]
    fn what_would_come_twice_is_banned() {
        assert_eq!(banned(&[1, 2, 3, 1, 2], 3), [3]);
        assert_eq!(banned(&[1, 2, 3, 1, 2, 4, 1, 2], 3), [3, 4]);
        assert_eq!(banned(&[5, 5], 2), [5]);
        assert_eq!(banned(&[7, 8], 1), [7, 8]);
        assert!(banned(&[1, 2, 3], 3).is_empty());
        assert!(banned(&[1, 2], 3).is_empty());
        assert!(banned(&[1, 1, 1], 0).is_empty());
    }
}

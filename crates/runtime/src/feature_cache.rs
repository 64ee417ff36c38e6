//! Features of images that were looked at before, the least recently used dropped first.

use std::sync::{Arc, Mutex, PoisonError};

use tiny_vlm_models::Features;

use crate::content_hash::ContentKey;

/// Keeps features up to a number of bytes.
///
/// It holds some tens of images, so the entries lie in a vector in order of use.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    budget: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// From the least to the most recently used.
    entries: Vec<(ContentKey, Arc<Features>)>,
    stats: CacheStats,
}

/// What a cache of features holds and how well it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Images found.
    pub hits: u64,
    /// Images not found.
    pub misses: u64,
    /// Images held.
    pub entries: usize,
    /// Bytes held.
    pub bytes: usize,
}

impl FeatureCache {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Whether anything can be kept at all; where not, there is no need to hash an image.
    pub(crate) fn is_enabled(&self) -> bool {
        self.budget > 0
    }

    pub(crate) fn get(&self, key: ContentKey) -> Option<Arc<Features>> {
        let mut state = self.lock();
        match state.entries.iter().position(|(k, _)| *k == key) {
            Some(at) => {
                state.stats.hits += 1;
                let entry = state.entries.remove(at);
                let features = Arc::clone(&entry.1);
                state.entries.push(entry);
                Some(features)
            }
            None => {
                state.stats.misses += 1;
                None
            }
        }
    }

    /// Keeps `features`, unless they alone are beyond the budget, and drops others until all fit.
    pub(crate) fn put(&self, key: ContentKey, features: &Arc<Features>) {
        if features.bytes() > self.budget {
            return;
        }
        let mut state = self.lock();
        if let Some(at) = state.entries.iter().position(|(k, _)| *k == key) {
            state.entries.remove(at);
        }
        state.entries.push((key, Arc::clone(features)));
        let mut bytes: usize = state.entries.iter().map(|(_, f)| f.bytes()).sum();
        let mut drop = 0;
        while bytes > self.budget {
            bytes -= state.entries[drop].1.bytes();
            drop += 1;
        }
        state.entries.drain(..drop);
    }

    pub(crate) fn clear(&self) {
        self.lock().entries.clear();
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let state = self.lock();
        let bytes = state.entries.iter().map(|(_, f)| f.bytes()).sum();
        CacheStats { entries: state.entries.len(), bytes, ..state.stats }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

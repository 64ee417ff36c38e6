//! The tensors of several files under the names that a family knows them by.

use std::collections::btree_map::Entry;

use tiny_vlm_memory::SharedBytes;

use crate::shard::Shard;
use crate::weights::{Inner, Place};
use crate::{TensorInfo, Weights, WeightsError, words};

/// What a tensor is called, and how it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Its other name.
    pub name: String,
    /// For each index of the first axis, which one of the stored tensor's it is; nothing where they are in order.
    pub rows: Option<Vec<usize>>,
}

impl Renamed {
    /// Another name for a tensor that lies as it should.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: name.into(), rows: None }
    }
}

impl Weights {
    /// The tensors of several checkpoints under other names, which `rename` gives; those that it gives none are left out.
    /// A tensor whose rows are in another order is copied, all others are shared. The metadata are those of the first.
    ///
    /// # Errors
    /// If two tensors get one name, or an order is not one of a tensor's rows.
    pub fn joined(
        parts: &[Weights],
        rename: impl Fn(&str, &TensorInfo) -> Option<Renamed>,
    ) -> Result<Weights, WeightsError> {
        let mut joined = Inner::default();
        if let Some(first) = parts.first() {
            (joined.metadata, joined.gguf) = (first.inner.metadata.clone(), first.inner.gguf.clone());
        }
        for part in parts {
            let base = joined.shards.len();
            joined.shards.extend(part.inner.shards.iter().cloned());
            for (name, place) in &part.inner.tensors {
                let Some(Renamed { name: renamed, rows }) = rename(name, &place.info) else { continue };
                let mut place = Place { shard: base + place.shard, ..place.clone() };
                if let Some(rows) = rows {
                    let bytes = &joined.shards[place.shard].0[place.bytes.clone()];
                    let fault = || WeightsError::Header {
                        file: words::name(name),
                        detail: "it does not have the rows that its family says".to_owned(),
                    };
                    let ordered = reordered(bytes, &place.info, &rows).ok_or_else(fault)?;
                    place = Place { shard: joined.shards.len(), bytes: 0..ordered.len(), ..place };
                    joined.shards.push(Shard(SharedBytes::from(ordered)));
                }
                match joined.tensors.entry(renamed) {
                    Entry::Vacant(free) => _ = free.insert(place),
                    Entry::Occupied(taken) => {
                        let tensor = words::name(taken.key());
                        return Err(WeightsError::Twice { file: words::name(name), tensor });
                    }
                }
            }
        }
        Ok(Weights::of(joined))
    }
}

/// The bytes of a tensor with its rows in another order, or nothing where it has no such rows.
fn reordered(bytes: &[u8], info: &TensorInfo, rows: &[usize]) -> Option<Vec<u8>> {
    let count = *info.shape.first()?;
    if count != rows.len() || count == 0 || !bytes.len().is_multiple_of(count) {
        return None;
    }
    let row = bytes.len() / count;
    let mut out = Vec::with_capacity(bytes.len());
    for &from in rows {
        out.extend_from_slice(bytes.get(from.checked_mul(row)?..)?.get(..row)?);
    }
    Some(out)
}

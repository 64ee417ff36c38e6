//! Byte-pair merging (Sennrich et al., 2016, arXiv:1508.07909): of all neighbours that merge, the pair learnt
//! earliest merges first, the leftmost among equals, until none does.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::flat::{Kind, Merge, NONE, Tables};

/// Up to this many symbols a scan for the best pair beats a heap of them.
const SCAN_LIMIT: usize = 64;

/// The working memory of merging, reused from piece to piece.
#[derive(Default)]
pub(crate) struct Merger {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    /// Rank of the merge with the symbol after this one, or [`NONE`].
    rank: u32,
    /// What that merge makes.
    merged: u32,
    previous: u32,
    next: u32,
}

impl Merger {
    /// Appends the tokens of one piece to `out`.
    pub(crate) fn merge(&mut self, tables: &Tables, piece: &[u8], out: &mut Vec<u32>) {
        if tables.ignore_merges
            && let Some(id) = tables.find(piece)
            && tables.kind(id) == Kind::Ordinary
        {
            out.push(id);
            return;
        }
        self.start(tables, piece);
        if self.symbols.len() <= SCAN_LIMIT {
            self.scan(tables);
            out.extend(self.symbols.iter().map(|symbol| symbol.id));
        } else {
            self.by_heap(tables);
            let mut at = 0;
            while let Some(symbol) = self.symbols.get(at as usize) {
                out.push(symbol.id);
                at = symbol.next;
            }
        }
    }

    /// One symbol a byte. A byte without a token is the unknown token, or nothing where there is none.
    fn start(&mut self, tables: &Tables, piece: &[u8]) {
        self.symbols.clear();
        for &byte in piece {
            let mut id = tables.byte_id(byte);
            if id == NONE {
                let repeated = self.symbols.last().is_some_and(|last| last.id == tables.unknown);
                if tables.unknown == NONE || (tables.fuse_unknown && repeated) {
                    continue;
                }
                id = tables.unknown;
            }
            self.symbols.push(Symbol { id, rank: NONE, merged: NONE, previous: NONE, next: NONE });
        }
        for at in 1..self.symbols.len() {
            let merge = tables.merge(self.symbols[at - 1].id, self.symbols[at].id);
            (self.symbols[at - 1].rank, self.symbols[at - 1].merged) = (merge.rank, merge.id);
        }
    }

    /// Quadratic in the number of symbols, with nothing but the symbols to keep.
    fn scan(&mut self, tables: &Tables) {
        let symbols = &mut self.symbols;
        while let Some((at, best)) = symbols.iter().copied().enumerate().min_by_key(|(_, symbol)| symbol.rank)
        {
            if best.rank == NONE {
                break;
            }
            symbols.remove(at + 1);
            symbols[at].id = best.merged;
            for left in at.saturating_sub(1)..=at {
                let merge = match symbols.get(left + 1) {
                    Some(right) => tables.merge(symbols[left].id, right.id),
                    None => Merge::NONE,
                };
                (symbols[left].rank, symbols[left].merged) = (merge.rank, merge.id);
            }
        }
    }

    /// The same with a linked list and a heap of (rank, place): n log n for a word of any length.
    fn by_heap(&mut self, tables: &Tables) {
        let Self { symbols, heap } = self;
        let count = symbols.len() as u32;
        for (at, symbol) in (0..count).zip(symbols.iter_mut()) {
            symbol.previous = at.wrapping_sub(1);
            symbol.next = if at + 1 < count { at + 1 } else { NONE };
        }
        heap.clear();
        heap.extend(
            (0..count)
                .zip(symbols.iter())
                .filter(|(_, s)| s.rank != NONE)
                .map(|(at, s)| Reverse((s.rank, at))),
        );
        while let Some(Reverse((rank, at))) = heap.pop() {
            let best = symbols[at as usize];
            // An entry is out of date when its symbol has merged since, with either neighbour.
            if best.rank != rank {
                continue;
            }
            let right = std::mem::replace(
                &mut symbols[best.next as usize],
                Symbol { id: NONE, rank: NONE, merged: NONE, previous: NONE, next: NONE },
            );
            symbols[at as usize].id = best.merged;
            symbols[at as usize].next = right.next;
            if let Some(after) = symbols.get_mut(right.next as usize) {
                after.previous = at;
            }
            for left in [best.previous, at] {
                let Some(&Symbol { id, next, .. }) = symbols.get(left as usize) else { continue };
                let merge = match symbols.get(next as usize) {
                    Some(right) => tables.merge(id, right.id),
                    None => Merge::NONE,
                };
                (symbols[left as usize].rank, symbols[left as usize].merged) = (merge.rank, merge.id);
                if merge.rank != NONE {
                    heap.push(Reverse((merge.rank, left)));
                }
            }
        }
    }
}

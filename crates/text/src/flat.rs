//! The compiled form: one run of bytes that is searched where it lies.
//!
//! Everything an encoder looks up (byte → token, pair → merge, token → bytes, bytes → token) is a table in
//! these bytes, so that opening one is a check and not a construction, and so that they can be a file
//! mapped into memory or a static. Numbers are little-endian `u32`; counts stand in the header:
//!
//! | section | size | |
//! |---|---|---|
//! | header | 16 words | magic, version, counts, flags: see [`Header`] |
//! | steps | 2 words each | pre-tokenizer: code, argument |
//! | prefix, suffix | 1 word each | tokens that a post-processor puts around a text |
//! | bytes | 256 words | token of each byte, or [`NONE`] |
//! | starts | tokens + 1 words | where each token's bytes begin in the blob |
//! | sorted | 1 word each | tokens that exist, in the order of their bytes |
//! | merges | 4 words a slot | hash table with linear probing: left, right, rank, result |
//! | added | 4 words each | added tokens: id, flags, where in the blob, length |
//! | kinds | 1 byte a token | [`Kind`] |
//! | blob | | the tokens' bytes, then the added tokens' text |

use std::{ops::Deref, ops::Range, sync::Arc};

use crate::{added::Added, error::TextError, pattern::Pattern, split::Step};

pub(crate) const MAGIC: [u8; 8] = *b"TVLMTOKN";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
/// Stands for "no token" wherever an id is optional.
pub(crate) const NONE: u32 = u32::MAX;

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// No token has this id.
    Absent = 0,
    /// Made by merging.
    Ordinary = 1,
    /// Recognised as a whole, but not special.
    Added = 2,
    /// Recognised as a whole, and not part of what a reader sees.
    Special = 3,
}

/// The header's words after magic and version, in file order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header {
    /// Length of the whole.
    pub(crate) total: u32,
    /// Highest id + 1.
    pub(crate) tokens: u32,
    /// How many ids have a token.
    pub(crate) present: u32,
    /// Slots of the merge table: a power of two.
    pub(crate) slots: u32,
    /// Added tokens.
    pub(crate) added: u32,
    /// Pre-tokenizer steps.
    pub(crate) steps: u32,
    /// Tokens before a text.
    pub(crate) prefix: u32,
    /// Tokens after it.
    pub(crate) suffix: u32,
    /// Length of the blob.
    pub(crate) blob: u32,
    /// [`FLAG_NFC`] and its kin.
    pub(crate) flags: u32,
    /// What stands for a byte without a token, or [`NONE`].
    pub(crate) unknown: u32,
}

pub(crate) const FLAG_NFC: u32 = 1;
pub(crate) const FLAG_IGNORE_MERGES: u32 = 2;
pub(crate) const FLAG_FUSE_UNKNOWN: u32 = 4;

impl Header {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        let words = [
            VERSION,
            self.total,
            self.tokens,
            self.present,
            self.slots,
            self.added,
            self.steps,
            self.prefix,
            self.suffix,
            self.blob,
            self.flags,
            self.unknown,
            0,
            0,
        ];
        out.extend(words.into_iter().flat_map(u32::to_le_bytes));
    }

    fn read(bytes: &[u8]) -> Result<Self, TextError> {
        let (magic, rest) =
            bytes.split_first_chunk::<8>().ok_or(TextError::Flat("too short for its header"))?;
        if *magic != MAGIC {
            return Err(TextError::Flat("does not begin as one"));
        }
        let (words, _) = rest.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let mut next = || words.next().ok_or(TextError::Flat("too short for its header"));
        let found = next()?;
        if found != VERSION {
            return Err(TextError::FlatVersion { found, expected: VERSION });
        }
        Ok(Self {
            total: next()?,
            tokens: next()?,
            present: next()?,
            slots: next()?,
            added: next()?,
            steps: next()?,
            prefix: next()?,
            suffix: next()?,
            blob: next()?,
            flags: next()?,
            unknown: next()?,
        })
    }
}

impl Step {
    pub(crate) fn words(self) -> [u32; 2] {
        match self {
            Self::Digits { individual } => [0, u32::from(individual)],
            Self::PrefixSpace => [1, 0],
            Self::Words(Pattern::Gpt2) => [2, 0],
            Self::Words(Pattern::Qwen2) => [2, 1],
            Self::Words(Pattern::Llama3) => [2, 2],
        }
    }

    fn from_words(words: [u32; 2]) -> Option<Self> {
        [
            Self::Digits { individual: false },
            Self::Digits { individual: true },
            Self::PrefixSpace,
            Self::Words(Pattern::Gpt2),
            Self::Words(Pattern::Qwen2),
            Self::Words(Pattern::Llama3),
        ]
        .into_iter()
        .find(|step| step.words() == words)
    }
}

/// The first slot at which to look for a pair in a table of `slots`, a power of two.
#[inline]
pub(crate) fn first_slot(left: u32, right: u32, slots: usize) -> usize {
    let pair = u64::from(left) << 32 | u64::from(right);
    // Fibonacci hashing: the high bits of the product depend on every bit of the pair.
    let hash = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as usize & (slots - 1)
}

/// Where compiled bytes lie: owned, static, or mapped by someone else.
pub(crate) type Source = Arc<dyn Deref<Target = [u8]> + Send + Sync>;

/// Checked compiled bytes, and the small sections read out of them.
pub(crate) struct Flat {
    source: Source,
    sections: Sections,
    pub(crate) steps: Vec<Step>,
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) added: Vec<Added>,
    pub(crate) nfc: bool,
    ignore_merges: bool,
    fuse_unknown: bool,
    unknown: u32,
}

struct Sections {
    byte_ids: Range<usize>,
    starts: Range<usize>,
    sorted: Range<usize>,
    merges: Range<usize>,
    kinds: Range<usize>,
    blob: Range<usize>,
}

impl Flat {
    /// Checks every count, range and id, so that no later look-up can fail.
    pub(crate) fn open(source: Source) -> Result<Self, TextError> {
        let bytes: &[u8] = &source;
        let header = Header::read(bytes)?;
        if usize::try_from(header.total) != Ok(bytes.len()) {
            return Err(TextError::Flat("its length is not the one it states"));
        }
        let mut at = HEADER_BYTES;
        let mut section = |count: u32, size: usize| {
            let end = (count as usize).checked_mul(size).and_then(|length| at.checked_add(length));
            let range = end.filter(|&end| end <= bytes.len()).map(|end| at..end);
            at = range.as_ref().map_or(at, |range| range.end);
            range.ok_or(TextError::Flat("a section ends beyond its end"))
        };
        let starts = header.tokens.checked_add(1).ok_or(TextError::Flat("too many tokens"))?;
        let steps = section(header.steps, 8)?;
        let prefix = section(header.prefix, 4)?;
        let suffix = section(header.suffix, 4)?;
        let byte_ids = section(256, 4)?;
        let starts = section(starts, 4)?;
        let sorted = section(header.present, 4)?;
        let merges = section(header.slots, 16)?;
        let added = section(header.added, 16)?;
        let kinds = section(header.tokens, 1)?;
        let blob = section(header.blob, 1)?;
        if blob.end != bytes.len() {
            return Err(TextError::Flat("bytes are left over after its sections"));
        }

        let is_token = |&id: &u32| id < header.tokens;
        let words = |range: &Range<usize>| read_words(&bytes[range.clone()]);
        let tokens = |range: &Range<usize>, optional: bool| {
            let all = words(range).all(|id| is_token(&id) || (optional && id == NONE));
            if all { Ok(()) } else { Err(TextError::Flat("names a token it does not have")) }
        };
        tokens(&byte_ids, true)?;
        tokens(&sorted, false)?;
        tokens(&prefix, false)?;
        tokens(&suffix, false)?;
        if !header.slots.is_power_of_two() {
            return Err(TextError::Flat("the merge table's size is not a power of two"));
        }
        for [left, right, _, id] in bytes[merges.clone()].as_chunks::<16>().0.iter().map(slot) {
            if left != NONE && ![left, right, id].iter().all(is_token) {
                return Err(TextError::Flat("a merge names a token it does not have"));
            }
        }
        let mut last = 0;
        for start in words(&starts) {
            if start < last || start > header.blob {
                return Err(TextError::Flat("a token's bytes lie outside the blob"));
            }
            last = start;
        }
        if !bytes[kinds.clone()].iter().all(|&kind| kind <= Kind::Special as u8) {
            return Err(TextError::Flat("a token is of no known kind"));
        }
        if !is_token(&header.unknown) && header.unknown != NONE {
            return Err(TextError::Flat("names a token it does not have"));
        }
        let steps = bytes[steps].as_chunks::<8>().0.iter().map(|pair| {
            let mut words = read_words(pair);
            let pair = [words.next().unwrap_or(NONE), words.next().unwrap_or(NONE)];
            Step::from_words(pair).ok_or(TextError::Flat("a pre-tokenizer step is unknown"))
        });
        let added = bytes[added].as_chunks::<16>().0.iter().map(|entry| {
            let [id, flags, start, length] = slot(entry);
            let end = start.checked_add(length).filter(|&end| end <= header.blob);
            let content = end.and_then(|end| bytes[blob.clone()].get(start as usize..end as usize));
            let content = content.and_then(|content| std::str::from_utf8(content).ok());
            match content {
                Some(content) if is_token(&id) => Ok(Added::from_flags(id, flags, content)),
                _ => Err(TextError::Flat("an added token is not text it holds")),
            }
        });
        Ok(Self {
            steps: steps.collect::<Result<_, _>>()?,
            prefix: words(&prefix).collect(),
            suffix: words(&suffix).collect(),
            added: added.collect::<Result<_, _>>()?,
            nfc: header.flags & FLAG_NFC != 0,
            ignore_merges: header.flags & FLAG_IGNORE_MERGES != 0,
            fuse_unknown: header.flags & FLAG_FUSE_UNKNOWN != 0,
            unknown: header.unknown,
            sections: Sections { byte_ids, starts, sorted, merges, kinds, blob },
            source,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.source
    }

    /// The tables, found once for a whole text.
    pub(crate) fn tables(&self) -> Tables<'_> {
        let bytes = self.bytes();
        let words = |range: &Range<usize>| bytes[range.clone()].as_chunks::<4>().0;
        Tables {
            byte_ids: words(&self.sections.byte_ids),
            starts: words(&self.sections.starts),
            sorted: words(&self.sections.sorted),
            merges: bytes[self.sections.merges.clone()].as_chunks::<16>().0,
            kinds: &bytes[self.sections.kinds.clone()],
            blob: &bytes[self.sections.blob.clone()],
            ignore_merges: self.ignore_merges,
            fuse_unknown: self.fuse_unknown,
            unknown: self.unknown,
        }
    }
}

fn read_words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word))
}

#[inline]
fn slot(bytes: &[u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_le_bytes)
}

/// The large sections as slices.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    byte_ids: &'a [[u8; 4]],
    starts: &'a [[u8; 4]],
    sorted: &'a [[u8; 4]],
    merges: &'a [[u8; 16]],
    kinds: &'a [u8],
    blob: &'a [u8],
    pub(crate) ignore_merges: bool,
    pub(crate) fuse_unknown: bool,
    pub(crate) unknown: u32,
}

/// What a pair of neighbours becomes, and how early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merge {
    /// Lower merges first; [`NONE`] when the pair does not merge.
    pub(crate) rank: u32,
    /// The token it becomes.
    pub(crate) id: u32,
}

impl Merge {
    /// The pair does not merge.
    pub(crate) const NONE: Self = Self { rank: NONE, id: NONE };
}

impl<'a> Tables<'a> {
    /// Highest id + 1.
    pub(crate) fn tokens(&self) -> usize {
        self.kinds.len()
    }

    /// The token of one byte, or [`NONE`].
    #[inline]
    pub(crate) fn byte_id(&self, byte: u8) -> u32 {
        u32::from_le_bytes(self.byte_ids[usize::from(byte)])
    }

    /// What `left` and `right` merge to.
    #[inline]
    pub(crate) fn merge(&self, left: u32, right: u32) -> Merge {
        let mask = self.merges.len() - 1;
        let mut at = first_slot(left, right, self.merges.len());
        // Bounded, because a table that someone else wrote may have no free slot.
        for _ in 0..=mask {
            let [slot_left, slot_right, rank, id] = slot(&self.merges[at]);
            if slot_left == left && slot_right == right {
                return Merge { rank, id };
            }
            if slot_left == NONE {
                break;
            }
            at = (at + 1) & mask;
        }
        Merge::NONE
    }

    pub(crate) fn kind(&self, id: u32) -> Kind {
        match self.kinds.get(id as usize) {
            Some(1) => Kind::Ordinary,
            Some(2) => Kind::Added,
            Some(3) => Kind::Special,
            _ => Kind::Absent,
        }
    }

    /// The bytes of a token; `None` where there is none.
    pub(crate) fn token(&self, id: u32) -> Option<&'a [u8]> {
        (self.kind(id) != Kind::Absent).then(|| self.blob_of(id))
    }

    fn blob_of(&self, id: u32) -> &'a [u8] {
        let [start, end] = [0, 1].map(|next| u32::from_le_bytes(self.starts[id as usize + next]) as usize);
        &self.blob[start..end]
    }

    /// The token with exactly these bytes.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let id_at = |at: usize| u32::from_le_bytes(self.sorted[at]);
        let at = self.sorted.partition_point(|id| self.blob_of(u32::from_le_bytes(*id)) < bytes);
        (at < self.sorted.len() && self.blob_of(id_at(at)) == bytes).then(|| id_at(at))
    }
}

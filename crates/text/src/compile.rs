//! From what a tokenizer's files say to the compiled form.

use std::collections::HashMap;

use crate::{
    added::AddedToken,
    byte_level::{bytes_of, spelling_of},
    error::TextError,
    flat::{self, Header, Kind, NONE},
    split::Step,
};

/// A tokenizer as its files describe it, whichever files those were.
#[derive(Default)]
pub(crate) struct Parts {
    /// Tokens made by merging, in the files' spelling.
    pub(crate) vocabulary: HashMap<String, u32>,
    /// Pairs that merge, earliest first, in the same spelling.
    pub(crate) merges: Vec<(String, String)>,
    pub(crate) added: Vec<AddedToken>,
    pub(crate) steps: Vec<Step>,
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) unknown: Option<String>,
    pub(crate) fuse_unknown: bool,
    pub(crate) ignore_merges: bool,
    pub(crate) nfc: bool,
}

struct Token {
    bytes: Vec<u8>,
    kind: Kind,
}

impl Parts {
    /// The compiled form. Equal parts make equal bytes.
    pub(crate) fn compile(&self) -> Result<Vec<u8>, TextError> {
        let tokens = self.tokens()?;
        let bytes_of_id = |id: u32| tokens[id as usize].as_ref().map_or(&[][..], |token| &token.bytes);
        let present: Vec<u32> =
            (0..).zip(&tokens).filter(|(_, token)| token.is_some()).map(|(id, _)| id).collect();
        let mut sorted = present.clone();
        // An added token and an ordinary one may spell the same; the added one is the one to find.
        let is_ordinary = |id: u32| tokens[id as usize].as_ref().is_some_and(|t| t.kind == Kind::Ordinary);
        sorted.sort_by_key(|&id| (bytes_of_id(id), is_ordinary(id), id));

        let mut byte_ids = [NONE; 256];
        for (byte, slot) in (0..=u8::MAX).zip(&mut byte_ids) {
            let spelled = self.vocabulary.get(&spelling_of(byte));
            *slot = spelled.copied().unwrap_or(NONE);
        }
        let merges = self.merge_table()?;
        let unknown = match &self.unknown {
            Some(token) => *self
                .vocabulary
                .get(token)
                .ok_or_else(|| TextError::Vocabulary(format!("the unknown token `{token}` is not in it")))?,
            None => NONE,
        };
        if let Some(id) = self.prefix.iter().chain(&self.suffix).find(|&&id| id as usize >= tokens.len()) {
            return Err(TextError::Vocabulary(format!(
                "the post-processor adds token {id}, which is not in it"
            )));
        }

        let mut blob = Vec::new();
        let mut starts = vec![0];
        for token in &tokens {
            blob.extend(token.iter().flat_map(|token| &token.bytes));
            starts.push(blob.len() as u32);
        }
        let mut added = Vec::new();
        for token in &self.added {
            let [start, length] = [blob.len(), token.content.len()].map(|length| length as u32);
            added.extend([token.id, token.flags(), start, length]);
            blob.extend_from_slice(token.content.as_bytes());
        }

        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let mut header = Header {
            total: 0,
            tokens: tokens.len() as u32,
            present: present.len() as u32,
            slots: (merges.len() / 4) as u32,
            added: self.added.len() as u32,
            steps: self.steps.len() as u32,
            prefix: self.prefix.len() as u32,
            suffix: self.suffix.len() as u32,
            blob: u32::try_from(blob.len()).map_err(|_| too_large())?,
            flags: flag(self.nfc, flat::FLAG_NFC)
                | flag(self.ignore_merges, flat::FLAG_IGNORE_MERGES)
                | flag(self.fuse_unknown, flat::FLAG_FUSE_UNKNOWN),
            unknown,
        };
        let steps: Vec<u32> = self.steps.iter().flat_map(|step| step.words()).collect();
        let words: [&[u32]; 8] =
            [&steps, &self.prefix, &self.suffix, &byte_ids, &starts, &sorted, &merges, &added];
        let total = flat::HEADER_BYTES
            + words.iter().map(|words| words.len() * 4).sum::<usize>()
            + tokens.len()
            + blob.len();
        header.total = u32::try_from(total).map_err(|_| too_large())?;

        let mut out = Vec::with_capacity(total);
        header.write(&mut out);
        for words in words {
            out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        out.extend(tokens.iter().map(|token| token.as_ref().map_or(Kind::Absent, |token| token.kind) as u8));
        out.extend_from_slice(&blob);
        debug_assert_eq!(out.len(), total);
        Ok(out)
    }

    /// Every token by id; ids may have gaps, but not so wide that a small file asks for much memory.
    fn tokens(&self) -> Result<Vec<Option<Token>>, TextError> {
        let count = self.vocabulary.len() + self.added.len();
        let ids = self.vocabulary.values().copied().chain(self.added.iter().map(|token| token.id));
        let highest = ids.max().ok_or_else(|| TextError::Vocabulary("it is empty".into()))?;
        if highest as usize > 2 * count + 65_536 {
            return Err(TextError::Vocabulary(format!("token {highest} among only {count} tokens")));
        }
        let mut tokens: Vec<Option<Token>> = (0..=highest).map(|_| None).collect();
        for (token, &id) in &self.vocabulary {
            let slot = &mut tokens[id as usize];
            if slot.is_some() {
                return Err(TextError::Vocabulary(format!("two tokens have the number {id}")));
            }
            *slot = Some(Token { bytes: bytes_of(token), kind: Kind::Ordinary });
        }
        for token in &self.added {
            let other = self.vocabulary.get(&token.content).filter(|&&id| id != token.id);
            if let Some(id) = other {
                let (content, added) = (&token.content, token.id);
                return Err(TextError::Vocabulary(format!("`{content}` is both token {id} and {added}")));
            }
            let kind = if token.special { Kind::Special } else { Kind::Added };
            tokens[token.id as usize] = Some(Token { bytes: token.content.clone().into_bytes(), kind });
        }
        Ok(tokens)
    }

    /// The merges as a hash table, four words a slot, at most three quarters full.
    fn merge_table(&self) -> Result<Vec<u32>, TextError> {
        let slots = (self.merges.len() + self.merges.len() / 3 + 1).next_power_of_two();
        u32::try_from(slots).map_err(|_| too_large())?;
        let mut table = vec![NONE; slots * 4];
        let mut result = String::new();
        for (index, (left, right)) in self.merges.iter().enumerate() {
            result.clear();
            result.push_str(left);
            result.push_str(right);
            let id = |token: &str| {
                let missing =
                    || TextError::Merge { index, reason: format!("`{token}` is not in the vocabulary") };
                self.vocabulary.get(token).copied().ok_or_else(missing)
            };
            let (left, right, result) = (id(left)?, id(right)?, id(&result)?);
            let mut at = flat::first_slot(left, right, slots);
            let slot = loop {
                let slot = &mut table[4 * at..4 * at + 4];
                if slot[0] == NONE || (slot[0] == left && slot[1] == right) {
                    break slot;
                }
                at = (at + 1) % slots;
            };
            // Of a pair listed twice the later place counts, as in the reference.
            slot.copy_from_slice(&[left, right, index as u32, result]);
        }
        Ok(table)
    }
}

fn too_large() -> TextError {
    TextError::Vocabulary("it is larger than the compiled form can hold".into())
}

//! Names, each kept once, in one piece of memory.

use std::collections::HashMap;
use std::hash::BuildHasher;

/// A name that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextId(u32);

/// All names together, in bytes and in number: two bounds, because many short ones cost as much as a few long ones.
const BYTES_MAX: usize = 24 * 1024 * 1024;
const NUMBER_MAX: usize = 400_000;

#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    /// Where each ends.
    ends: Vec<u32>,
    /// By hash; of two names with one hash the second stands under the next free number.
    by_hash: HashMap<u64, u32>,
    state: std::hash::RandomState,
}

impl Texts {
    /// The name's number; it is added if it is new. A name for which there is no room is `""`'s.
    pub(super) fn id(&mut self, text: &str) -> TextId {
        let mut hash = self.state.hash_one(text);
        while let Some(known) = self.by_hash.get(&hash) {
            if self.text(TextId(*known)) == text {
                return TextId(*known);
            }
            hash = hash.wrapping_add(1);
        }
        if self.all.len() + text.len() > BYTES_MAX + BYTES_MAX / 8 {
            return TextId(u32::MAX);
        }
        let id = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.all.push_str(text);
        self.ends.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.by_hash.insert(hash, id);
        TextId(id)
    }

    pub(super) fn text(&self, id: TextId) -> &str {
        let at = id.0 as usize;
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(at).copied());
        range.and_then(|(start, end)| self.all.get(start as usize..end as usize)).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= BYTES_MAX || self.ends.len() >= NUMBER_MAX
    }

    /// Enough for a while.
    pub(super) fn has_room(&self) -> bool {
        self.all.len() < BYTES_MAX / 4 * 3 && self.ends.len() < NUMBER_MAX / 4 * 3
    }
}

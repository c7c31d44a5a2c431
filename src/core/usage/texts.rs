//! Names, each kept once, in one piece of memory.

use std::collections::HashMap;
use std::hash::BuildHasher;

/// A name that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextId(u32);

/// All names together, in bytes and in number: two bounds, because many short ones cost as much as a few long ones.
const BYTES_MAX: usize = 12 * 1024 * 1024;
const NUMBER_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Whole names only: always UTF-8.
    all: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
    /// By hash; of two names with one hash the second stands under the next free number.
    by_hash: HashMap<u64, u32>,
    state: std::hash::RandomState,
}

/// Names that are wanted, as far as they were named.
#[derive(Debug)]
pub(super) struct Wanted {
    marks: Vec<bool>,
    number: usize,
    bytes: usize,
}

/// The numbers that names have after others have gone.
pub(super) struct Moved(Vec<u32>);

impl Texts {
    /// The name's number; it is added if it is new. A name for which there is no room is `""`'s.
    pub(super) fn id(&mut self, text: &str) -> TextId {
        let slot = match self.slot(text) {
            Ok(known) => return known,
            Err(free) => free,
        };
        if self.all.len() + text.len() > BYTES_MAX + BYTES_MAX / 8 {
            return TextId::NONE;
        }
        let id = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if self.all.len() + text.len() > self.all.capacity() {
            // Twice as much each time would be mostly air.
            self.all.reserve_exact((self.all.len() / 8).max(GROWTH_MIN).max(text.len()));
        }
        self.all.extend_from_slice(text.as_bytes());
        self.ends.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.by_hash.insert(slot, id);
        TextId(id)
    }

    /// Where a name is, or the hash under which it may be put.
    fn slot(&self, text: &str) -> Result<TextId, u64> {
        let mut hash = self.state.hash_one(text);
        while let Some(known) = self.by_hash.get(&hash) {
            if self.text(TextId(*known)) == text {
                return Ok(TextId(*known));
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }

    pub(super) fn text(&self, id: TextId) -> &str {
        let at = id.0 as usize;
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(at).copied());
        let bytes = range.and_then(|(start, end)| self.all.get(start as usize..end as usize));
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= BYTES_MAX || self.ends.len() >= NUMBER_MAX
    }

    /// None of the names, to be told which.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { marks: vec![false; self.ends.len()], number: 0, bytes: 0 }
    }

    /// Lets all other names go. What stays moves up in its own place: a second copy would be the largest thing there is.
    pub(super) fn keep(&mut self, wanted: &Wanted) -> Moved {
        let (mut start, mut kept_bytes, mut kept) = (0, 0, 0);
        let moved = wanted.marks.iter().enumerate().map(|(id, marked)| {
            let end = self.ends.get(id).map_or(start, |end| *end as usize);
            let from = start..end;
            start = end;
            if !marked {
                return u32::MAX;
            }
            let length = from.len();
            self.all.copy_within(from, kept_bytes);
            kept_bytes += length;
            if let Some(place) = self.ends.get_mut(kept as usize) {
                *place = u32::try_from(kept_bytes).unwrap_or(u32::MAX);
            }
            kept += 1;
            kept - 1
        });
        let moved = Moved(moved.collect());
        self.all.truncate(kept_bytes);
        self.ends.truncate(kept as usize);
        self.by_hash.clear();
        for id in 0..kept {
            if let Err(free) = self.slot(self.text(TextId(id))) {
                self.by_hash.insert(free, id);
            }
        }
        moved
    }
}

/// The store of names grows by so much at least.
const GROWTH_MIN: usize = 64 * 1024;

impl TextId {
    const NONE: Self = Self(u32::MAX);
}

impl Wanted {
    pub(super) fn mark(&mut self, texts: &Texts, id: TextId) {
        if let Some(mark) = self.marks.get_mut(id.0 as usize).filter(|mark| !**mark) {
            *mark = true;
            self.number += 1;
            self.bytes += texts.text(id).len();
        }
    }

    /// Few enough for others to come for a while.
    pub(super) fn leave_room(&self) -> bool {
        self.bytes < BYTES_MAX / 4 * 3 && self.number < NUMBER_MAX / 4 * 3
    }
}

impl Moved {
    pub(super) fn of(&self, id: TextId) -> TextId {
        self.0.get(id.0 as usize).map_or(TextId::NONE, |id| TextId(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_text_when_others_go() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut texts = Texts::default();
        let mut known: Vec<(String, TextId)> = vec![];
        for round in 0..40 {
            for _ in 0..200 {
                let name = format!("{}-\u{e9}", random.u32(..2_000)).repeat(random.usize(1..4));
                let id = texts.id(&name);
                assert_eq!(texts.text(id), name);
                if !known.iter().any(|(text, _)| *text == name) {
                    known.push((name, id));
                }
            }
            known.retain(|_| random.u8(..10) > round % 10);
            let mut wanted = texts.wanted();
            for (_, id) in &known {
                wanted.mark(&texts, *id);
            }
            assert_eq!(wanted.number, known.len());
            let moved = texts.keep(&wanted);
            for (_, id) in &mut known {
                *id = moved.of(*id);
            }
            assert_eq!((texts.ends.len(), texts.by_hash.len()), (known.len(), known.len()));
            assert_eq!(texts.all.len(), known.iter().map(|(text, _)| text.len()).sum::<usize>());
            for (text, id) in &known {
                assert_eq!(texts.text(*id), text);
                assert_eq!(texts.id(text), *id, "a name that stayed is not added again");
            }
        }
        assert_eq!(texts.text(TextId::NONE), "");
    }
}

//! Which of many starts a text has. (Ends are starts, read backwards.)

use std::collections::BTreeMap;

use super::{Hits, ListId};

/// Starts, each with its list.
#[derive(Debug, Clone, Default)]
pub(super) struct Affixes {
    /// What was entered; empty once settled.
    entered: BTreeMap<Box<[u8]>, ListId>,
    /// In the order of their bytes.
    settled: Vec<Affix>,
}

#[derive(Debug, Clone)]
struct Affix {
    bytes: Box<[u8]>,
    list: ListId,
    /// Place of the longest other one that is a start of this one.
    shorter: Option<u32>,
}

impl Affixes {
    /// The list of a start: the one there is, or `fresh`.
    pub(super) fn list(&mut self, start: Box<[u8]>, fresh: ListId) -> ListId {
        *self.entered.entry(start).or_insert(fresh)
    }

    /// Readies what was entered for look-ups.
    pub(super) fn settle(&mut self) {
        // Those that the current one may have for a start, longest last.
        let mut around: Vec<u32> = Vec::new();
        for (place, (bytes, list)) in (0..).zip(std::mem::take(&mut self.entered)) {
            let is_start = |place: u32| self.settled.get(place as usize).is_some_and(|a| bytes.starts_with(&a.bytes));
            while around.last().is_some_and(|last| !is_start(*last)) {
                around.pop();
            }
            self.settled.push(Affix { bytes, list, shorter: around.last().copied() });
            around.push(place);
        }
    }

    /// Adds the lists of all starts of `text`.
    pub(super) fn look_up(&self, text: &[u8], hits: &mut Hits) {
        // Whatever is a start of the text is the last one not behind the text, or one of that one's own starts.
        let behind = self.settled.partition_point(|affix| *affix.bytes <= *text);
        let mut place = behind.checked_sub(1);
        while let Some(affix) = place.and_then(|place| self.settled.get(place)) {
            if text.starts_with(&affix.bytes) && !hits.add(affix.list) {
                // Then all shorter ones were found before, too.
                return;
            }
            place = affix.shorter.map(|shorter| shorter as usize);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = ListId> {
        self.settled.iter().map(|affix| affix.list)
    }
}

//! Which of many short pieces a text holds anywhere.

use std::collections::HashMap;

use super::{Hits, ListId};
use crate::core::pattern::marks::PIECE;

/// Pieces, each with its list.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    lists: HashMap<[u8; PIECE], ListId>,
    /// A bit for each hash that occurs: nearly all places of a text end here.
    hashes: Box<[u64]>,
}

/// Words of [`Pieces::hashes`]: 16,384 bits.
const WORDS: usize = 256;

fn hash(piece: [u8; PIECE]) -> usize {
    // Fibonacci's: the highest bits of a product depend on all bits of the piece.
    (u32::from_le_bytes(piece).wrapping_mul(0x9E37_79B1) >> 18) as usize
}

impl Pieces {
    /// The list of a piece: the one there is, or `fresh`.
    pub(super) fn list(&mut self, piece: [u8; PIECE], fresh: ListId) -> ListId {
        if self.hashes.is_empty() {
            self.hashes = vec![0; WORDS].into();
        }
        let hash = hash(piece);
        if let Some(word) = self.hashes.get_mut(hash / 64) {
            *word |= 1 << (hash % 64);
        }
        *self.lists.entry(piece).or_insert(fresh)
    }

    /// Adds the lists of all pieces of `text`.
    pub(super) fn look_up(&self, text: &[u8], hits: &mut Hits) {
        if self.hashes.is_empty() {
            return;
        }
        for piece in text.array_windows() {
            let hash = hash(*piece);
            let occurs = self.hashes.get(hash / 64).is_some_and(|word| word >> (hash % 64) & 1 == 1);
            if occurs && let Some(list) = self.lists.get(piece) {
                hits.add(*list);
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = ListId> {
        self.lists.values().copied()
    }
}

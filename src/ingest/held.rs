//! With a store that does not survive a crash: what has to be delivered before a message may be deleted.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::core::event::EventId;

/// (sink, notification id) pairs.
pub(super) type Awaited = BTreeSet<(String, String)>;

/// Events whose notifications are under way. A message that comes again meanwhile is a duplicate to the engine, and still
/// must not be deleted: its handle would delete the only copy.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<EventId, Awaited>>);

impl Held {
    /// What a message with these events waits for: what was caused just now, and what an earlier copy still waits
    /// for. Empty: nothing.
    pub(super) fn hold(&self, events: &[EventId], caused: Awaited) -> Awaited {
        let mut held = self.events();
        let earlier = events.iter().filter_map(|event| held.get(event)).flatten().cloned();
        let awaited: Awaited = earlier.chain(caused).collect();
        if !awaited.is_empty() {
            for event in events {
                held.insert(event.clone(), awaited.clone());
            }
        }
        awaited
    }

    /// Everything these events waited for is delivered.
    pub(super) fn release(&self, events: &[EventId]) {
        let mut held = self.events();
        for event in events {
            held.remove(event);
        }
    }

    fn events(&self) -> MutexGuard<'_, HashMap<EventId, Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_waits_for_what_its_original_waits_for() {
        let held = Held::default();
        let events = |names: &[&str]| names.iter().map(|name| EventId((*name).to_owned())).collect::<Vec<_>>();
        let caused = |ids: &[&str]| ids.iter().map(|id| ("pager".to_owned(), (*id).to_owned())).collect::<Awaited>();
        assert_eq!(held.hold(&events(&["a"]), caused(&[])), caused(&[]), "it caused nothing");
        assert_eq!(held.hold(&events(&["a", "b"]), caused(&["1"])), caused(&["1"]));
        assert_eq!(held.hold(&events(&["b"]), caused(&[])), caused(&["1"]), "a duplicate");
        assert_eq!(held.hold(&events(&["b", "c"]), caused(&["2"])), caused(&["1", "2"]));
        held.release(&events(&["a", "b"]));
        assert_eq!(held.hold(&events(&["b"]), caused(&[])), caused(&[]), "delivered");
        assert_eq!(held.hold(&events(&["c"]), caused(&[])), caused(&["1", "2"]));
    }
}

//! Events that the collector took and no indexer has acknowledged yet, by their delivery: what to ask for before anything is sent
//! again. The numbers are worth something only to the sender that got them, so they need not outlive it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Deliveries remembered; the one that was posted longest ago makes room.
const KEPT_MAX: usize = 1000;

#[derive(Default)]
pub(super) struct Acks(Mutex<HashMap<String, Taken>>);

#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// The collector's number for each time that it took the event.
    pub(super) ids: Vec<u64>,
    /// When it took it last.
    pub(super) at: Instant,
    /// The event may have come before the first of them.
    pub(super) doubtful: bool,
}

impl Taken {
    pub(super) fn possible_double(&self) -> bool {
        self.doubtful || self.ids.len() > 1
    }
}

impl Acks {
    pub(super) fn of(&self, delivery: &str) -> Option<Taken> {
        self.all().get(delivery).cloned()
    }

    /// The collector took it, once more if it was known.
    pub(super) fn taken(&self, delivery: &str, id: u64, doubtful: bool) -> Taken {
        let mut all = self.all();
        if all.len() >= KEPT_MAX && !all.contains_key(delivery) {
            let oldest = all.iter().min_by_key(|(_, taken)| taken.at).map(|(delivery, _)| delivery.clone());
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let now = Instant::now();
        let known = all.entry(delivery.to_owned()).or_insert_with(|| Taken { ids: vec![], at: now, doubtful });
        known.ids.push(id);
        known.at = now;
        known.clone()
    }

    /// Nothing is asked about it any more.
    pub(super) fn ended(&self, delivery: &str) {
        self.all().remove(delivery);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_longest_ago_makes_room() {
        let acks = Acks::default();
        for n in 0..=KEPT_MAX {
            acks.taken(&format!("d{n}"), 1, false);
            acks.taken("again", n as u64, true);
        }
        assert_eq!(acks.all().len(), KEPT_MAX);
        assert!(acks.of("d0").is_none() && acks.of(&format!("d{KEPT_MAX}")).is_some());
        assert_eq!(acks.of("again").unwrap().ids.len(), KEPT_MAX + 1);
        acks.ended("again");
        assert!(acks.of("again").is_none());
    }
}

//! The outbox of the memory store.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::state::STEP;
use crate::core::decide::NewDelivery;
use crate::core::incident::Fingerprint;
use crate::core::notification::{Kind, Notification};
use crate::store::{Delivery, DeliveryState, Leased, Outcome, Overtaken, Settlement, SinkStats};

/// Finished deliveries kept to look at; the oldest make room.
const FINISHED_MAX: usize = 20_000;

#[derive(Default)]
pub(super) struct Outbox {
    rows: BTreeMap<i64, Row>,
    last_id: i64,
    /// The id of each row by (sink, notification id).
    known: HashMap<(String, String), i64>,
    /// (sink, fingerprint, id) of waiting and parked rows: the first of each pair is the one that may be leased.
    unfinished: BTreeSet<(String, Fingerprint, i64)>,
    finished: BTreeSet<i64>,
    /// How many rows there are of an incident.
    of: HashMap<String, usize>,
    /// By incident and sink.
    memories: HashMap<String, BTreeMap<String, String>>,
}

struct Row {
    delivery: Delivery,
    leased: bool,
    /// It was claimed to be told as one note with the resolve behind it: after an unknown outcome it is the same note again.
    noted: bool,
    settled_at: Option<Timestamp>,
}

impl Outbox {
    pub(super) fn put(&mut self, new: &NewDelivery) {
        let Entry::Vacant(unknown) = self.known.entry((new.sink.clone(), new.notification.id.clone())) else { return };
        self.last_id += 1;
        unknown.insert(self.last_id);
        let at = new.notification.at;
        let delivery = Delivery {
            id: self.last_id,
            sink: new.sink.clone(),
            notification: new.notification.clone(),
            state: DeliveryState::Waiting,
            attempts: 0,
            outcome_unknown: false,
            created_at: at,
            due_at: at,
            last_error: None,
        };
        let unheard = self.is_unheard(&delivery);
        self.unfinished.insert(order(&delivery));
        *self.of.entry(delivery.notification.incident.id.clone()).or_default() += 1;
        self.rows.insert(self.last_id, Row { delivery, leased: false, noted: false, settled_at: None });
        if unheard {
            self.finish(at, self.last_id, DeliveryState::Cancelled);
        }
    }

    /// A resolve whose trigger was given up, and after which nothing else was or will be told there: nobody there knows what ends.
    fn is_unheard(&self, new: &Delivery) -> bool {
        let told = |known: &&Delivery| {
            known.sink == new.sink
                && known.notification.incident.id == new.notification.incident.id
                && (known.notification.kind == Kind::Trigger
                    || !matches!(known.state, DeliveryState::Dead | DeliveryState::Cancelled))
        };
        new.notification.kind == Kind::Resolve
            && self.tells_of(&new.notification.incident.id)
            && self.all().rev().find(told).is_some_and(|last| last.state == DeliveryState::Dead)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// By id, those above `after`.
    pub(super) fn unfinished_of(&self, sink: &str, after: i64) -> impl Iterator<Item = &Delivery> {
        let rows = self.rows.range(after.saturating_add(1)..).map(|(_, row)| row);
        rows.filter(move |row| row.settled_at.is_none() && row.delivery.sink == sink).map(|row| &row.delivery)
    }

    pub(super) fn is_unfinished(&self, pair: &(String, String)) -> bool {
        self.known.get(pair).and_then(|id| self.rows.get(id)).is_some_and(|row| row.settled_at.is_none())
    }

    /// Whether there is a delivery of that incident, finished or not.
    pub(super) fn tells_of(&self, incident: &str) -> bool {
        self.of.contains_key(incident)
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.rows.values().map(|row| &row.delivery)
    }

    /// With the time at which each ended.
    pub(super) fn of_incident(&self, incident: &str) -> impl Iterator<Item = (&Delivery, Option<Timestamp>)> {
        let of = move |row: &&Row| row.delivery.notification.incident.id == incident;
        self.rows.values().filter(of).map(|row| (&row.delivery, row.settled_at))
    }

    pub(super) fn lease(&mut self, now: Timestamp, until: Timestamp, sink: &str, limit: usize) -> Vec<Leased> {
        let mut heads: Vec<&Delivery> = vec![];
        let mut last = None;
        let first = (sink.to_owned(), Fingerprint(String::new()), i64::MIN);
        for (_, fingerprint, id) in self.unfinished.range(first..).take_while(|(of, ..)| of == sink) {
            if last != Some(fingerprint) {
                last = Some(fingerprint);
                heads.extend(self.rows.get(id).map(|row| &row.delivery).filter(|delivery| delivery.due_at <= now));
            }
        }
        heads.sort_by_key(|head| (std::cmp::Reverse(head.notification.incident.severity), head.id));
        let ids: Vec<i64> = heads.into_iter().take(limit).map(|head| head.id).collect();
        ids.into_iter().filter_map(|id| self.claim(id, until)).collect()
    }

    fn claim(&mut self, id: i64, until: Timestamp) -> Option<Leased> {
        let row = self.rows.get_mut(&id)?;
        if row.leased {
            row.delivery.attempts = row.delivery.attempts.saturating_add(1);
            row.delivery.outcome_unknown = true;
        }
        let delivery = row.delivery.clone();
        row.leased = true;
        row.delivery.due_at = until;
        // What waits behind it needs no claim of its own: only the oldest can be claimed.
        let noted = row.noted;
        let overtaken = self.overtaken(&delivery, noted);
        if let Some(row) = self.rows.get_mut(&id) {
            row.noted |= overtaken.is_some();
        }
        let memories = self.memories.get(&delivery.notification.incident.id);
        let memory = memories.and_then(|of| of.get(&delivery.sink)).cloned();
        Some(Leased { delivery, memory, overtaken })
    }

    fn overtaken(&self, head: &Delivery, noted: bool) -> Option<Overtaken> {
        if (head.attempts > 0 && !noted) || head.notification.kind != Kind::Trigger {
            return None;
        }
        let mut ids = vec![];
        for row in self.behind(head) {
            ids.push(row.id);
            if row.notification.kind == Kind::Resolve {
                return Some(Overtaken { ids, resolve: row.notification.clone() });
            }
        }
        None
    }

    /// The unfinished deliveries of the same incident and sink from this one on, oldest first.
    fn behind(&self, head: &Delivery) -> impl Iterator<Item = &Delivery> {
        let (sink, fingerprint, _) = order(head);
        let incident = head.notification.incident.id.clone();
        self.unfinished
            .range(order(head)..=(sink, fingerprint, i64::MAX))
            .filter_map(|(.., id)| self.rows.get(id))
            .map(|row| &row.delivery)
            .filter(move |delivery| delivery.notification.incident.id == incident)
    }

    pub(super) fn settle(&mut self, now: Timestamp, settlement: &Settlement) {
        let id = settlement.id;
        let Some(row) = self.rows.get_mut(&id).filter(|row| row.settled_at.is_none()) else { return };
        row.leased = false;
        let delivery = &mut row.delivery;
        if !matches!(settlement.outcome, Outcome::Released { .. }) {
            delivery.attempts = delivery.attempts.saturating_add(1);
        }
        match settlement.outcome.clone() {
            Outcome::Done { memory } => {
                let incident = &delivery.notification.incident.id;
                if let Some(memory) = memory {
                    self.memories.entry(incident.clone()).or_default().insert(delivery.sink.clone(), memory);
                } else if let Some(of) = self.memories.get_mut(incident) {
                    of.remove(&delivery.sink);
                }
                self.finish(now, id, DeliveryState::Done);
            }
            Outcome::Retry { at, outcome_unknown, error } => {
                delivery.state = DeliveryState::Waiting;
                put_off(delivery, at, outcome_unknown, error);
            }
            Outcome::Parked { at, outcome_unknown, error } => {
                delivery.state = DeliveryState::Parked;
                put_off(delivery, at, outcome_unknown, error);
            }
            Outcome::Dead { error } => {
                delivery.last_error = Some(error);
                let head = delivery.clone();
                if head.notification.kind == Kind::Trigger {
                    let followers = self.behind(&head).filter(|row| row.id != id);
                    let followers = followers.take_while(|row| row.notification.kind != Kind::Trigger);
                    let followers: Vec<i64> = followers.map(|row| row.id).collect();
                    for follower in followers {
                        self.finish(now, follower, DeliveryState::Cancelled);
                    }
                }
                self.finish(now, id, DeliveryState::Dead);
            }
            Outcome::Released { at } => delivery.due_at = at,
        }
    }

    fn finish(&mut self, now: Timestamp, id: i64, state: DeliveryState) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.delivery.state = state;
        row.leased = false;
        row.settled_at = Some(now);
        self.unfinished.remove(&order(&row.delivery));
        self.finished.insert(id);
        if self.finished.len() > FINISHED_MAX
            && let Some(oldest) = self.finished.pop_first()
        {
            self.forget(oldest);
        }
    }

    /// The fingerprints of which something is still to be told.
    pub(super) fn awaited(&self) -> HashSet<&Fingerprint> {
        self.unfinished.iter().map(|(_, fingerprint, _)| fingerprint).collect()
    }

    /// Forgets what was told, or was not, of these.
    pub(super) fn forget_finished_of(&mut self, gone: &HashSet<Fingerprint>) {
        let of = |id: &&i64| {
            self.rows.get(id).is_some_and(|row| gone.contains(&row.delivery.notification.incident.fingerprint))
        };
        let old: Vec<i64> = self.finished.iter().filter(of).copied().collect();
        for id in old {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: i64) {
        self.finished.remove(&id);
        if let Some(row) = self.rows.remove(&id) {
            let Notification { id, incident, .. } = row.delivery.notification;
            self.known.remove(&(row.delivery.sink, id));
            if let Entry::Occupied(mut rows) = self.of.entry(incident.id) {
                *rows.get_mut() -= 1;
                if *rows.get() == 0 {
                    rows.remove();
                }
            }
        }
    }

    pub(super) fn forget_memories(&mut self, incident: &str) {
        self.memories.remove(incident);
    }

    pub(super) fn prune(&mut self, now: Timestamp, before: Timestamp, sinks: &[String]) -> usize {
        let orphans: Vec<i64> = self
            .unfinished
            .iter()
            .filter(|(sink, ..)| !sinks.contains(sink))
            .filter(|(.., id)| self.rows.get(id).is_some_and(|row| !row.leased || row.delivery.due_at <= now))
            .map(|(.., id)| *id)
            .take(STEP)
            .collect();
        for id in &orphans {
            if let Some(row) = self.rows.get_mut(id) {
                row.delivery.last_error = Some(super::super::SINK_REMOVED.to_owned());
            }
            self.finish(now, *id, DeliveryState::Dead);
        }
        let settled = |id: &i64| self.rows.get(id).and_then(|row| row.settled_at);
        let old = self.finished.iter().filter(|id| settled(id).is_some_and(|at| at < before));
        let old: Vec<i64> = old.copied().take(STEP).collect();
        for id in &old {
            self.forget(*id);
        }
        orphans.len() + old.len()
    }

    pub(super) fn stats(&self) -> BTreeMap<String, SinkStats> {
        let mut sinks: BTreeMap<String, SinkStats> = BTreeMap::new();
        for delivery in self.all() {
            let stats = match delivery.state {
                DeliveryState::Done | DeliveryState::Cancelled => continue,
                _ => sinks.entry(delivery.sink.clone()).or_default(),
            };
            match delivery.state {
                DeliveryState::Waiting => stats.waiting += 1,
                DeliveryState::Parked => stats.parked += 1,
                _ => {
                    stats.dead += 1;
                    continue;
                }
            }
            stats.oldest = Some(stats.oldest.map_or(delivery.created_at, |oldest| oldest.min(delivery.created_at)));
        }
        sinks
    }
}

fn order(delivery: &Delivery) -> (String, Fingerprint, i64) {
    (delivery.sink.clone(), delivery.notification.incident.fingerprint.clone(), delivery.id)
}

fn put_off(delivery: &mut Delivery, at: Timestamp, outcome_unknown: bool, error: String) {
    delivery.due_at = at;
    delivery.outcome_unknown = outcome_unknown;
    delivery.last_error = Some(error);
}

//! The collections of the memory store.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::lines::Lines;
use super::outbox::Outbox;
use crate::core::access::Histories;
use crate::core::canary::{CALLS_KEPT, Call};
use crate::core::decide::{AlertEntry, Decision, HistoryEntry, ReadSet, Snapshot};
use crate::core::event::EventId;
use crate::core::incident::{Fingerprint, Incident, Situation, State as IncidentState};
use crate::core::silence::Silence;
use crate::core::usage::KeyUsage;
use crate::store::{KnownKey, LEARNT_KEPT, QUARANTINE_MAX, Retention, StoreError, quarantine_full};

/// Events remembered; the oldest make room.
const SEEN_MAX: usize = 500_000;
/// Incidents kept, open and resolved; resolved ones make room.
const INCIDENTS_MAX: usize = 50_000;
const KEYS_MAX: usize = 20_000;
/// Entries of one kind that a step of housekeeping forgets, at most: nobody waits long for the lock.
pub(super) const STEP: usize = 500;

#[derive(Default)]
pub(super) struct State {
    seen: HashSet<EventId>,
    seen_in_order: VecDeque<(Timestamp, EventId)>,
    pub(super) situations: BTreeMap<Fingerprint, KeptSituation>,
    pub(super) incidents: BTreeMap<String, KeptIncident>,
    pub(super) outbox: Outbox,
    pub(super) keys: HashMap<String, KnownKey>,
    pub(super) policies: Histories,
    pub(super) usage: BTreeMap<String, KeyUsage>,
    /// Oldest first; canaries are few, and of each so many are kept.
    pub(super) canary_calls: Vec<Call>,
    /// By id; people make them, so they are few.
    pub(super) silences: BTreeMap<String, Silence>,
    /// When, message id, reason; bodies would not be bounded.
    pub(super) quarantine: VecDeque<(Timestamp, String, String)>,
}

pub(super) struct KeptSituation {
    pub(super) situation: Situation,
    /// When it was last stored.
    kept_at: Timestamp,
    /// Nothing else is left of it.
    learnt: bool,
}

pub(super) struct KeptIncident {
    pub(super) incident: Incident,
    pub(super) alerts: Lines<AlertEntry>,
    pub(super) history: Lines<HistoryEntry>,
    kept_at: Timestamp,
}

impl State {
    pub(super) fn snapshot(&self, reads: &ReadSet) -> Snapshot {
        let mut snapshot = Snapshot {
            seen: reads.events.iter().filter(|id| self.seen.contains(id)).cloned().collect(),
            ..Snapshot::default()
        };
        let mut take = |fingerprint: &Fingerprint| {
            if let Some(kept) = self.situations.get(fingerprint) {
                snapshot.situations.insert(fingerprint.clone(), kept.situation.clone());
            }
        };
        reads.fingerprints.iter().for_each(&mut take);
        for incident in reads.incidents.iter().filter_map(|id| self.incidents.get(id)) {
            take(&incident.incident.fingerprint);
        }
        if let Some((now, limit)) = reads.due {
            let mut due: Vec<(Timestamp, &Fingerprint)> = self
                .situations
                .values()
                .filter_map(|kept| Some((kept.situation.next_due()?, &kept.situation.fingerprint)))
                .filter(|(at, _)| *at <= now)
                .collect();
            due.sort();
            due.into_iter().take(limit).for_each(|(_, fingerprint)| take(fingerprint));
        }
        snapshot
    }

    pub(super) fn store(&mut self, decision: &Decision) {
        for (id, at) in &decision.seen {
            if self.seen.insert(id.clone()) {
                self.seen_in_order.push_back((*at, id.clone()));
            }
        }
        while self.seen.len() > SEEN_MAX
            && let Some((_, id)) = self.seen_in_order.pop_front()
        {
            self.seen.remove(&id);
        }
        for situation in &decision.situations {
            let kept_at = super::super::kept_at(decision, situation);
            if let Some(incident) = &situation.incident {
                self.keep_incident(incident, kept_at);
            }
            let kept = KeptSituation { situation: situation.clone(), kept_at, learnt: false };
            self.situations.insert(situation.fingerprint.clone(), kept);
        }
        for alert in &decision.alerts {
            if let Some(kept) = self.incidents.get_mut(&alert.incident) {
                kept.alerts.push(alert.clone());
            }
        }
        for entry in &decision.history {
            if let Some(kept) = self.incidents.get_mut(&entry.incident) {
                kept.history.push(entry.clone());
            }
        }
        for delivery in &decision.deliveries {
            self.outbox.put(delivery);
        }
        for silence in &decision.silences {
            if self.silences.get(&silence.id).is_none_or(|known| known.ended.is_none()) {
                self.silences.insert(silence.id.clone(), silence.clone());
            }
        }
    }

    fn keep_incident(&mut self, incident: &Incident, kept_at: Timestamp) {
        if let Some(kept) = self.incidents.get_mut(&incident.id) {
            kept.incident = incident.clone();
            kept.kept_at = kept_at;
            return;
        }
        if self.incidents.len() >= INCIDENTS_MAX {
            let over = self.incidents.values().filter(|kept| self.is_over(&kept.incident));
            let oldest = over.min_by_key(|kept| kept.kept_at).map(|kept| kept.incident.id.clone());
            if let Some(oldest) = oldest {
                self.forget_incident(&oldest);
            }
        }
        let kept =
            KeptIncident { incident: incident.clone(), alerts: Lines::default(), history: Lines::default(), kept_at };
        self.incidents.insert(incident.id.clone(), kept);
    }

    /// The incident of that id, or the only one whose id begins so.
    pub(super) fn find(&self, id: &str) -> Option<&KeptIncident> {
        if id.is_empty() {
            return None;
        }
        let mut found = self.incidents.range(id.to_owned()..).take_while(|(known, _)| known.starts_with(id));
        let first = found.next()?;
        let only = first.0 == id || found.next().is_none();
        only.then_some(first.1)
    }

    pub(super) fn remember(&mut self, keys: &[KnownKey]) {
        for known in keys {
            let Some(arn) = &known.key.arn else { continue };
            if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(arn) {
                // Any will do: what is forgotten is looked up again.
                let victim = self.keys.keys().next().cloned();
                victim.and_then(|victim| self.keys.remove(&victim));
            }
            let joined = known.join(self.keys.get(arn));
            self.keys.insert(arn.clone(), joined);
        }
    }

    pub(super) fn keep_canary_call(&mut self, call: &Call) {
        self.canary_calls.retain(|known| known.id != call.id);
        let after = self.canary_calls.partition_point(|known| (known.at, &known.id) < (call.at, &call.id));
        self.canary_calls.insert(after, call.clone());
        let mut over = self.canary_calls.iter().filter(|known| known.canary == call.canary).count();
        over = over.saturating_sub(CALLS_KEPT);
        self.canary_calls.retain(|known| {
            let goes = over > 0 && known.canary == call.canary;
            over -= usize::from(goes);
            !goes
        });
    }

    pub(super) fn quarantine(&mut self, now: Timestamp, message_id: &str, reason: &str) -> Result<(), StoreError> {
        if self.quarantine.iter().any(|(_, known, _)| known == message_id) {
            return Ok(());
        }
        let messages = u64::try_from(self.quarantine.len()).unwrap_or(u64::MAX);
        if messages >= QUARANTINE_MAX {
            return Err(quarantine_full(messages, 0));
        }
        self.quarantine.push_back((now, message_id.to_owned(), reason.to_owned()));
        Ok(())
    }

    /// Forgets so many situations, but none that this decision stores: resolved ones and those of which little is left, oldest first, then
    /// markers. `false`, and nothing is
    /// forgotten, if there are not so many.
    pub(super) fn make_room(&mut self, over: usize, decision: &Decision) -> bool {
        let stored: HashSet<&Fingerprint> =
            decision.situations.iter().map(|situation| &situation.fingerprint).collect();
        let awaited = self.outbox.awaited();
        let mut spare: Vec<(bool, Timestamp, &Fingerprint)> = self
            .situations
            .values()
            .filter(|kept| kept.situation.incident.as_ref().is_none_or(|i| i.state == IncidentState::Resolved))
            .map(|kept| (kept.situation.incident.is_none() && !kept.learnt, kept.kept_at, &kept.situation.fingerprint))
            .filter(|(.., fingerprint)| !stored.contains(fingerprint) && !awaited.contains(fingerprint))
            .collect();
        if spare.len() < over {
            return false;
        }
        spare.sort_unstable();
        // Some more at once: the next ones do not have to look through all of them again.
        let gone: HashSet<Fingerprint> = spare.into_iter().take(over.max(STEP)).map(|(.., f)| f.clone()).collect();
        tracing::warn!(
            situations = gone.len(),
            "the memory store is full; the oldest resolved incidents are forgotten"
        );
        // With all that is left of them: a later incident of the fingerprint counts from one again.
        self.outbox.forget_finished_of(&gone);
        self.situations.retain(|fingerprint, _| !gone.contains(fingerprint));
        let of = self.incidents.values().filter(|kept| gone.contains(&kept.incident.fingerprint));
        for incident in of.map(|kept| kept.incident.id.clone()).collect::<Vec<_>>() {
            self.forget_incident(&incident);
        }
        true
    }

    /// One step.
    pub(super) fn prune(&mut self, now: Timestamp, retention: &Retention, sinks: &[String]) -> u64 {
        let before = |length: SignedDuration| now.checked_sub(length).unwrap_or(Timestamp::MIN);
        let old = before(retention.history);
        let touched = self.forget_seen(before(retention.seen))
            + self.outbox.prune(now, old, sinks)
            + self.forget_situations(old, before(retention.markers), before(LEARNT_KEPT))
            + self.forget_silences(old)
            + self.forget_quarantined(old)
            + self.forget_canary_calls(old)
            + self.forget_incidents(old);
        u64::try_from(touched).unwrap_or(u64::MAX)
    }

    fn forget_seen(&mut self, before: Timestamp) -> usize {
        let old = self.seen_in_order.iter().take(STEP).take_while(|(at, _)| *at < before).count();
        for (_, id) in self.seen_in_order.drain(..old) {
            self.seen.remove(&id);
        }
        old
    }

    fn forget_situations(&mut self, before: Timestamp, markers_before: Timestamp, learnt_before: Timestamp) -> usize {
        let old = self.situations.values().filter(|kept| match &kept.situation.incident {
            None if kept.learnt => kept.kept_at < learnt_before,
            None => kept.kept_at < markers_before,
            Some(incident) => kept.kept_at < before && self.is_over(incident),
        });
        let old: Vec<Fingerprint> = old.map(|kept| kept.situation.fingerprint.clone()).take(STEP).collect();
        for fingerprint in &old {
            let Some(kept) = self.situations.get_mut(fingerprint) else { continue };
            match kept.situation.learnt().filter(|_| !kept.learnt) {
                Some(situation) => *kept = KeptSituation { situation, kept_at: kept.kept_at, learnt: true },
                None => drop(self.situations.remove(fingerprint)),
            }
        }
        old.len()
    }

    fn forget_silences(&mut self, before: Timestamp) -> usize {
        let kept = self.silences.len();
        self.silences.retain(|_, silence| silence.end() >= before);
        kept - self.silences.len()
    }

    /// Of canaries that are configured no more, too.
    fn forget_canary_calls(&mut self, before: Timestamp) -> usize {
        let old = self.canary_calls.iter().take(STEP).take_while(|call| call.at < before).count();
        self.canary_calls.drain(..old).count()
    }

    fn forget_quarantined(&mut self, before: Timestamp) -> usize {
        let old = self.quarantine.iter().take(STEP).take_while(|(at, ..)| *at < before).count();
        self.quarantine.drain(..old).count()
    }

    /// A long story fills a step by itself.
    fn forget_incidents(&mut self, before: Timestamp) -> usize {
        let old = self.incidents.values().filter(|kept| kept.kept_at < before && self.is_over(&kept.incident));
        let old: Vec<String> = old.map(|kept| kept.incident.id.clone()).take(STEP).collect();
        let mut touched = 0;
        for id in old {
            touched += self.forget_incident(&id);
            if touched >= STEP {
                break;
            }
        }
        touched
    }

    /// Returns the number of entries that are gone.
    fn forget_incident(&mut self, id: &str) -> usize {
        self.outbox.forget_memories(id);
        self.incidents.remove(id).map_or(0, |kept| 1 + kept.alerts.len() + kept.history.len())
    }

    /// Resolved, and no delivery of it is kept: a later incident of the fingerprint would count from one again, and its
    /// notifications would be taken for those that are there.
    fn is_over(&self, incident: &Incident) -> bool {
        incident.state == IncidentState::Resolved && !self.outbox.tells_of(&incident.id)
    }
}

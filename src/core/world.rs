//! What is remembered while events are played without a store: the same three steps as in the daemon, with time as told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::decide::{Decision, Evaluation, Gates, Policy, Snapshot, decide, tick};
use super::event::EventId;
use super::incident::{Fingerprint, Situation};

/// Seen events, situations and the open incidents that hold others, in memory.
#[derive(Debug, Default)]
pub struct World {
    seen: HashSet<EventId>,
    situations: HashMap<Fingerprint, Situation>,
    gates: Arc<Gates>,
    /// When a gate may have opened: what is held needs a look.
    opened: Option<Timestamp>,
}

/// More ticks than any story needs between two events.
const TICKS_MAX: usize = 100_000;

impl World {
    /// What is remembered under a fingerprint.
    pub fn situation(&self, fingerprint: &Fingerprint) -> Option<&Situation> {
        self.situations.get(fingerprint)
    }

    /// All situations, in the order of their fingerprints.
    pub fn situations(&self) -> Vec<&Situation> {
        let mut all: Vec<_> = self.situations.values().collect();
        all.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        all
    }

    /// Decides what these evaluations mean, and remembers it.
    pub fn decide(&mut self, policy: &Policy, evaluations: &[Evaluation], now: Timestamp) -> Decision {
        let reads = Evaluation::reads(evaluations);
        let snapshot = Snapshot {
            seen: reads.events.into_iter().filter(|event| self.seen.contains(event)).collect(),
            situations: self.known(reads.fingerprints),
            gates: Arc::clone(&self.gates),
            ..Snapshot::default()
        };
        let decision = decide(policy, evaluations, &snapshot, now);
        self.remember(policy, &decision, now);
        decision
    }

    /// Lets time pass up to `until`: every timer that is due on the way fires when it is due. `told` hears what that means.
    pub fn pass(&mut self, policy: &Policy, until: Timestamp, mut told: impl FnMut(Decision)) {
        let mut now = Timestamp::MIN;
        for _ in 0..TICKS_MAX {
            if let Some(opened) = self.opened.take() {
                let held = self.situations.values().filter(|s| s.is_held()).map(|s| s.fingerprint.clone()).collect();
                told(self.tick(policy, held, opened));
            }
            let due = self.situations.values().filter_map(|s| Some((s.next_due()?, &s.fingerprint)));
            let Some(next) = due.clone().map(|(at, _)| at).min().filter(|at| *at <= until) else { return };
            // A timer that is still due after it fired is asked again a second later.
            let later = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(until);
            now = if next > now { next } else { later.min(until) };
            let due: Vec<Fingerprint> = due.filter(|(at, _)| *at <= now).map(|(_, f)| f.clone()).collect();
            let decision = self.tick(policy, due, now);
            let over = decision.is_empty() && now == until;
            told(decision);
            if over {
                return;
            }
        }
    }

    /// Fires all timers that are due by `now`, at once, as after a pause in which nothing ran.
    #[cfg(test)]
    pub(crate) fn tick_now(&mut self, policy: &Policy, now: Timestamp) -> Decision {
        let due = self.situations.values().filter(|s| s.next_due().is_some_and(|due| due <= now));
        let due = due.map(|situation| situation.fingerprint.clone()).collect();
        self.tick(policy, due, now)
    }

    fn tick(&mut self, policy: &Policy, due: Vec<Fingerprint>, now: Timestamp) -> Decision {
        let snapshot = Snapshot { situations: self.known(due), gates: Arc::clone(&self.gates), ..Snapshot::default() };
        let decision = tick(policy, &snapshot, now);
        self.remember(policy, &decision, now);
        decision
    }

    fn known(&self, fingerprints: Vec<Fingerprint>) -> HashMap<Fingerprint, Situation> {
        fingerprints.into_iter().filter_map(|f| self.situations.get(&f).cloned().map(|s| (f, s))).collect()
    }

    fn remember(&mut self, policy: &Policy, decision: &Decision, now: Timestamp) {
        if Arc::make_mut(&mut self.gates).learn(policy, decision) {
            self.opened = Some(now);
        }
        self.seen.extend(decision.seen.iter().map(|(event, _)| event.clone()));
        for situation in &decision.situations {
            self.situations.insert(situation.fingerprint.clone(), situation.clone());
        }
    }
}

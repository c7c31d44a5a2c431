//! What is remembered while events are played without a store: the same three steps as in the daemon, with time as told.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::decide::{Decision, Evaluation, Policy, Snapshot, decide, tick};
use super::event::EventId;
use super::incident::{Fingerprint, Situation};

/// Seen events and situations, in memory.
#[derive(Debug, Default)]
pub struct World {
    seen: HashSet<EventId>,
    situations: HashMap<Fingerprint, Situation>,
}

/// More ticks than any story needs between two events.
const TICKS_MAX: usize = 100_000;

impl World {
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
            ..Snapshot::default()
        };
        let decision = decide(policy, evaluations, &snapshot, now);
        self.remember(&decision);
        decision
    }

    /// Lets time pass up to `until`: every timer that is due on the way fires when it is due. `told` hears what that means.
    pub fn pass(&mut self, policy: &Policy, until: Timestamp, mut told: impl FnMut(Decision)) {
        let mut now = Timestamp::MIN;
        for _ in 0..TICKS_MAX {
            let due = self.situations.values().filter_map(|s| Some((s.next_due()?, &s.fingerprint)));
            let Some(next) = due.clone().map(|(at, _)| at).min().filter(|at| *at <= until) else { return };
            // A timer that is still due after it fired is asked again a second later.
            let later = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(until);
            now = if next > now { next } else { later.min(until) };
            let due: Vec<Fingerprint> = due.filter(|(at, _)| *at <= now).map(|(_, f)| f.clone()).collect();
            let snapshot = Snapshot { situations: self.known(due), ..Snapshot::default() };
            let decision = tick(policy, &snapshot, now);
            self.remember(&decision);
            let over = decision.is_empty() && now == until;
            told(decision);
            if over {
                return;
            }
        }
    }

    fn known(&self, fingerprints: Vec<Fingerprint>) -> HashMap<Fingerprint, Situation> {
        fingerprints.into_iter().filter_map(|f| self.situations.get(&f).cloned().map(|s| (f, s))).collect()
    }

    fn remember(&mut self, decision: &Decision) {
        self.seen.extend(decision.seen.iter().map(|(event, _)| event.clone()));
        for situation in &decision.situations {
            self.situations.insert(situation.fingerprint.clone(), situation.clone());
        }
    }
}

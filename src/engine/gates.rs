//! What holds notifications back, as the engine knows it: silences as the store has them, open incidents that hold others.
//! Other processes change both, so what is known here is compared with the store again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Engine, TICK_PAGE};
use crate::core::decide::{self, Decision, Gates, Policy, ReadSet, Snapshot};
use crate::core::hold::Gate;
use crate::core::incident::{Fingerprint, Situation};
use crate::core::inhibit::Inhibitor;
use crate::core::silence::{Holds, InForce, Silence};
use crate::store::StoreError;

impl Engine {
    /// Waits until something that held notifications back may do so no longer.
    pub async fn gate_opened(&self) {
        self.opened.notified().await;
    }

    /// Looks at the silences that the store has now, and whether those that wait for incidents still have to.
    ///
    /// # Errors
    /// The store could not be read; what was known stays in force.
    pub async fn refresh_gates(&self) -> Result<(), StoreError> {
        let now = self.now();
        let found = self.store.silences(Some(now)).await?;
        let known = self.gates.load_full();
        let mut silences = Vec::new();
        for silence in found {
            if let Some(same) = known.silences.iter().find(|one| one.silence == silence) {
                silences.push(Arc::clone(same));
                continue;
            }
            let id = silence.id.clone();
            if let Ok(in_force) = InForce::new(silence) {
                silences.push(Arc::new(in_force));
            } else {
                // Counts as not matching: what it meant to hold is told.
                tracing::error!(silence.id = %id, "a silence in the store has no pattern that can be read");
            }
        }
        if silences != known.silences {
            let ids: BTreeSet<&str> = silences.iter().map(|one| one.silence.id.as_str()).collect();
            let ended = known.silences.iter().any(|one| !ids.contains(one.silence.id.as_str()));
            self.gates.rcu(|gates| Gates { silences: silences.clone(), inhibitors: gates.inhibitors.clone() });
            if ended {
                self.opened.notify_one();
            }
        }
        self.settle_silences(&silences).await
    }

    /// Ends silences whose incidents were resolved by somebody who did not know of them.
    async fn settle_silences(&self, silences: &[Arc<InForce>]) -> Result<(), StoreError> {
        let waits = silences.iter().flat_map(|one| &one.silence.waits_for);
        let fingerprints: BTreeSet<Fingerprint> = waits.map(|(_, print)| print.clone()).collect();
        if fingerprints.is_empty() {
            return Ok(());
        }
        let fingerprints: Vec<Fingerprint> = fingerprints.into_iter().collect();
        let (policy, now) = (self.policy(), self.now());
        let found = self.snapshot(self.store.situations(&fingerprints).await?);
        if decide::settle_silences(&policy, &found, now).is_empty() {
            return Ok(());
        }
        let reads = ReadSet { fingerprints, ..ReadSet::default() };
        self.apply(&reads, &|snapshot| decide::settle_silences(&policy, snapshot, now)).await.map(drop)
    }

    /// Tells what is held back and need not be any more. Returns how many incidents changed.
    ///
    /// # Errors
    /// As for [`Engine::decide`].
    pub async fn look_at_held(&self) -> Result<usize, StoreError> {
        let mut changed = 0;
        let mut after = None;
        loop {
            let page = self.store.held_situations(after.as_ref(), TICK_PAGE).await?;
            let Some(last) = page.last() else { return Ok(changed) };
            after = Some(last.fingerprint.clone());
            let full = page.len() == TICK_PAGE;
            self.compare_inhibitors(&page).await?;
            let (policy, now) = (self.policy(), self.now());
            // Without the store's lock: most will be held as before.
            let decision = decide::tick(&policy, &self.snapshot(page), now);
            if !decision.is_empty() {
                let fingerprints = decision.situations.into_iter().map(|one| one.fingerprint).collect();
                let reads = ReadSet { fingerprints, ..ReadSet::default() };
                let done = self.apply(&reads, &|snapshot| decide::tick(&policy, snapshot, now)).await?;
                changed += done.situations.len();
            }
            if !full {
                return Ok(changed);
            }
        }
    }

    /// Begins a silence. Returns it as it is stored, with the incidents that it holds from now on.
    ///
    /// # Errors
    /// As for [`Engine::decide`].
    pub async fn begin_silence(&self, silence: Silence) -> Result<(Silence, Vec<Situation>), StoreError> {
        let (open, read) = self.open_situations().await;
        read?;
        let (policy, now) = (self.policy(), self.now());
        let asked = InForce::new(silence.clone()).ok();
        let matching: Vec<Situation> = open
            .into_iter()
            .filter(|situation| {
                let incident = situation.incident.as_ref().filter(|incident| !incident.shadow);
                incident.zip(asked.as_ref()).is_some_and(|(incident, asked)| asked.holds(incident) == Holds::Yes)
            })
            .collect();
        let fingerprints = matching.iter().map(|situation| situation.fingerprint.clone()).collect();
        let reads = ReadSet { fingerprints, ..ReadSet::default() };
        let decision = self.apply(&reads, &|snapshot| decide::begin_silence(&policy, snapshot, &silence, now)).await?;
        Ok((decision.silences.into_iter().next().unwrap_or(silence), matching))
    }

    /// Stores a silence that a person ended.
    ///
    /// # Errors
    /// As for [`Engine::decide`].
    pub async fn end_silence(&self, ended: Silence) -> Result<(), StoreError> {
        let decision = Decision { silences: vec![ended], ..Decision::default() };
        self.apply(&ReadSet::default(), &|_| decision.clone()).await.map(drop)
    }

    /// Takes in what a decision changed.
    pub(super) fn learn(&self, decision: &Decision) {
        let policy = self.policy();
        if decision.silences.is_empty() && (policy.inhibit.is_empty() || decision.situations.is_empty()) {
            return;
        }
        let mut opened = false;
        self.gates.rcu(|gates| {
            let mut gates = Gates::clone(gates);
            opened = gates.learn(&policy, decision);
            gates
        });
        if opened {
            self.opened.notify_one();
        }
    }

    /// Which open incidents hold others under a new policy.
    pub(super) fn find_inhibitors(&self, policy: &Policy, open: &[Situation]) {
        let found = open.iter().filter_map(|situation| {
            let inhibitor = Inhibitor::of(&policy.inhibit, situation.incident.as_ref()?)?;
            Some((situation.fingerprint.clone(), Arc::new(inhibitor)))
        });
        let inhibitors: BTreeMap<_, _> = found.collect();
        self.gates.rcu(|gates| Gates { silences: gates.silences.clone(), inhibitors: inhibitors.clone() });
    }

    /// Whether the incidents that hold these are still open: a person may have resolved one from another process.
    async fn compare_inhibitors(&self, held: &[Situation]) -> Result<(), StoreError> {
        let gates = held.iter().filter_map(|situation| Some(&situation.incident.as_ref()?.held.as_ref()?.gate));
        let prints: BTreeSet<Fingerprint> = gates
            .filter_map(|gate| match gate {
                Gate::Inhibition { fingerprint, .. } => Some(fingerprint.clone()),
                Gate::Silence { .. } | Gate::Shadow { .. } => None,
            })
            .collect();
        if prints.is_empty() {
            return Ok(());
        }
        let prints: Vec<Fingerprint> = prints.into_iter().collect();
        let mut situations = self.store.situations(&prints).await?;
        // One that is gone altogether holds nobody.
        for print in prints {
            if !situations.iter().any(|situation| situation.fingerprint == print) {
                situations.push(Situation::new(print));
            }
        }
        let (policy, found) = (self.policy(), Decision { situations, ..Decision::default() });
        self.gates.rcu(|gates| {
            let mut gates = Gates::clone(gates);
            gates.learn(&policy, &found);
            gates
        });
        Ok(())
    }

    fn snapshot(&self, situations: Vec<Situation>) -> Snapshot {
        let situations = situations.into_iter().map(|situation| (situation.fingerprint.clone(), situation)).collect();
        Snapshot { situations, gates: self.gates.load_full(), ..Snapshot::default() }
    }
}

//! A store in memory: the same semantics, nothing survives a restart. Bounded: when it is full it says so, and the
//! queue holds back.

mod lines;
mod outbox;
mod state;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Decide, Delivery, DeliveryState, Forgotten, IncidentFilter, KnownKey, Leased, Retention, SILENCES_MAX, Settlement,
    Stats, Store, StoreError, StoreErrorKind, Story, StoryDelivery,
};
use crate::core::access::{History, Lesson};
use crate::core::canary::Call;
use crate::core::decide::{Decision, ReadSet};
use crate::core::incident::{Fingerprint, Incident, Situation, State as IncidentState};
use crate::core::silence::Silence;
use crate::core::usage::{KEYS_MAX, KeyUsage};
use state::State;

/// Deliveries that wait at the same time.
const UNFINISHED_MAX: usize = 20_000;
/// Situations, with their newest incident.
const SITUATIONS_MAX: usize = 50_000;

/// Keeps everything in memory; it has no settings.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// One lock around plain collections: every call is one critical section, so every call is atomic.
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    pub fn new(_: &Config) -> Self {
        Self { state: Mutex::new(State::default()) }
    }

    /// A panic elsewhere while it was held leaves whole values behind: every change is made of infallible steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn durable(&self) -> bool {
        false
    }

    async fn apply(&self, reads: &ReadSet, decide: Decide<'_>) -> Result<Decision, StoreError> {
        let mut state = self.lock();
        let decision = decide(&state.snapshot(reads));
        let new = decision.situations.iter().filter(|s| !state.situations.contains_key(&s.fingerprint)).count();
        if !decision.deliveries.is_empty() && state.outbox.unfinished() + decision.deliveries.len() > UNFINISHED_MAX {
            return Err(full("deliveries that wait"));
        }
        let over = (state.situations.len() + new).saturating_sub(SITUATIONS_MAX);
        if new > 0 && over > 0 && !state.make_room(over, &decision) {
            return Err(full("situations"));
        }
        state.store(&decision);
        Ok(decision)
    }

    async fn lease(
        &self,
        now: Timestamp,
        until: Timestamp,
        wanted: &[(String, usize)],
    ) -> Result<Vec<Leased>, StoreError> {
        let mut state = self.lock();
        Ok(wanted.iter().flat_map(|(sink, limit)| state.outbox.lease(now, until, sink, *limit)).collect())
    }

    async fn settle(&self, now: Timestamp, settlements: &[Settlement]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for settlement in settlements {
            state.outbox.settle(now, settlement);
        }
        Ok(())
    }

    async fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        let state = self.lock();
        let mut found: Vec<&Incident> = state
            .incidents
            .values()
            .map(|kept| &kept.incident)
            .filter(|incident| !filter.open || incident.state != IncidentState::Resolved)
            .collect();
        found.sort_by(|a, b| (b.opened_at, &b.id).cmp(&(a.opened_at, &a.id)));
        Ok(found.into_iter().take(filter.limit).cloned().collect())
    }

    async fn story(&self, incident: &str) -> Result<Option<Story>, StoreError> {
        let state = self.lock();
        let Some(kept) = state.find(incident) else { return Ok(None) };
        let deliveries = state.outbox.of_incident(&kept.incident.id).map(|(delivery, settled_at)| StoryDelivery {
            sink: delivery.sink.clone(),
            kind: delivery.notification.kind,
            reason: delivery.notification.reason,
            state: delivery.state,
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            settled_at,
            last_error: delivery.last_error.clone(),
        });
        Ok(Some(Story {
            incident: kept.incident.clone(),
            alerts: kept.alerts.all().cloned().collect(),
            history: kept.history.all().cloned().collect(),
            deliveries: deliveries.collect(),
            forgotten: Forgotten { alerts: kept.alerts.forgotten(), history: kept.history.forgotten() },
        }))
    }

    async fn open_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError> {
        let state = self.lock();
        let open = state.situations.values().map(|kept| &kept.situation).filter(|situation| {
            after.is_none_or(|after| situation.fingerprint > *after)
                && situation.incident.as_ref().is_some_and(|incident| incident.state != IncidentState::Resolved)
        });
        Ok(open.take(limit).cloned().collect())
    }

    async fn held_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError> {
        let state = self.lock();
        let held = state
            .situations
            .values()
            .map(|kept| &kept.situation)
            .filter(|situation| after.is_none_or(|after| situation.fingerprint > *after) && situation.is_held());
        Ok(held.take(limit).cloned().collect())
    }

    async fn situations(&self, wanted: &[Fingerprint]) -> Result<Vec<Situation>, StoreError> {
        let state = self.lock();
        Ok(wanted.iter().filter_map(|print| Some(state.situations.get(print)?.situation.clone())).collect())
    }

    async fn silences(&self, in_force: Option<Timestamp>) -> Result<Vec<Silence>, StoreError> {
        let state = self.lock();
        let mut found: Vec<&Silence> =
            state.silences.values().filter(|silence| in_force.is_none_or(|now| silence.in_force(now))).collect();
        if in_force.is_none() {
            found.sort_by(|a, b| b.end().cmp(&a.end()).then_with(|| a.id.cmp(&b.id)));
        }
        Ok(found.into_iter().take(SILENCES_MAX).cloned().collect())
    }

    async fn deliveries(&self, states: &[DeliveryState], limit: usize) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.lock().outbox.all().filter(|delivery| states.contains(&delivery.state)).take(limit).cloned().collect())
    }

    async fn unfinished(&self, sink: &str, after: i64, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.lock().outbox.unfinished_of(sink, after).take(limit).cloned().collect())
    }

    async fn any_unfinished(&self, wanted: &[(String, String)]) -> Result<bool, StoreError> {
        let state = self.lock();
        Ok(wanted.iter().any(|pair| state.outbox.is_unfinished(pair)))
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let state = self.lock();
        let mut counted = Stats { sinks: state.outbox.stats(), ..Stats::default() };
        for kept in state.incidents.values().filter(|kept| kept.incident.state != IncidentState::Resolved) {
            *counted.open_incidents.entry(kept.incident.severity).or_default() += 1;
        }
        counted.quarantined = u64::try_from(state.quarantine.len()).unwrap_or(u64::MAX);
        Ok(counted)
    }

    async fn recall_keys(&self, arns: &[String]) -> Result<Vec<KnownKey>, StoreError> {
        let state = self.lock();
        Ok(arns.iter().filter_map(|arn| state.keys.get(arn)).cloned().collect())
    }

    async fn remember_keys(&self, _: Timestamp, keys: &[KnownKey]) -> Result<(), StoreError> {
        self.lock().remember(keys);
        Ok(())
    }

    async fn recall_history(&self, arn: &str) -> Result<Option<History>, StoreError> {
        Ok(self.lock().policies.of(arn).cloned())
    }

    async fn keep_lessons(&self, _: Timestamp, lessons: &[Lesson]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for lesson in lessons {
            state.policies.learn(lesson);
        }
        Ok(())
    }

    async fn canary_calls(&self) -> Result<Vec<Call>, StoreError> {
        Ok(self.lock().canary_calls.clone())
    }

    async fn keep_canary_call(&self, call: &Call) -> Result<(), StoreError> {
        self.lock().keep_canary_call(call);
        Ok(())
    }

    async fn recall_usage(
        &self,
        _: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, KeyUsage)>, StoreError> {
        let state = self.lock();
        let from = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        Ok(state.usage.range(from).take(limit).map(|(arn, usage)| (arn.clone(), usage.clone())).collect())
    }

    /// Bounded as what is known in memory anyway.
    async fn keep_usage(&self, _: Timestamp, usage: &BTreeMap<String, KeyUsage>) -> Result<(), StoreError> {
        let mut state = self.lock();
        for (arn, usage) in usage {
            if state.usage.len() < KEYS_MAX || state.usage.contains_key(arn) {
                state.usage.insert(arn.clone(), usage.clone());
            }
        }
        Ok(())
    }

    async fn quarantine(&self, now: Timestamp, message_id: &str, reason: &str, _: &str) -> Result<(), StoreError> {
        self.lock().quarantine(now, message_id, reason)
    }

    async fn prune(&self, now: Timestamp, retention: &Retention, sinks: &[String]) -> Result<u64, StoreError> {
        Ok(self.lock().prune(now, retention, sinks))
    }

    async fn probe(&self, _: Timestamp) -> Result<(), StoreError> {
        let state = self.lock();
        if state.outbox.unfinished() >= UNFINISHED_MAX {
            return Err(full("deliveries that wait"));
        }
        Ok(())
    }

    async fn close(&self) {}
}

/// The nearest thing to a full disk.
fn full(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::DiskFull, format!("the memory store is full: too many {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::conformance::fixture::{
        Shared, done, fingerprint, keep, notification, only, put, settle, situation,
    };
    use super::*;
    use crate::core::notification::Kind;

    const MAX: u32 = 50_000;

    async fn full_of(state: IncidentState) -> Shared {
        let store: Shared = Arc::new(MemoryStore::new(&Config::default()));
        let situations = (1..=MAX).map(|n| situation(n, state)).collect();
        keep(&store, Decision { situations, ..Decision::default() }).await;
        store
    }

    async fn store_one(store: &Shared, situation: Situation) -> Result<Decision, StoreError> {
        let decision = Decision { situations: vec![situation], ..Decision::default() };
        store.apply(&ReadSet::default(), &|_| decision.clone()).await
    }

    async fn known(store: &Shared, n: u32) -> bool {
        let reads = ReadSet { fingerprints: vec![fingerprint(n)], ..ReadSet::default() };
        let found = |snapshot: &crate::core::decide::Snapshot| Decision {
            duplicates: snapshot.situations.len(),
            ..Decision::default()
        };
        store.apply(&reads, &found).await.unwrap().duplicates == 1
    }

    #[tokio::test]
    async fn resolved_incidents_make_room_oldest_first() {
        let store = full_of(IncidentState::Resolved).await;
        // The oldest is told of still; the second was told of; the third opens again.
        put(&store, "chat", &[notification(2, 1, Kind::Trigger)]).await;
        let told = only(&store, 60, "chat").await.delivery;
        settle(&store, 61, told.id, done()).await;
        put(&store, "chat", &[notification(1, 1, Kind::Trigger)]).await;
        store_one(&store, situation(3, IncidentState::Open)).await.unwrap();

        store_one(&store, situation(MAX + 1, IncidentState::Open)).await.unwrap();
        for (n, there) in [(1, true), (2, false), (3, true), (4, false), (MAX, true), (MAX + 1, true)] {
            assert_eq!(known(&store, n).await, there, "{n}");
        }
        let open = store.incidents(&IncidentFilter { open: true, limit: 10 }).await.unwrap();
        assert_eq!(open.len(), 2);
        assert_eq!(store.story(&situation(2, IncidentState::Open).incident.unwrap().id).await.unwrap(), None);
        // It begins anew, and what is told of it is not taken for what was.
        put(&store, "chat", &[notification(2, 1, Kind::Trigger)]).await;
        let waiting = store.deliveries(&[DeliveryState::Waiting], 10).await.unwrap();
        assert_eq!(waiting.iter().map(|d| d.notification.id.as_str()).collect::<Vec<_>>(), ["n1-1", "n2-1"]);
    }

    #[tokio::test]
    async fn open_incidents_never_make_room() {
        let store = full_of(IncidentState::Open).await;
        let refused = store_one(&store, situation(MAX + 1, IncidentState::Open)).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::DiskFull);
        store_one(&store, situation(MAX, IncidentState::Resolved)).await.unwrap();
        store_one(&store, situation(MAX + 1, IncidentState::Open)).await.unwrap();
        assert!(!known(&store, MAX).await && known(&store, 1).await);
    }
}

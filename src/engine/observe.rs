//! What KMS itself says of keys, decided like any event; and which keys KMS has to be asked about, because their incident is
//! open or has just ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Engine;
use crate::core::access::{self, History, Lesson};
use crate::core::decide::{Decision, Evaluation, Prepared, evaluate};
use crate::core::enrich::enrich;
use crate::core::event::{Event, KeyRef};
use crate::core::incident::{Situation, State};
use crate::core::keystate;
use crate::core::observe::Observation;
use crate::core::rotation;
use crate::core::route::labels;
use crate::keys::Inspect;
use crate::store::{StoreError, StoreErrorKind};

/// Observations decided in one transaction.
const PAGE: usize = 50;

/// Keys whose state is waited for; a sweep finds the others.
const KEYS_MAX: usize = 10_000;

/// While its incident is open, KMS is asked about a key this often.
const EVERY: SignedDuration = SignedDuration::from_mins(15);

/// Keys that KMS is to be asked about, by ARN.
#[derive(Default)]
pub(super) struct Watched(Mutex<BTreeMap<String, Watch>>);

struct Watch {
    key: KeyRef,
    due: Timestamp,
    /// Its incident is open, so it is asked about again and again.
    open: bool,
}

impl Watched {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in how a situation stands: KMS is asked about its key at `due`.
    fn follow(&self, situation: &Situation, due: Timestamp) {
        let Some(incident) = situation.incident.as_ref().filter(|incident| incident.family == keystate::FAMILY) else {
            return;
        };
        let Some((arn, key)) = incident.key.as_ref().and_then(|key| Some((key.arn.clone()?, key))) else { return };
        if situation.record.is_none() {
            return;
        }
        let mut all = self.all();
        if all.len() < KEYS_MAX || all.contains_key(&arn) {
            let place = KeyRef {
                arn: key.arn.clone(),
                id: key.id.clone(),
                account: key.account.clone(),
                region: key.region.clone(),
                ..KeyRef::default()
            };
            all.insert(arn, Watch { key: place, due, open: incident.state != State::Resolved });
        }
    }

    fn take_due(&self, now: Timestamp, most: usize) -> Vec<KeyRef> {
        let mut all = self.all();
        // Whoever waits longest comes first, so that nobody waits for ever.
        let mut due: Vec<(Timestamp, &String)> =
            all.iter().filter(|(_, watch)| watch.due <= now).map(|(arn, watch)| (watch.due, arn)).collect();
        due.sort_unstable();
        let due: Vec<String> = due.into_iter().take(most).map(|(_, arn)| arn.clone()).collect();
        let mut keys = vec![];
        for arn in due {
            let Some(watch) = all.get_mut(&arn) else { continue };
            keys.push(watch.key.clone());
            if watch.open {
                watch.due = now.checked_add(EVERY).unwrap_or(Timestamp::MAX);
            } else {
                all.remove(&arn);
            }
        }
        keys
    }
}

impl Engine {
    /// Decides what KMS says of keys. An observation that says nothing new stores nothing, so all keys may be told of again and
    /// again. When this returns `Ok`, everything they caused is stored.
    ///
    /// # Errors
    /// As for [`Engine::decide`]; of several pages, those before are stored. Telling the same again is harmless.
    pub async fn observe(&self, observations: &[Observation]) -> Result<Vec<Decision>, StoreError> {
        self.observe_asking(observations, None).await
    }

    /// The same; where somebody will be told of a key that cannot be used, `inspect` is asked what KMS records of its use.
    ///
    /// # Errors
    /// As for [`Engine::observe`].
    pub async fn observe_asking(
        &self,
        observations: &[Observation],
        inspect: Option<&dyn Inspect>,
    ) -> Result<Vec<Decision>, StoreError> {
        let mut decisions = vec![];
        for page in observations.chunks(PAGE) {
            let (mut evaluations, lessons) = self.evaluate_observations(page).await;
            self.fill_in_uses(&mut evaluations, inspect).await;
            if !evaluations.is_empty() {
                decisions.push(self.decide(&evaluations).await?);
            }
            // Only now: if the daemon dies in between, they are new once more.
            if !lessons.is_empty() {
                self.store.keep_lessons(self.now(), &lessons).await?;
            }
        }
        Ok(decisions)
    }

    /// What they mean, and what they teach of rotation periods.
    async fn evaluate_observations(&self, page: &[Observation]) -> (Vec<Evaluation>, Vec<Lesson>) {
        let policy = self.policy();
        let arns: Vec<String> = page.iter().filter_map(|one| one.key.arn.clone()).collect();
        let known = self.store.recall_keys(&arns).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of keys could not be read");
            vec![]
        });
        let known: HashMap<&str, &KeyRef> =
            known.iter().filter_map(|known| Some((known.key.arn.as_deref()?, &known.key))).collect();
        let (mut evaluations, mut lessons) = (vec![], vec![]);
        for one in page {
            let mut event = one.event();
            lessons.extend(self.assess_rotation(&mut event).await);
            let remembered = one.key.arn.as_deref().and_then(|arn| known.get(arn)).copied();
            let marks = enrich(&mut event, None, remembered, |document| labels(&policy.labels, document));
            let evaluation = evaluate(&policy, &Prepared { event, marks, looked_up: None }, self.now());
            evaluations.extend(Some(evaluation).filter(|evaluation| !evaluation.is_idle()));
        }
        (evaluations, lessons)
    }

    /// What was seen of a key; nothing where that does not read back: whoever learns of the key next begins its history anew.
    pub(crate) async fn readable_history(&self, arn: &str) -> Result<Option<History>, StoreError> {
        match self.store.recall_history(arn).await {
            Err(error) if error.kind == StoreErrorKind::Corrupt => Ok(None),
            other => other,
        }
    }

    /// Compares the rotation period that KMS says, if it does, with the one known before. Answers what is new.
    async fn assess_rotation(&self, event: &mut Event) -> Option<Lesson> {
        let arn = access::wants(event)?;
        let known = match self.readable_history(&arn).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, key.arn = arn, "what was known of a key before could not be read");
                return None;
            }
        };
        rotation::assess(event, known.as_ref());
        rotation::reading(event, known.as_ref())
    }

    /// Keys that KMS is to be asked about now, at most so many: their incident moved a settle time ago, or is open and they
    /// have not been asked about for a while. The answers come back through [`Engine::observe`].
    pub fn keys_to_verify(&self, most: usize) -> Vec<KeyRef> {
        self.watched.take_due(self.now(), most)
    }

    /// Takes in what a decision changed.
    pub(super) fn watch_keys(&self, decision: &Decision) {
        if decision.situations.iter().all(|situation| situation.record.is_none()) {
            return;
        }
        let settle = self.policy().engine.settle.saturating_add(SignedDuration::from_secs(1));
        let due = self.now().checked_add(settle).unwrap_or(Timestamp::MAX);
        decision.situations.iter().for_each(|situation| self.watched.follow(situation, due));
    }

    /// Asks soon about all keys whose incidents are open, one after the other.
    pub(super) fn watch_open(&self, open: &[Situation]) {
        let mut due = self.now();
        for situation in open {
            self.watched.follow(situation, due);
            due = due.checked_add(SignedDuration::from_millis(200)).unwrap_or(due);
        }
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;

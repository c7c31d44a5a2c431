//! Who uses which key, learnt from the stream: in memory, flushed late. The one thing that may be lost in a crash.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::Engine;
use crate::base::clock::Timestamp;
use crate::core::access::{self, Trust};
use crate::core::decide::{Evaluation, Snapshot, decide};
use crate::core::event::KeyRef;
use crate::core::inspection::Inspection;
use crate::core::usage::{InUse, Sighting, Usage};
use crate::keys::{Inspect, RECORDED_AT_ONCE, RECORDED_WITHIN, recorded_use};

/// Keys written at once, so that nobody waits long for the write lock; and read at once.
const WRITE_PAGE: usize = 200;
const READ_PAGE: usize = 500;

#[derive(Default)]
pub(super) struct Uses {
    all: Mutex<Usage>,
    /// What was known before the start has been read.
    loaded: AtomicBool,
}

/// Who was seen using a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Users {
    /// And when last: the newest first.
    pub seen: Vec<(String, Timestamp)>,
    /// Those seen by then may be missing.
    pub forgotten: Option<Timestamp>,
}

impl Uses {
    fn all(&self) -> MutexGuard<'_, Usage> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// A key was used.
    pub fn saw_use(&self, sighting: &Sighting<'_>) {
        self.uses.all().learn(sighting);
    }

    /// Who was seen using a key.
    pub fn users_of(&self, arn: &str) -> Users {
        let now = self.now();
        let uses = self.uses.all();
        let seen = uses.of(arn, now).map(|known| known.users).unwrap_or_default();
        let loaded = self.uses.loaded.load(Ordering::Acquire);
        Users { seen, forgotten: if loaded { uses.forgotten(arn) } else { Some(now) } }
    }

    /// What is known of the use of a key: seen in the stream, and allowed by the policy known of it.
    pub async fn in_use(&self, key: &KeyRef, trust: &Trust) -> InUse {
        let Some(arn) = key.arn.as_deref() else { return InUse::default() };
        let seen = self.uses.all().of(arn, self.now());
        let mut in_use = seen.as_ref().map(InUse::seen).unwrap_or_default();
        match self.store.recall_history(arn).await {
            Ok(Some(history)) => in_use.add_policy(&access::who_may_use(&history, key, trust)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, key.arn = arn, "the policy known of a key could not be read"),
        }
        in_use
    }

    /// The same with what KMS records of it, asked for meanwhile; `None` where nothing is known.
    pub async fn in_use_and(
        &self,
        key: &KeyRef,
        trust: &Trust,
        recorded: impl Future<Output = Option<Inspection>>,
    ) -> Option<InUse> {
        let (mut in_use, recorded) = tokio::join!(self.in_use(key, trust), recorded);
        if let Some(recorded) = recorded {
            in_use.add_recorded(recorded.last_usage.known(), recorded.grants.known());
        }
        Some(in_use).filter(|in_use| !in_use.is_empty())
    }

    /// Puts what is known of the use of their keys into those observations of which somebody will be told. KMS is asked about keys that
    /// cannot be used, a short while for all of them together: no page waits longer, and in a storm the last go without.
    pub(super) async fn fill_in_uses(&self, evaluations: &mut [Evaluation], inspect: Option<&dyn Inspect>) {
        let news = self.news(evaluations).await;
        if news.is_empty() {
            return;
        }
        let until = Instant::now() + RECORDED_WITHIN;
        let mut asking = vec![];
        for evaluation in evaluations.iter_mut().filter(|evaluation| news.contains(&evaluation.id.0)) {
            asking.push(self.fill_in_use(evaluation, inspect, until));
        }
        futures_util::stream::iter(asking)
            .buffer_unordered(RECORDED_AT_ONCE)
            .for_each(|()| std::future::ready(()))
            .await;
    }

    async fn fill_in_use(&self, evaluation: &mut Evaluation, inspect: Option<&dyn Inspect>, until: Instant) {
        let Some(key) = &evaluation.key else { return };
        let states = evaluation.states.iter().flat_map(|states| &states.facts);
        let unusable = states.into_iter().any(|fact| fact.state.is_danger());
        let policy = self.policy();
        let recorded = async { recorded_use(inspect.filter(|_| unusable)?, key, until).await };
        evaluation.in_use = self.in_use_and(key, &policy.trust, recorded).await;
    }

    /// Which of these observations would be alerts as things stand. Most say what is known: then there is nothing to find out.
    async fn news(&self, evaluations: &[Evaluation]) -> BTreeSet<String> {
        if evaluations.iter().all(|evaluation| evaluation.alerts.is_empty()) {
            return BTreeSet::new();
        }
        let known = match self.store.situations(&Evaluation::reads(evaluations).fingerprints).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "what is open could not be read; what is known of the use of keys is left out");
                return BTreeSet::new();
            }
        };
        let situations = known.into_iter().map(|situation| (situation.fingerprint.clone(), situation)).collect();
        let snapshot = Snapshot { situations, ..Snapshot::default() };
        let decision = decide(&self.policy(), evaluations, &snapshot, self.now());
        decision.alerts.into_iter().map(|alert| alert.event.id).collect()
    }

    /// Reads what was known of the use of keys before the start. Until that succeeds nothing is written: it would take its place.
    pub async fn load_uses(&self) {
        let mut after = String::new();
        loop {
            match self.store.recall_usage(self.now(), &after, READ_PAGE).await {
                Ok(page) => {
                    let full = page.len() == READ_PAGE;
                    if let Some((last, _)) = page.last() {
                        after.clone_from(last);
                    }
                    let mut uses = self.uses.all();
                    for (arn, usage) in &page {
                        uses.restore(arn, usage);
                    }
                    if !full {
                        self.uses.loaded.store(true, Ordering::Release);
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what was known of the use of keys could not be read; it is tried again");
                    return;
                }
            }
        }
    }

    /// Writes what was learnt since the last time.
    pub async fn flush_uses(&self) {
        if !self.uses.loaded.load(Ordering::Acquire) {
            self.load_uses().await;
        }
        if !self.uses.loaded.load(Ordering::Acquire) {
            return;
        }
        loop {
            let page = self.uses.all().unwritten(self.now(), WRITE_PAGE);
            if page.is_empty() {
                return;
            }
            if let Err(error) = self.store.keep_usage(self.now(), &page).await {
                // It is a hint for people: what is lost is learnt anew.
                tracing::warn!(%error, "what was learnt of the use of keys could not be kept");
                return;
            }
        }
    }
}

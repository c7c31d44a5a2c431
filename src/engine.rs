//! The one door to the store for everything that decides: runs the pure core inside the store's transaction, logs and
//! counts what came of it, wakes the delivery lanes, and knows whether the store works.

mod canaries;
mod gates;
mod known;
mod observe;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use crate::base::clock::{Clock, Timestamp};
use crate::base::telemetry;
use crate::core::decide::{self, Command, Decision, Evaluation, Gates, OwnSubject, Policy, ReadSet, Snapshot, What};
use crate::core::incident::{Situation, State};
use crate::core::notification::Notification;
use crate::store::{Store, StoreError, StoreErrorKind};

pub use canaries::Canaries;
#[cfg(test)]
pub(crate) use tests::Nobody;

/// How many open situations are gone through at once when the rules change.
const ADOPT_PAGE: usize = 200;

/// How many situations one time step looks at.
const TICK_PAGE: usize = 200;

/// Shared by all loops.
pub struct Engine {
    policy: ArcSwap<Policy>,
    gates: ArcSwap<Gates>,
    /// Told when something that held notifications back may do so no longer.
    opened: Notify,
    canaries: Canaries,
    /// What was known of keys before.
    known: known::Known,
    /// Keys that KMS is to be asked about.
    watched: observe::Watched,
    /// Who uses which key.
    uses: uses::Uses,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    store_state: watch::Sender<StoreState>,
    post: Arc<dyn Post>,
}

/// The way out, as far as the engine knows it.
#[async_trait]
pub trait Post: Send + Sync {
    /// The outbox holds something new for these sinks.
    fn wake(&self, decision: &Decision);

    /// Tells people without the store, the last resort while it cannot commit: best effort, to every sink at once,
    /// bounded in time, and at most once in a while for the same `subject`.
    async fn page_directly(&self, subject: &str, notification: Notification);
}

/// Whether the store commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    Works,
    Fails { since: Timestamp, error: StoreError },
}

impl Engine {
    pub fn new(policy: Arc<Policy>, store: Arc<dyn Store>, clock: Arc<dyn Clock>, post: Arc<dyn Post>) -> Self {
        Self {
            post,
            policy: ArcSwap::new(policy),
            gates: ArcSwap::default(),
            opened: Notify::new(),
            canaries: Canaries::new(Arc::clone(&store)),
            known: known::Known::default(),
            watched: observe::Watched::default(),
            uses: uses::Uses::default(),
            store,
            clock,
            store_state: watch::Sender::new(StoreState::Works),
        }
    }

    /// The policy in force now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    pub fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Follows whether the store commits.
    pub fn store_state(&self) -> watch::Receiver<StoreState> {
        self.store_state.subscribe()
    }

    /// Decides on evaluations. When this returns `Ok`, everything they caused is stored.
    ///
    /// # Errors
    /// Nothing was stored; the store counts as failing from now on.
    pub async fn decide(&self, evaluations: &[Evaluation]) -> Result<Decision, StoreError> {
        let policy = self.policy();
        let now = self.now();
        let reads = Evaluation::reads(evaluations);
        self.apply(&reads, &|snapshot| decide::decide(&policy, evaluations, snapshot, now)).await
    }

    /// Looks at situations whose time has come. Returns how many there were that changed.
    ///
    /// # Errors
    /// As for [`Engine::decide`].
    pub async fn tick(&self) -> Result<usize, StoreError> {
        let policy = self.policy();
        let now = self.now();
        let reads = ReadSet { due: Some((now, TICK_PAGE)), ..ReadSet::default() };
        let decision = self.apply(&reads, &|snapshot| decide::tick(&policy, snapshot, now)).await?;
        Ok(decision.situations.len())
    }

    /// Carries out a person's command. `false` when there is no such open incident.
    ///
    /// # Errors
    /// As for [`Engine::decide`].
    pub async fn by_hand(&self, command: &Command) -> Result<bool, StoreError> {
        let policy = self.policy();
        let now = self.now();
        let reads = ReadSet { incidents: vec![command.incident.clone()], ..ReadSet::default() };
        let decision = self.apply(&reads, &|snapshot| decide::by_hand(&policy, snapshot, command, now)).await?;
        Ok(!decision.is_empty())
    }

    /// Reports something wrong with kmswatch itself as an incident; straight to the sinks if the store cannot take it.
    pub async fn report(&self, subject: &OwnSubject, detail: &str) {
        let now = self.now();
        if self.decide(&[decide::own_danger(subject, detail, now)]).await.is_err() {
            let notification = decide::own_notification(subject, detail, now);
            let family = notification.incident.fingerprint.to_string();
            self.post.page_directly(&family, notification).await;
        }
    }

    /// Takes a report back. `false` when the store could not take it: say it again later.
    pub async fn retract(&self, subject: &OwnSubject, detail: &str) -> bool {
        self.decide(&[decide::own_clear(subject, detail, self.now())]).await.is_ok()
    }

    /// Puts a new policy in force and closes incidents that have no rule any more.
    ///
    /// # Errors
    /// The policy is in force, but open incidents could not all be gone through.
    pub async fn adopt(&self, mut policy: Policy) -> Result<(), StoreError> {
        // Whatever the store says, the rules are in force from here on: without them every message would be idle.
        let (open, read) = self.open_situations().await;
        policy.legacy = decide::legacy_resolves(&policy.rules, &open);
        let policy = Arc::new(policy);
        self.policy.store(Arc::clone(&policy));
        read?;
        self.refresh_gates().await?;
        // Read again: an event that was decided meanwhile may have opened an incident under the old rules.
        let (open, read) = self.open_situations().await;
        self.find_inhibitors(&policy, &open);
        self.watch_open(&open);
        let now = self.now();
        for page in open.chunks(ADOPT_PAGE) {
            let reads =
                ReadSet { fingerprints: page.iter().map(|s| s.fingerprint.clone()).collect(), ..ReadSet::default() };
            self.apply(&reads, &|snapshot| decide::adopt(&policy, snapshot, now)).await?;
        }
        read
    }

    /// Everything that is open; as far as it could be read, with the error where it could not.
    async fn open_situations(&self) -> (Vec<Situation>, Result<(), StoreError>) {
        let mut open: Vec<Situation> = Vec::new();
        loop {
            let after = open.last().map(|situation| situation.fingerprint.clone());
            match self.store.open_situations(after.as_ref(), ADOPT_PAGE).await {
                Ok(page) => {
                    let last = page.len() < ADOPT_PAGE;
                    open.extend(page);
                    if last {
                        return (open, Ok(()));
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    return (open, Err(error));
                }
            }
        }
    }

    /// Asks a failing store whether it works again.
    pub async fn probe(&self) -> bool {
        match self.store.probe(self.now()).await {
            Ok(()) => {
                self.works();
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn apply(&self, reads: &ReadSet, decide: crate::store::Decide<'_>) -> Result<Decision, StoreError> {
        let started = tokio::time::Instant::now();
        let gates = self.gates.load_full();
        let unreadable = Mutex::new(BTreeSet::new());
        let watched = |snapshot: &Snapshot| {
            if !snapshot.unreadable.is_empty() {
                let mut unreadable = unreadable.lock().unwrap_or_else(PoisonError::into_inner);
                unreadable.extend(snapshot.unreadable.keys().cloned());
            }
            if gates.is_empty() {
                return decide(snapshot);
            }
            decide(&Snapshot { gates: Arc::clone(&gates), ..snapshot.clone() })
        };
        let applied = self.store.apply(reads, &watched).await;
        let unreadable = unreadable.into_inner().unwrap_or_else(PoisonError::into_inner);
        match applied {
            Ok(decision) => {
                // A decision with nothing to store proves nothing about the disk.
                if !decision.is_empty() {
                    telemetry::commit_took(started.elapsed());
                    self.works();
                }
                self.learn(&decision);
                self.watch_keys(&decision);
                Self::announce(&decision);
                if !decision.deliveries.is_empty() {
                    self.post.wake(&decision);
                }
                for situation in decision.situations.iter().filter(|s| unreadable.contains(&s.fingerprint)) {
                    self.damaged(situation).await;
                }
                Ok(decision)
            }
            Err(error) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Says that a situation did not read back, and was made anew. Boxed: the report is decided and stored like any other.
    fn damaged<'a>(&'a self, situation: &'a Situation) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let incident = situation.incident.as_ref();
        let which = incident.map_or(situation.fingerprint.0.as_str(), |incident| incident.id.as_str());
        let title = incident.map_or("", |incident| incident.voice.title.as_str());
        let detail =
            format!("the state of incident {which} ({title}) did not read back; what stood there is in the quarantine");
        telemetry::store_error(StoreErrorKind::Corrupt.as_str());
        Box::pin(async move { self.report(&OwnSubject::StateDamaged, &detail).await })
    }

    fn works(&self) {
        self.store_state.send_if_modified(|state| {
            let was_failing = *state != StoreState::Works;
            if was_failing {
                tracing::info!("the store works again");
                *state = StoreState::Works;
            }
            was_failing
        });
    }

    fn failed(&self, error: &StoreError) {
        // One row that does not read back is no reason to stop receiving.
        if error.kind == StoreErrorKind::Corrupt {
            telemetry::store_error(error.kind.as_str());
            tracing::error!(error = %error.detail, "a row in the store does not read back");
            return;
        }
        telemetry::store_error(error.kind.as_str());
        let now = self.now();
        self.store_state.send_if_modified(|state| match state {
            StoreState::Works => {
                tracing::error!(error.kind = %error.kind, error = %error.detail, "the store does not commit; receiving stops until it does");
                *state = StoreState::Fails { since: now, error: error.clone() };
                true
            }
            StoreState::Fails { error: known, .. } => {
                let changed = known.kind != error.kind;
                *known = error.clone();
                changed
            }
        });
    }

    /// One log line and one count per transition.
    fn announce(decision: &Decision) {
        for _ in 0..decision.duplicates {
            telemetry::duplicate();
        }
        for alert in &decision.alerts {
            telemetry::alert(&alert.rule, alert.severity.as_str(), if alert.shadow { "shadow" } else { "live" });
        }
        for entry in &decision.history {
            match &entry.what {
                What::Transition { from, to, severity, reason, by, .. } => {
                    match to {
                        State::Resolved if from.is_some() => telemetry::incident_resolved(),
                        _ if from.is_none() || *from == Some(State::Resolved) => {
                            telemetry::incident_opened(severity.as_str());
                        }
                        _ => {}
                    }
                    tracing::info!(
                        incident.id = %entry.incident,
                        incident.fingerprint = %entry.fingerprint,
                        incident.from = from.map_or("none", State::as_str),
                        incident.state = to.as_str(),
                        incident.severity = severity.as_str(),
                        reason = reason.as_str(),
                        by = by.as_deref().unwrap_or("kmswatch"),
                        "incident {}",
                        to.as_str()
                    );
                }
                What::Told { sinks, kind, reason, .. } => {
                    for sink in sinks {
                        telemetry::notification(sink, kind.as_str(), reason.as_str());
                    }
                }
                What::NotTold { reason, .. } => telemetry::not_told(reason.as_str()),
            }
        }
    }
}

//! Port: what must survive. Incidents, the outbox, seen events, history. The store is dumb on purpose: it runs
//! the pure core's decisions inside one transaction and knows nothing of rules, sinks or AWS.
//!
//! Adding a backend: a file beside this one, one word here, and `conformance` must pass.
//!
//! The life of a delivery (`Leased` is a waiting or parked one with a claim that runs out by itself):
//!
//! ``text
//!   new ─► waiting ◄──────── retry at / released ─────────┐
//!             │                                           │
//!             ├─ due, and the oldest of its fingerprint ─► leased ── done ──► done
//!             │                                           │  │  └── dead ──► dead ─ a trigger: its followers ─► cancelled
//!          parked ◄──────────── parked at ────────────────┘  └─ claim ran out: as before the claim, outcome unknown
//!             │
//!             └─ its sink was removed ─► dead
//! ``

mod config;
#[cfg(test)]
mod conformance;
pub mod memory;
mod sql;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::access::{History, Lesson};
use crate::core::canary::Call;
use crate::core::decide::{Decision, ReadSet, Snapshot};
use crate::core::enrich;
use crate::core::event::KeyRef;
use crate::core::incident::{Condition, Fingerprint, Incident, Situation};
use crate::core::keystate::KeyRecord;
use crate::core::keystate::KeyState;
use crate::core::notification::Notification;
use crate::core::rule::Severity;
use crate::core::silence::Silence;
use crate::core::usage::KeyUsage;

pub use config::Config;

/// Opens the configured store.
///
/// # Errors
/// It cannot be used; says why in words that help.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(memory) = &config.memory {
        return Ok(Arc::new(memory::MemoryStore::new(memory)));
    }
    let default = sqlite::Config::default();
    Ok(Arc::new(sqlite::open(config.sqlite.as_ref().unwrap_or(&default)).await?))
}

/// The right to be the one daemon on a store; held until it is dropped, or its process ends in whatever way.
pub struct Hold {
    _lock: Option<std::fs::File>,
}

/// Takes that right. Commands that only look, or do one thing, work without it.
///
/// # Errors
/// Another daemon has it, or the store cannot be used.
pub fn hold(config: &Config) -> Result<Hold, StoreError> {
    if config.is_memory() {
        return Ok(Hold { _lock: None });
    }
    let default = sqlite::Config::default();
    Ok(Hold { _lock: Some(sqlite::hold(config.sqlite.as_ref().unwrap_or(&default))?) })
}

/// Of each incident housekeeping keeps so many of its first alerts, and as many of the newest as [`NEWEST_KEPT`] says: how it
/// began, and how it stands. The same of its history. An incident that never ends must not fill the disk.
const FIRST_KEPT: usize = 100;
const NEWEST_KEPT: usize = 900;

/// More silences than anybody can oversee.
pub const SILENCES_MAX: usize = 1000;

/// What the quarantine holds at most. When it is full, what is in it stays and nothing more is taken: those messages are gone from the
/// queue, while the next one stays there, as long as the queue keeps it.
const QUARANTINE_MAX: u64 = 10_000;
const QUARANTINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn quarantine_full(messages: u64, bytes: u64) -> StoreError {
    let detail = format!("the quarantine is full ({messages} messages, {bytes} bytes)");
    StoreError::new(StoreErrorKind::DiskFull, detail)
}

/// Why deliveries of a sink that is no longer configured are dead.
const SINK_REMOVED: &str = "the sink is no longer configured";

/// What is known of a key that cannot be used is kept so much longer than anything else.
const UNUSABLE_KEPT: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// That a group has learnt which values are usual is kept so much longer than anything else of it, and of so many groups; those of
/// which nothing was heard for longest go first. It is all that is left of their situations, some two hundred bytes of each.
const LEARNT_KEPT: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
const LEARNT_MAX: i64 = 100_000;

/// The time at which a decision stored a situation: the clock's where the decision says it, else the newest event's; later if a
/// window of it looks further ahead.
fn kept_at(decision: &Decision, situation: &Situation) -> Timestamp {
    let decided = decision.seen.iter().map(|(_, at)| *at).chain(decision.history.iter().map(|entry| entry.at)).max();
    let known = situation.conditions.values().filter_map(Condition::newest);
    // What KMS was found to say at first makes no history.
    let heard = situation.record.as_ref().and_then(KeyRecord::newest);
    let stored = decided.or_else(|| known.chain(heard).max()).unwrap_or(Timestamp::UNIX_EPOCH);
    // What a window remembers must not be forgotten before it stops to matter, nor what is counted down to.
    let windows = situation.windows.values().filter_map(|window| window.until);
    let dates = situation.standing_countdowns().map(|(_, countdown)| countdown.date);
    // A key that cannot be used may stay so for years; forgotten, it would be found anew.
    let state = situation.record.as_ref().map(|record| record.state(SignedDuration::ZERO));
    let unusable = state.is_some_and(|state| state.is_danger() && state != KeyState::Deleted);
    let long = stored.checked_add(UNUSABLE_KEPT).ok().filter(|_| unusable);
    windows.chain(dates).chain(long).fold(stored, Timestamp::max)
}

/// The pure function that [`Store::apply`] runs on a consistent snapshot; it may be run again.
pub type Decide<'a> = &'a (dyn Fn(&Snapshot) -> Decision + Send + Sync);

#[async_trait]
pub trait Store: Send + Sync {
    /// Whether what `apply` returned survives a crash. A memory store says no, and then messages are
    /// deleted only after delivery.
    fn durable(&self) -> bool;

    /// Reads `reads`, runs `decide` on it, and stores the whole decision, in one transaction. `decide` is pure and
    /// may be run again when the transaction has to be repeated. When this returns `Ok`, everything is durable.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn apply(&self, reads: &ReadSet, decide: Decide<'_>) -> Result<Decision, StoreError>;

    /// Claims deliveries that are due, at most `limit` for each sink named, until `until`. Per sink and fingerprint only
    /// the oldest unfinished delivery is ever leased, so order holds; more severe ones first, then older ones.
    ///
    /// # Errors
    /// Nothing was leased.
    async fn lease(
        &self,
        now: Timestamp,
        until: Timestamp,
        wanted: &[(String, usize)],
    ) -> Result<Vec<Leased>, StoreError>;

    /// Ends attempts. All settlements of one call are stored in one transaction.
    ///
    /// # Errors
    /// Nothing was settled; the leases run out by themselves.
    async fn settle(&self, now: Timestamp, settlements: &[Settlement]) -> Result<(), StoreError>;

    /// Incidents, newest first.
    ///
    /// # Errors
    /// The store could not be read.
    async fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError>;

    /// One incident with everything that happened in it; `None` if there is no such incident. A unique prefix of the id will do.
    ///
    /// # Errors
    /// The store could not be read.
    async fn story(&self, incident: &str) -> Result<Option<Story>, StoreError>;

    /// Situations whose incident is not resolved, in fingerprint order, after `after`; at most `limit`.
    ///
    /// # Errors
    /// The store could not be read.
    async fn open_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError>;

    /// Situations whose incident owes people something that is held back, in fingerprint order, after `after`; at most `limit`.
    ///
    /// # Errors
    /// The store could not be read.
    async fn held_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError>;

    /// Those of these situations that there are.
    ///
    /// # Errors
    /// The store could not be read.
    async fn situations(&self, wanted: &[Fingerprint]) -> Result<Vec<Situation>, StoreError>;

    /// Silences: those in force at a time, by id, or all that are kept, the one that ends last first. At most 1000. They are
    /// stored as part of decisions; one that has ended before its time never changes again.
    ///
    /// # Errors
    /// The store could not be read.
    async fn silences(&self, in_force: Option<Timestamp>) -> Result<Vec<Silence>, StoreError>;

    /// Deliveries in one of `states`, oldest first.
    ///
    /// # Errors
    /// The store could not be read.
    async fn deliveries(&self, states: &[DeliveryState], limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// Waiting and parked deliveries of `sink` with an id above `after`, by id: a page of at most `limit`.
    ///
    /// # Errors
    /// The store could not be read.
    async fn unfinished(&self, sink: &str, after: i64, limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// Whether one of these (sink, notification id) pairs is waiting or parked.
    ///
    /// # Errors
    /// The store could not be read.
    async fn any_unfinished(&self, wanted: &[(String, String)]) -> Result<bool, StoreError>;

    /// The outbox by sink, and the number of open incidents by severity.
    ///
    /// # Errors
    /// The store could not be read.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// What is known of keys, by ARN.
    ///
    /// # Errors
    /// The store could not be read.
    async fn recall_keys(&self, arns: &[String]) -> Result<Vec<KnownKey>, StoreError>;

    /// Adds to what is known of keys: each is joined with what was kept of it before ([`KnownKey::join`]), whoever else adds to it
    /// meanwhile. What does not read back begins anew.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn remember_keys(&self, now: Timestamp, keys: &[KnownKey]) -> Result<(), StoreError>;

    /// The policies and rotation periods seen of a key, by its ARN.
    ///
    /// # Errors
    /// The store could not be read.
    async fn recall_history(&self, arn: &str) -> Result<Option<History>, StoreError>;

    /// Adds to what is known of keys' policies and rotation periods: each key's history learns its lessons, in any order, any number of times. The
    /// keys of which nothing was learnt for longest are forgotten when there are too many.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn keep_lessons(&self, now: Timestamp, lessons: &[Lesson]) -> Result<(), StoreError>;

    /// The calls of canaries, oldest first.
    ///
    /// # Errors
    /// The store could not be read.
    async fn canary_calls(&self) -> Result<Vec<Call>, StoreError>;

    /// Keeps a canary's call; one with the same id is replaced. Of each canary the newest [`CALLS_KEPT`](crate::core::canary::CALLS_KEPT) are kept. Durable when this
    /// returns `Ok`.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn keep_canary_call(&self, call: &Call) -> Result<(), StoreError>;

    /// What is known of the use of keys, in the order of their ARNs, after `after`; at most `limit`. What was kept long ago is left out.
    ///
    /// # Errors
    /// The store could not be read.
    async fn recall_usage(
        &self,
        now: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, KeyUsage)>, StoreError>;

    /// Keeps what is known of the use of keys, in place of what was kept of them before.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn keep_usage(&self, now: Timestamp, usage: &BTreeMap<String, KeyUsage>) -> Result<(), StoreError>;

    /// Keeps an undecodable message of a queue that has no DLQ. Durable when this returns `Ok`. Bounded: what is kept is not given up
    /// for what comes later.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn quarantine(&self, now: Timestamp, message_id: &str, reason: &str, body: &str) -> Result<(), StoreError>;

    /// Housekeeping in bounded steps, some hundred rows of each kind at a time: forgets what is older than `retention`, and what
    /// lies between the first 100 and the newest 900 alerts of an incident (and lines of its history), and turns unfinished
    /// deliveries of sinks that are not in `sinks` into dead ones. A resolved incident is kept, with its situation and story,
    /// as long as a delivery of it is kept. That a group has learnt ([`Situation::learnt`]) stays when all else of it goes, for five
    /// years. Returns the number of rows touched; call again while it is not 0.
    ///
    /// # Errors
    /// The step was not made.
    async fn prune(&self, now: Timestamp, retention: &Retention, sinks: &[String]) -> Result<u64, StoreError>;

    /// Proves that a durable write works now: how the daemon learns that the disk is back.
    ///
    /// # Errors
    /// What is wrong.
    async fn probe(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Flushes and closes; nothing may be called afterwards.
    async fn close(&self);
}

/// What is remembered of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKey {
    /// The last aliases and tags known of it, and what never changes.
    pub key: KeyRef,
    /// A sweep has looked at it.
    pub swept: bool,
}

impl KnownKey {
    /// What is remembered when this becomes known.
    #[must_use]
    pub fn join(&self, before: Option<&Self>) -> Self {
        Self {
            key: enrich::join(&self.key, before.map(|before| &before.key)),
            swept: self.swept || before.is_some_and(|before| before.swept),
        }
    }
}

impl From<KeyRef> for KnownKey {
    fn from(key: KeyRef) -> Self {
        Self { key, swept: false }
    }
}

/// A claimed delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    pub delivery: Delivery,
    /// What the sink told us to remember of this incident.
    pub memory: Option<String>,
    /// Set when this is a trigger that was never attempted (but as such a note) and its incident's resolve already waits behind it:
    /// the ids up to and with the resolve, and the resolve itself. They are told as one note and settled together.
    pub overtaken: Option<Overtaken>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Overtaken {
    pub ids: Vec<i64>,
    pub resolve: Notification,
}

/// One notification to one sink, as it stands in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub id: i64,
    pub sink: String,
    pub notification: Notification,
    pub state: DeliveryState,
    /// Attempts made so far.
    pub attempts: u32,
    /// The last attempt ended without our knowing whether it was accepted.
    pub outcome_unknown: bool,
    pub created_at: Timestamp,
    /// When it may be claimed next; for a claimed one, when the claim runs out.
    pub due_at: Timestamp,
    pub last_error: Option<String>,
}

impl Delivery {
    /// The same on every attempt; unique per notification and sink.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}", self.notification.id, self.sink)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its time, or is leased.
    Waiting,
    /// Waits for a person to mend something; retried slowly.
    Parked,
    Done,
    /// Given up, kept and visible.
    Dead,
    /// Never sent, because what it followed was never told.
    Cancelled,
}

impl DeliveryState {
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Parked, Self::Done, Self::Dead, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    pub id: i64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Accepted. `memory` replaces what is kept for this sink and incident.
    Done {
        memory: Option<String>,
    },
    /// Tried; to be tried again at `at`.
    Retry {
        at: Timestamp,
        outcome_unknown: bool,
        error: String,
    },
    Parked {
        at: Timestamp,
        outcome_unknown: bool,
        error: String,
    },
    /// Given up. A dead trigger cancels what waits behind it for the same incident and sink, up to the incident's next trigger:
    /// an incident that opens again is told. A resolve that is decided only later is cancelled when it is stored, unless something
    /// else was told there meanwhile.
    Dead {
        error: String,
    },
    /// Not tried: the lease is given back, due at `at`.
    Released {
        at: Timestamp,
    },
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentFilter {
    /// Open and acknowledged ones only.
    pub open: bool,
    pub limit: usize,
}

/// One incident's history, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    pub incident: Incident,
    /// If it is long: the first and the newest ones.
    pub alerts: Vec<crate::core::decide::AlertEntry>,
    /// If it is long: the first and the newest lines.
    pub history: Vec<crate::core::decide::HistoryEntry>,
    pub deliveries: Vec<StoryDelivery>,
    pub forgotten: Forgotten,
}

/// How much of a long story is no longer there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    pub alerts: u64,
    pub history: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoryDelivery {
    pub sink: String,
    pub kind: crate::core::notification::Kind,
    pub reason: crate::core::notification::Reason,
    pub state: DeliveryState,
    pub attempts: u32,
    pub created_at: Timestamp,
    /// When it arrived or was given up.
    pub settled_at: Option<Timestamp>,
    /// What the last attempt that failed was told.
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub sinks: BTreeMap<String, SinkStats>,
    pub open_incidents: BTreeMap<Severity, u64>,
    pub quarantined: u64,
    pub quarantined_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkStats {
    pub waiting: u64,
    pub parked: u64,
    pub dead: u64,
    /// When the oldest unfinished delivery was made.
    pub oldest: Option<Timestamp>,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Seen events: longer than SQS's longest retention (14 days), or a redelivery would page again.
    pub seen: SignedDuration,
    /// Resolved incidents with their alerts, history and finished deliveries.
    pub history: SignedDuration,
    /// Markers of resolves that no alert followed.
    pub markers: SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    pub detail: String,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    DiskFull,
    ReadOnly,
    /// Another process holds the lock.
    Locked,
    /// The file is not ours, is damaged, or was written by a newer version.
    Unusable,
    NetworkFilesystem,
    /// A row does not read back; a bug or a hand in the file.
    Corrupt,
    Other,
}

impl StoreErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Locked => "locked",
            Self::Unusable => "unusable",
            Self::NetworkFilesystem => "network_filesystem",
            Self::Corrupt => "corrupt",
            Self::Other => "other",
        }
    }
}

impl std::fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

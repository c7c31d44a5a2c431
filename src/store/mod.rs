//! Port: what must survive. Incidents, the outbox, seen events, history. The store is dumb on purpose: it runs
//! the pure core's decisions inside one transaction and knows nothing of rules, sinks or AWS.
//!
//! Adding a backend: a folder beside this file, one word here, and `conformance` must pass.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::decide::{Decision, ReadSet, Snapshot};
use crate::core::event::KeyRef;
use crate::core::incident::{Fingerprint, Incident, Situation};
use crate::core::notification::Notification;
use crate::core::rule::Severity;

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

    /// Deliveries in one of `states`, oldest first.
    ///
    /// # Errors
    /// The store could not be read.
    async fn deliveries(&self, states: &[DeliveryState], limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// The outbox by sink, and the number of open incidents by severity.
    ///
    /// # Errors
    /// The store could not be read.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// The last aliases and tags known of keys, by ARN.
    ///
    /// # Errors
    /// The store could not be read.
    async fn recall_keys(&self, arns: &[String]) -> Result<Vec<KeyRef>, StoreError>;

    /// Keeps what is known of keys. Aliases and tags replace those kept before; labels are not kept.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn remember_keys(&self, now: Timestamp, keys: &[KeyRef]) -> Result<(), StoreError>;

    /// Keeps an undecodable message of a queue that has no DLQ. Durable when this returns `Ok`.
    ///
    /// # Errors
    /// Nothing was stored.
    async fn quarantine(&self, now: Timestamp, message_id: &str, reason: &str, body: &str) -> Result<(), StoreError>;

    /// Housekeeping in bounded steps: forgets what is older than `retention`, and turns unfinished deliveries of sinks
    /// that are not in `sinks` into dead ones. Returns the number of rows touched; call again while it is not 0.
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

/// A claimed delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    pub delivery: Delivery,
    /// What the sink told us to remember of this incident.
    pub memory: Option<String>,
    /// Set when this is a trigger that was never attempted and its incident's resolve already waits behind it:
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
    /// Given up. A dead trigger cancels what waits behind it for the same incident and sink.
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
    pub alerts: Vec<crate::core::decide::AlertEntry>,
    pub history: Vec<crate::core::decide::HistoryEntry>,
    pub deliveries: Vec<StoryDelivery>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoryDelivery {
    pub sink: String,
    pub kind: crate::core::notification::Kind,
    pub reason: crate::core::notification::Reason,
    pub state: DeliveryState,
    pub attempts: u32,
    pub created_at: Timestamp,
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub sinks: BTreeMap<String, SinkStats>,
    pub open_incidents: BTreeMap<Severity, u64>,
    pub quarantined: u64,
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
    pub seen: jiff::SignedDuration,
    /// Resolved incidents with their alerts, history and finished deliveries.
    pub history: jiff::SignedDuration,
    /// Markers of resolves that no alert followed.
    pub markers: jiff::SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    pub detail: String,
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

impl std::fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Locked => "locked",
            Self::Unusable => "unusable",
            Self::NetworkFilesystem => "network_filesystem",
            Self::Corrupt => "corrupt",
            Self::Other => "other",
        })
    }
}

//! What the engine remembers under one fingerprint, as values that do not depend on the order of arrival.
//!
//! Every member rule has a [`Condition`]: the newest danger and the newest clearance, both in event time. A
//! condition is a join of maxima, so the same events in any order give the same answer; the danger wins a
//! tie. An incident is open while any of its conditions is active.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::KeyRef;
use super::notification::EventCard;
use super::rule::Severity;

/// Which incident an alert joins: a hash of the rule (or the family it names) and the group-by values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything remembered under one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    pub fingerprint: Fingerprint,
    /// By rule id. A condition without an incident is a dated marker: a resolve that came before its alert.
    pub conditions: BTreeMap<String, Condition>,
    /// The newest incident; older ones live on in the store's history.
    pub incident: Option<Incident>,
}

impl Situation {
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, conditions: BTreeMap::new(), incident: None }
    }
}

/// One member rule's condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_danger: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_clear: Option<Timestamp>,
    /// For rules that end by time: the danger ends this long after the newest alert.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve_after: Option<SignedDuration>,
    /// The resolve pattern that was in force when the danger came, as JSON: an incident keeps the resolve conditions it opened with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve: Option<serde_json::Value>,
}

impl Condition {
    /// Whether the danger still stands at `now`.
    pub fn active(&self, now: Timestamp) -> bool {
        let Some(danger) = self.last_danger else { return false };
        if self.last_clear.is_some_and(|clear| clear > danger) {
            return false;
        }
        self.ends_at().is_none_or(|end| now < end)
    }

    /// When the danger ends by itself, if nothing else clears or renews it.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.last_danger?.checked_add(self.resolve_after?).ok()
    }

    /// The instant at which the danger ended, for a condition that is not active at `now`.
    pub fn cleared_at(&self, now: Timestamp) -> Option<Timestamp> {
        let danger = self.last_danger?;
        let by_event = self.last_clear.filter(|clear| *clear > danger);
        let by_time = self.ends_at().filter(|end| *end <= now);
        match (by_event, by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }
}

/// open → acknowledged → resolved; holds the alerts of one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Derived from the fingerprint and the episode, not from chance.
    pub id: String,
    pub fingerprint: Fingerprint,
    /// Counts the incidents of this fingerprint from 1.
    pub episode: u32,
    /// The family it belongs to, or the rule's id.
    pub family: String,
    /// Member rules that have fired.
    pub rules: BTreeSet<String>,
    pub title: String,
    pub severity: Severity,
    pub state: State,
    /// Event time of the oldest alert.
    pub opened_at: Timestamp,
    pub last_alert_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_at: Option<Timestamp>,
    pub alerts: u64,
    /// Stable principals seen, at most [`ACTORS_MAX`].
    pub actors: BTreeSet<String>,
    pub key: Option<KeyRef>,
    /// Rule tags, joined.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// The oldest and the newest alert's event, for cards.
    pub first: EventCard,
    pub latest: EventCard,
    /// Sinks that were told of it: they hear the rest, whatever routes say now.
    pub told: BTreeSet<String>,
    /// Escalation step: rises with the severity, so that an acknowledged page pages again.
    pub step: u32,
    /// Counts its notified transitions; orders deliveries and makes their ids.
    pub transitions: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_notified_at: Option<Timestamp>,
    /// Who acknowledged or resolved it by hand, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<Taken>,
    /// What a reader must know about the quality of what is said here ("KMS lookups were denied").
    #[serde(default)]
    pub marks: BTreeSet<String>,
    /// Repeat notices while open, this often.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repeat: Option<SignedDuration>,
}

/// Bound on the principals kept in one incident.
pub const ACTORS_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub by: String,
    pub why: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Acknowledged,
    Resolved,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

//! The heart: what a set of events, or the passing of time, means for incidents and notifications.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventId;
use super::incident::{Fingerprint, Situation, State};
use super::notification::{EventCard, Kind, Notification, Reason};
use super::rule::Severity;

/// The keys of all state a decision needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadSet {
    pub events: Vec<EventId>,
    pub fingerprints: Vec<Fingerprint>,
    /// Full ids of incidents whose situations are wanted too (a person's command).
    pub incidents: Vec<String>,
    /// Situations whose timer is due at this time, at most so many, earliest first.
    pub due: Option<(Timestamp, usize)>,
}

/// A consistent view of a [`ReadSet`]. What is not there is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Those of the asked events that were seen before.
    pub seen: HashSet<EventId>,
    pub situations: HashMap<Fingerprint, Situation>,
}

/// Everything that has to be stored, and the reason for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Events to remember as seen, with the time of the decision.
    pub seen: Vec<(EventId, Timestamp)>,
    /// New values; each replaces the one kept under its fingerprint, and its incident the row with the incident's id.
    pub situations: Vec<Situation>,
    pub alerts: Vec<AlertEntry>,
    pub history: Vec<HistoryEntry>,
    /// What goes to the outbox, in order. A (sink, notification id) that is already there is left alone.
    pub deliveries: Vec<NewDelivery>,
}

/// One rule matched one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEntry {
    pub incident: String,
    pub fingerprint: Fingerprint,
    pub rule: String,
    pub severity: Severity,
    pub event: EventCard,
    /// Recorded only; nobody is told.
    pub shadow: bool,
}

/// One line of an incident's history: a transition, a notification, or the reason why there was none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub fingerprint: Fingerprint,
    pub incident: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    Transition {
        from: Option<State>,
        to: State,
        severity: Severity,
        reason: Reason,
        by: Option<String>,
        why: Option<String>,
    },
    Told {
        sinks: Vec<String>,
        kind: Kind,
        reason: Reason,
    },
    NotTold {
        reason: NotTold,
    },
}

/// Why a notification was NOT sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotTold {
    /// It joined an open incident and changed nothing worth a notification.
    NothingNew,
    /// No route takes it, and its severity is below high.
    NoRoute,
    /// The rule is in shadow mode.
    Shadow,
    /// No sink was told of the trigger, so none is told of the rest.
    NeverTold,
    /// Older than what is already known.
    Outdated,
    /// Another event told the same fact.
    SameFact,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    pub sink: String,
    pub notification: Notification,
}

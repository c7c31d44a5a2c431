//! The heart: what a set of events, or the passing of time, means for incidents and notifications.
//!
//! Three pure steps. [`evaluate`] finds which rules an event touches and the keys of all state that is
//! needed; [`decide`] folds evaluations into situations and makes notifications; [`tick`] does the same for time.
//! The live daemon, replay and the played story all call these; there is no second engine.

mod adopt;
mod count;
mod evaluate;
mod fold;
mod gate;
mod hand;
mod keys;
mod notify;
mod own;
mod several;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::access::{self, Trust};
use super::countdown::Marks;
use super::decode::{self, Glance};
use super::event::{Event, EventId};
use super::hold::Gate;
use super::incident::{Fingerprint, Situation, State};
use super::inhibit::Inhibit;
use super::notification::{EventCard, Kind, Notification, Reason};
use super::peek::Peek;
use super::pipeline::Ours;
use super::route::{KeyLabels, Route};
use super::rule::{RuleSet, Severity};
use super::silence::Silence;

pub use adopt::{LegacyResolve, adopt, legacy_resolves};
pub(crate) use evaluate::value_at;
pub use evaluate::{Candidate, Evaluation, LookedUp, Prepared, States, Step, evaluate, fingerprint};
pub use gate::{Gates, begin_silence, settle_silences};
pub use hand::{Action, Command, by_hand};
pub use own::{OwnSubject, own_clear, own_danger, own_notification};

/// Everything that decides, compiled from one configuration; the default holds nothing.
#[derive(Debug, Default)]
pub struct Policy {
    pub rules: RuleSet,
    pub routes: Vec<Route>,
    pub labels: Vec<KeyLabels>,
    /// Who belongs to us.
    pub trust: Trust,
    /// On which queues and `EventBridge` rules events come to us.
    pub ours: Ours,
    pub inhibit: Vec<Inhibit>,
    /// Names of all configured sinks.
    pub sinks: Vec<String>,
    /// Names of all queues that are received from.
    pub queues: Vec<String>,
    /// Names of all canaries.
    pub canaries: Vec<String>,
    /// Accounts and Regions that are swept.
    pub places: Vec<String>,
    pub engine: EngineSettings,
    /// How long before a date rules with `countdown` are alerts.
    pub marks: Marks,
    /// Resolve patterns that open incidents were opened with and that the rules no longer have.
    pub legacy: Vec<LegacyResolve>,
}

impl Policy {
    /// Whether a message is provably nothing to anybody here, so that it need not be decoded. What every envelope is known by
    /// settles it for most of them; the others are read once more, as far as the rules ask.
    pub fn passes_over(&self, body: &str) -> bool {
        let nothing = |peek: &Peek<'_>| !self.concerned(peek) && !access::teaches(peek);
        decode::brief(body)
            .is_some_and(|brief| nothing(&brief) || self.rules.peek(body).is_some_and(|peek| nothing(&peek)))
    }

    /// False only if provably nothing here reads an event that peeks so.
    pub fn concerned(&self, peek: &Peek<'_>) -> bool {
        self.rules.concerned(peek) || self.legacy.iter().any(|legacy| legacy.index.concerned(peek))
    }

    /// The same of the event that this is a glance at, whose `text` is read further: for events that the glance does not rule out.
    pub fn concerned_closely(&self, glance: &Glance<'_>, text: &[u8]) -> bool {
        self.rules.concerned_closely(glance, text)
            || glance.peek().is_none_or(|peek| self.legacy.iter().any(|legacy| legacy.index.concerned(&peek)))
    }

    /// The same question of a decoded event.
    pub fn concern(&self, event: &Event) -> bool {
        let document = &event.document;
        self.rules.concern(document) || self.legacy.iter().any(|legacy| !legacy.index.candidates(document).is_empty())
    }

    /// The same without rules: what is in force until open incidents have met the rules of now.
    #[must_use]
    pub fn without_rules(&self) -> Self {
        Self {
            trust: self.trust.clone(),
            ours: self.ours.clone(),
            sinks: self.sinks.clone(),
            queues: self.queues.clone(),
            canaries: self.canaries.clone(),
            places: self.places.clone(),
            engine: self.engine,
            marks: self.marks.clone(),
            ..Self::default()
        }
    }
}

/// Times that the engine works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// An alert this soon after the resolve opens the same incident again; later it opens a new one. Also the
    /// lateness bound: within it the order of arrival does not change the end state. One thing is left to it: a late
    /// event that lies between two incidents and would have joined them to one comes too late to do so.
    pub reopen_within: SignedDuration,
    /// A lookup may say that a danger is past only if it was made this long after the newest danger event.
    pub settle: SignedDuration,
    /// An event older than this when it arrives is marked late.
    pub late_after: SignedDuration,
    /// Repeat notices for open critical and high incidents of rules that name no interval; `None`: never.
    pub repeat: Option<SignedDuration>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            reopen_within: SignedDuration::from_hours(24),
            settle: SignedDuration::from_mins(5),
            late_after: SignedDuration::from_mins(15),
            repeat: Some(SignedDuration::from_hours(4)),
        }
    }
}

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
    /// What may hold notifications back; none of it is read from the state above.
    pub gates: Arc<Gates>,
    /// Of those asked for, which do not read back, and the episode of each one's last incident, 0 if there is none. `situations` holds
    /// what could be made of them; a decision replaces them.
    pub unreadable: BTreeMap<Fingerprint, u32>,
}

/// Everything that has to be stored, and the reason for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Events to remember as seen, with the time of the decision.
    pub seen: Vec<(EventId, Timestamp)>,
    /// How many of the evaluations were duplicates.
    pub duplicates: usize,
    /// New values; each replaces the one kept under its fingerprint, and its incident the row with the incident's id.
    pub situations: Vec<Situation>,
    pub alerts: Vec<AlertEntry>,
    pub history: Vec<HistoryEntry>,
    /// What goes to the outbox, in order. A (sink, notification id) that is already there is left alone.
    pub deliveries: Vec<NewDelivery>,
    /// New values of silences; one that has ended in the store stays as it is.
    pub silences: Vec<Silence>,
}

impl Decision {
    /// Nothing to store.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
            && self.situations.is_empty()
            && self.alerts.is_empty()
            && self.history.is_empty()
            && self.deliveries.is_empty()
            && self.silences.is_empty()
    }
}

/// One rule matched one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEntry {
    pub incident: String,
    pub fingerprint: Fingerprint,
    pub rule: String,
    pub severity: Severity,
    pub event: EventCard,
    /// The rule was on trial.
    #[serde(default)]
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
        /// What a reader must know of how it came, such as a silence that does not hold it.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        remarks: Vec<String>,
    },
    NotTold {
        reason: NotTold,
        /// What holds it, or held it when the incident was over.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        held: Option<Gate>,
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
    /// No sink was told of the trigger, so none is told of the rest.
    NeverTold,
    /// Older than what is already known.
    Outdated,
    /// Another event told the same fact.
    SameFact,
    /// A person's silence holds it.
    Silenced,
    /// Another incident, which is open, holds it.
    Inhibited,
    /// The rule is on trial.
    Shadow,
}

impl NotTold {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingNew => "nothing_new",
            Self::NoRoute => "no_route",
            Self::NeverTold => "never_told",
            Self::Outdated => "outdated",
            Self::SameFact => "same_fact",
            Self::Silenced => "silenced",
            Self::Inhibited => "inhibited",
            Self::Shadow => "shadow",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    pub sink: String,
    pub notification: Notification,
}

/// Decides a batch of evaluations, oldest event first.
pub fn decide(policy: &Policy, evaluations: &[Evaluation], snapshot: &Snapshot, now: Timestamp) -> Decision {
    let mut desk = fold::Desk::new(policy, snapshot, now);
    let mut order: Vec<&Evaluation> = evaluations.iter().collect();
    order.sort_by(|a, b| (a.event.time, &a.id).cmp(&(b.event.time, &b.id)));
    for evaluation in order {
        desk.event(evaluation);
    }
    desk.finish()
}

/// Decides what the passing of time means for the situations of a snapshot (a bounded page of due timers).
pub fn tick(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Decision {
    let mut desk = fold::Desk::new(policy, snapshot, now);
    let mut due: Vec<&Fingerprint> = snapshot.situations.keys().collect();
    due.sort();
    for fingerprint in due {
        desk.time(fingerprint);
    }
    desk.finish()
}

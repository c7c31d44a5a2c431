//! What one sink is told about one incident, free of any channel's markup. Sinks render it; the outbox keeps it as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::countdown::Deadline;
use super::event::{Actor, KeyRef};
use super::incident::{Fingerprint, State};
use super::rule::Severity;
use super::usage::{Harm, InUse};

/// One notification. Everything in it that came out of an event is untrusted text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Derived from fingerprint, episode and transition: the same on every attempt and every replica.
    pub id: String,
    pub kind: Kind,
    pub reason: Reason,
    /// When the engine decided to send it.
    pub at: Timestamp,
    pub incident: IncidentCard,
    /// The event that caused it; the newest known one for repeats and resolves by time.
    pub event: EventCard,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyRef>,
    /// One line: what happened, to which key, by whom. Plain text.
    pub summary: String,
    /// What it means for people, in one or two sentences, from the rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meaning: Option<String>,
    /// What to do now, from the rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
    /// The command that undoes it, built only from grammar-checked ARNs and Regions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub links: Vec<Link>,
    /// Remarks about the quality of what is said: "key details could not be looked up: access denied".
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub marks: Vec<String>,
    /// Played by `demo` or `send-test`: sinks mark it so that nobody takes it for real.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub banner: Option<String>,
}

impl Notification {
    /// An update that asks for people again, even if somebody has taken the incident.
    pub fn asks_again(&self) -> bool {
        self.kind == Kind::Update && matches!(self.reason, Reason::Escalated | Reason::NewDanger | Reason::Countdown)
    }

    /// PagerDuty's dedup key and its kin: fingerprint + episode + escalation step.
    pub fn dedup_key(&self, step: u32) -> String {
        // A report about kmswatch itself may have to go out without the store, which alone knows the episode.
        let own = self.incident.family.starts_with("kmswatch.");
        let episode = if own { 1 } else { self.incident.episode };
        format!("kmswatch-{}-{episode}-{step}", self.incident.fingerprint)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An incident opens (or opens again).
    Trigger,
    /// Something about an open incident changed, or it is repeated.
    Update,
    Resolve,
    /// Told once and never open: good news, a danger that had passed when it was heard of, a late page. Never pages.
    Notice,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Update => "update",
            Self::Resolve => "resolve",
            Self::Notice => "notice",
        }
    }
}

/// Why it is sent: stored, shown, sent, and used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Opened,
    Reopened,
    Escalated,
    /// Another rule of the incident's family has fired: a danger on top of the one that stood.
    NewDanger,
    /// A mark before the date that the incident counts down to has passed.
    Countdown,
    /// The key is better off than before, and still cannot be used.
    Downgraded,
    NewActor,
    Repeat,
    Resolved,
    /// Resolved because its time ran out.
    Expired,
    /// Resolved by a person.
    ResolvedByHand,
    AcknowledgedByHand,
    /// It was over when it was heard of.
    OpenedAndResolved,
    /// The rule is a notice.
    Notice,
    /// A pending trigger whose incident has resolved meanwhile.
    TooLate,
    /// A reload removed or regrouped the rule.
    RuleGone,
    /// kmswatch about itself.
    SelfReport,
    /// `send-test` and the played story.
    Test,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Escalated => "escalated",
            Self::NewDanger => "new_danger",
            Self::Countdown => "countdown",
            Self::Downgraded => "downgraded",
            Self::NewActor => "new_actor",
            Self::Repeat => "repeat",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
            Self::ResolvedByHand => "resolved_by_hand",
            Self::AcknowledgedByHand => "acknowledged_by_hand",
            Self::OpenedAndResolved => "opened_and_resolved",
            Self::Notice => "notice",
            Self::TooLate => "too_late",
            Self::RuleGone => "rule_gone",
            Self::SelfReport => "self_report",
            Self::Test => "test",
        }
    }
}

/// The incident as it stood when the notification was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentCard {
    pub id: String,
    pub fingerprint: Fingerprint,
    pub episode: u32,
    pub state: State,
    pub severity: Severity,
    /// The rule's title.
    pub title: String,
    /// The rule that fired last.
    pub rule: String,
    /// The family it belongs to, or the rule's id.
    pub family: String,
    pub opened_at: Timestamp,
    pub last_alert_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_at: Option<Timestamp>,
    /// The date it counts down to, and what happens then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<Deadline>,
    /// Uses that were refused because the key cannot be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub harm: Option<Harm>,
    /// What was known of the use of the key when it became unusable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_use: Option<InUse>,
    pub alerts: u64,
    pub actors: Vec<String>,
    /// Escalation step; a resolve closes the steps 0 to this one.
    pub step: u32,
    /// Numbers the notified transitions of this incident from 1.
    pub transition: u32,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook: Option<String>,
    /// Who looks after the rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Person who acknowledged or resolved it, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<super::incident::Taken>,
}

/// What a card says of one event. Every string is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventCard {
    pub id: String,
    pub name: String,
    pub source: String,
    pub time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    pub outcome: super::event::Outcome,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub denied_by: Option<super::event::DeniedBy>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    pub actor: Actor,
    /// Facts worth a line that only this event has ("waiting period": "7 days").
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub details: BTreeMap<String, String>,
    /// `late by 3 h (DELIVERY_DELAY)`, for events that say so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub late: Option<String>,
}

/// A link that we built ourselves from grammar-checked parts, or one from the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub text: String,
    pub href: String,
}

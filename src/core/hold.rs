//! What holds notifications back, and what is owed to people once nothing does any more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::incident::Fingerprint;
use super::notification::{Kind, Reason};

/// Holds notifications back, never recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum Gate {
    /// A person's silence.
    Silence { id: String, by: String, why: String },
    /// Another incident, which is open.
    Inhibition { incident: String, fingerprint: Fingerprint, title: String },
    /// The rule is on trial.
    Shadow { rule: String },
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence { id, by, why } => write!(f, "silence {id} of {by}: {why}"),
            Self::Inhibition { incident, title, .. } => write!(f, "incident {incident} ({title})"),
            Self::Shadow { rule } => write!(f, "the shadow mode of rule {rule}"),
        }
    }
}

/// What an open incident owes to people, and what keeps it from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    #[serde(flatten)]
    pub gate: Gate,
    pub since: Timestamp,
    /// When the gate opens by itself, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    pub kind: Kind,
    pub reason: Reason,
}

impl Held {
    /// Several held notifications become one: the weightiest.
    pub fn join(&mut self, kind: Kind, reason: Reason) {
        if weight(kind, reason) > weight(self.kind, self.reason) {
            (self.kind, self.reason) = (kind, reason);
        }
    }
}

/// What tells more: an opening all there is, a repeat nothing new.
pub fn weight(kind: Kind, reason: Reason) -> u8 {
    match (kind, reason) {
        (Kind::Trigger, _) => 4,
        (_, Reason::Escalated) => 3,
        (_, Reason::NewDanger | Reason::Countdown) => 2,
        (_, Reason::NewActor | Reason::Downgraded) => 1,
        _ => 0,
    }
}

//! A silence: made by a person, with an end, an author and a reason. It stops notifications, never recording.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::incident::{Fingerprint, Incident};
use super::pattern::Node;
use super::route::{IncidentPattern, Subject};
use super::rule::Severity;
use crate::base::diagnostic::Problem;

/// As a person made it, and as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    /// The pattern over the incident document.
    #[serde(rename = "match")]
    pub matches: Value,
    pub by: String,
    pub why: String,
    pub created_at: Timestamp,
    /// Its end at the latest.
    pub ends_at: Timestamp,
    /// It ends before that when the incidents it waits for are resolved.
    #[serde(default)]
    pub until_resolved: bool,
    /// Those open incidents that matched when it was made; if none did, the first that it held. The end of the last of
    /// them is the end of the silence.
    #[serde(default)]
    pub waits_for: BTreeMap<String, Fingerprint>,
    /// An incident whose severity rises to critical while the silence stands is told all the same.
    pub pierce: bool,
    /// Set when it ended before its time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Ended>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    /// Nobody, if it ended because its incidents were resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    pub why: String,
}

impl Silence {
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.ends_at
    }

    /// When it ended, or will at the latest.
    pub fn end(&self) -> Timestamp {
        self.ended.as_ref().map_or(self.ends_at, |ended| ended.at.min(self.ends_at))
    }

    /// Whether that incident is told although the silence matches.
    pub fn pierced_by(&self, incident: &Incident) -> bool {
        self.pierce
            && incident.severity == Severity::Critical
            && incident.rose_at.is_some_and(|rose| rose >= self.created_at)
    }

    /// An incident is resolved. Returns whether that changed the silence, perhaps ended it.
    pub fn resolved(&mut self, incident: &str, now: Timestamp) -> bool {
        let waited = self.until_resolved && self.ended.is_none() && self.waits_for.remove(incident).is_some();
        if waited && self.waits_for.is_empty() {
            let why = format!("incident {incident} is resolved");
            self.ended = Some(Ended { at: now, by: None, why });
        }
        waited
    }
}

/// A silence ready to be asked.
#[derive(Debug)]
pub struct InForce {
    pub silence: Silence,
    pattern: IncidentPattern,
}

/// Whether a silence holds an incident's notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
    /// It reads key details that could not be looked up: that counts as no.
    Unsure,
    /// It holds for a rule that fired, but not for each of the worst: that counts as no.
    Partly,
}

impl InForce {
    /// # Errors
    /// Everything wrong with its pattern.
    pub fn new(silence: Silence) -> Result<Self, Vec<Problem>> {
        Ok(Self { pattern: IncidentPattern::compile(&Node::from_json(&silence.matches))?, silence })
    }

    /// Asks the pattern alone. Reports about kmswatch itself are held only by a silence that names them by `rule` or
    /// `incident`: one for a severity or an account must not make a deaf daemon silent.
    pub fn holds(&self, incident: &Incident) -> Holds {
        self.holds_subject(&Subject::of(incident), incident)
    }

    pub(super) fn holds_subject(&self, subject: &Subject<'_>, incident: &Incident) -> Holds {
        if incident.is_own() && !self.pattern.reads(&["rule", "incident"]) {
            return Holds::No;
        }
        subject.is_held_by(&self.pattern)
    }

    /// Why it does not hold, where it does so partly.
    pub(super) fn beyond(&self, subject: &Subject<'_>) -> String {
        subject.beyond(&self.pattern)
    }
}

impl PartialEq for InForce {
    fn eq(&self, other: &Self) -> bool {
        self.silence == other.silence
    }
}

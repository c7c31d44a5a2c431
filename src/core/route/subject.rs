//! An incident as routes, silences and inhibition see it: all that fired together, and each of the worst by itself.
//!
//! To send more is safe, so a route takes an incident for whatever rule it asks for. What takes something away from people (a
//! silence, an inhibition, the `stop` of a route) was meant for the rules it names: it has to hold for each of the rules
//! whose alerts are the most severe, or one for a small rule would hide the great danger that comes with it.

use serde_json::{Value, json};

use super::IncidentPattern;
use crate::core::incident::Incident;
use crate::core::silence::Holds;

/// The documents of one incident.
pub struct Subject<'i> {
    /// Every rule that fired.
    pub document: Value,
    /// Key details could not be looked up.
    pub incomplete: bool,
    /// By rule: the document as if none but that one had fired. Empty where which ones fired is not known any more.
    worst: Vec<(&'i str, Value)>,
}

impl<'i> Subject<'i> {
    pub fn of(incident: &'i Incident) -> Self {
        let document = incident_document(incident);
        let alone = |rule: &str, tags: &_| {
            let mut document = document.clone();
            if let Some(members) = document.as_object_mut() {
                members.insert("rule".to_owned(), json!([rule]));
                members.insert("tags".to_owned(), json!(tags));
            }
            document
        };
        let worst = incident.worst().into_iter().map(|(rule, tags)| (rule, alone(rule, tags))).collect();
        Self { incomplete: incident.is_incomplete(), worst, document }
    }

    /// Whether a pattern takes something away: it has to hold for each of the worst rules.
    pub fn is_held_by(&self, pattern: &IncidentPattern) -> Holds {
        let of_all = || pattern.holds(&self.document, self.incomplete);
        if self.worst.is_empty() {
            return of_all();
        }
        let of_each = self.worst.iter().map(|(_, document)| pattern.holds(document, self.incomplete));
        let all = of_each.reduce(|one, other| match (one, other) {
            (Holds::Yes, Holds::Yes) => Holds::Yes,
            (Holds::Yes | Holds::Unsure, Holds::Yes | Holds::Unsure) => Holds::Unsure,
            _ => Holds::No,
        });
        match all.unwrap_or(Holds::No) {
            Holds::No if of_all() != Holds::No => Holds::Partly,
            other => other,
        }
    }

    /// Why a pattern that holds partly does not count, in words.
    pub fn beyond(&self, pattern: &IncidentPattern) -> String {
        let missed = self.worst.iter().filter(|(_, document)| pattern.holds(document, self.incomplete) == Holds::No);
        let missed: Vec<&str> = missed.map(|(rule, _)| *rule).collect();
        format!("{} fired too, and none that fired is more severe", missed.join(", "))
    }
}

/// The document that routes, silences and inhibition match.
pub fn incident_document(incident: &Incident) -> Value {
    let mut document = json!({
        "severity": incident.severity.as_str(),
        "rule": incident.rules,
        "incident": incident.family,
        "tags": incident.tags,
        "state": incident.state.as_str(),
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let (Some(members), Some(value)) = (document.as_object_mut(), value) {
            members.insert(name.to_owned(), value);
        }
    };
    put("key", incident.key.as_ref().and_then(|key| serde_json::to_value(key).ok()));
    put("actor", serde_json::to_value(&incident.latest.actor).ok());
    put("account", incident.latest.account.clone().map(Value::String));
    put("region", incident.latest.region.clone().map(Value::String));
    document
}

//! Inhibition: while one incident is open, notifications of another are held. The other is recorded as ever.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_spanned::Spanned;

use super::decide::value_at;
use super::hold::Gate;
use super::incident::{Fingerprint, Incident, State};
use super::pattern::Node;
use super::route::{IncidentPattern, Subject, incident_document};
use super::silence::Holds;
use crate::base::diagnostic::Problem;

/// One `[[inhibit]]` table: while an incident that matches `source` is open, incidents that match `target` are not told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitSpec {
    /// A pattern over the incident that holds others back, as in a route.
    pub source: Node,
    /// A pattern over the incidents that are held back; it has to match for each of the most severe rules that fired. Critical ones never are.
    pub target: Node,
    /// Paths whose values have to be the same in both, such as `key.arn`. A value that is absent equals nothing.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub equal: Vec<Spanned<String>>,
}

/// Compiled `[[inhibit]]`.
#[derive(Debug)]
pub struct Inhibit {
    source: IncidentPattern,
    target: IncidentPattern,
    equal: Vec<String>,
}

/// An open incident that may hold others.
#[derive(Debug, Clone, PartialEq)]
pub struct Inhibitor {
    incident: String,
    fingerprint: Fingerprint,
    title: String,
    document: Value,
    incomplete: bool,
}

impl InhibitSpec {
    /// # Errors
    /// Everything wrong with its patterns.
    pub fn compile(&self) -> Result<Inhibit, Vec<Problem>> {
        let (source, target) = (IncidentPattern::compile(&self.source), IncidentPattern::compile(&self.target));
        match (source, target) {
            (Ok(source), Ok(target)) => {
                Ok(Inhibit { source, target, equal: self.equal.iter().map(|path| path.get_ref().clone()).collect() })
            }
            (source, target) => Err([source.err(), target.err()].into_iter().flatten().flatten().collect()),
        }
    }
}

impl Inhibitor {
    /// The incident as one that holds others; `None` if it holds nobody. A rule on trial must not change what is told
    /// of others. One that is itself held by another holds nobody: in a circle the first stays audible.
    pub fn of(rules: &[Inhibit], incident: &Incident) -> Option<Self> {
        let held = incident.held.as_ref().is_some_and(|held| matches!(held.gate, Gate::Inhibition { .. }));
        if rules.is_empty() || incident.state == State::Resolved || incident.shadow || held {
            return None;
        }
        let (document, incomplete) = (incident_document(incident), incident.is_incomplete());
        rules.iter().any(|rule| rule.source.holds(&document, incomplete) == Holds::Yes).then(|| Self {
            incident: incident.id.clone(),
            fingerprint: incident.fingerprint.clone(),
            title: incident.voice.title.clone(),
            document,
            incomplete,
        })
    }

    fn gate(&self) -> Gate {
        Gate::Inhibition {
            incident: self.incident.clone(),
            fingerprint: self.fingerprint.clone(),
            title: self.title.clone(),
        }
    }
}

/// Whether any rule could hold an incident, or do so partly.
pub(super) fn is_target(rules: &[Inhibit], subject: &Subject<'_>) -> bool {
    rules.iter().any(|rule| matches!(subject.is_held_by(&rule.target), Holds::Yes | Holds::Partly))
}

/// The gate that an inhibitor makes for an incident of another fingerprint.
pub(super) fn gate(rules: &[Inhibit], inhibitor: &Inhibitor, subject: &Subject<'_>) -> Option<Gate> {
    let holds = |rule: &Inhibit| applies(rule, inhibitor, subject) && subject.is_held_by(&rule.target) == Holds::Yes;
    rules.iter().any(holds).then(|| inhibitor.gate())
}

/// What an inhibitor would hold if its rule's target took the worst that fired too: whose gate, and why it is none.
pub(super) fn partly(rules: &[Inhibit], inhibitor: &Inhibitor, subject: &Subject<'_>) -> Option<(Gate, String)> {
    let partly = |rule: &&Inhibit| subject.is_held_by(&rule.target) == Holds::Partly;
    let rule = rules.iter().filter(partly).find(|rule| applies(rule, inhibitor, subject))?;
    Some((inhibitor.gate(), subject.beyond(&rule.target)))
}

/// Whether an inhibitor is one of a rule's sources, with what has to be equal.
fn applies(rule: &Inhibit, inhibitor: &Inhibitor, subject: &Subject<'_>) -> bool {
    let (mine, other) = (&subject.document, &inhibitor.document);
    rule.equal.iter().all(|path| value_at(mine, path).is_some_and(|value| value_at(other, path) == Some(value)))
        && rule.source.holds(other, inhibitor.incomplete) == Holds::Yes
}

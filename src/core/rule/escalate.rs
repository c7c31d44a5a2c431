//! When a rule's alerts are worse than usual: as it is written, and compiled.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Severity;
use super::spec::pattern;
use crate::base::diagnostic::Problem;
use crate::core::incident::Incident;
use crate::core::pattern::node::Name;
use crate::core::pattern::{Node, NodeKind, Pattern};

/// One table of `escalate`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateSpec {
    /// A pattern over the event document and over `incident`: `alerts` and `actors` (numbers), `rules` (ids that fired).
    pub when: Node,
    /// What the incident's severity rises to; it never falls.
    pub severity: Severity,
}

/// A compiled escalation. Both parts must match.
#[derive(Debug)]
pub struct Escalation {
    /// Over the event document.
    pub event: Option<Pattern>,
    /// Over [`incident_document`].
    pub incident: Option<Pattern>,
    pub severity: Severity,
}

/// What the `incident` part of `when` matches: numbers that only grow and sets that only gain, so that the severity an
/// incident ends with does not depend on the order of its alerts.
pub fn incident_document(incident: &Incident) -> Value {
    json!({ "incident": { "alerts": incident.alerts, "actors": incident.actors.len(), "rules": incident.rules } })
}

/// What an incident remembers an escalation by.
pub fn name(rule: &str, number: usize) -> String {
    format!("{rule}#{number}")
}

/// Compiles one escalation.
pub(super) fn compile(spec: &EscalateSpec, base: Severity, problems: &mut Vec<Problem>) -> Option<Escalation> {
    if spec.severity <= base {
        problems.push(
            Problem::error(
                spec.when.span.clone(),
                format!("`{}` is no rise from `{}`", spec.severity.as_str(), base.as_str()),
            )
            .hint("an escalation raises the severity; lower the rule's own instead"),
        );
        return None;
    }
    let when = spec.when.opened();
    let Some((when, NodeKind::Table(members))) = when.as_ref().ok().map(|node| (node, &node.kind)) else {
        // The pattern compiler says what a pattern is.
        pattern(&spec.when, problems);
        return None;
    };
    let mut found = Vec::new();
    let conditions = conditions(&when.span, members, &mut found);
    let fine = found.is_empty();
    if matches!(spec.when.kind, NodeKind::String(_)) {
        // Of a pasted text, the parts have places in that text.
        problems.extend(found.into_iter().map(|problem| problem.within(spec.when.span.clone())));
    } else {
        problems.extend(found);
    }
    let (event, incident) = conditions?;
    if event.is_none() && incident.is_none() {
        // Reports the empty table.
        pattern(&spec.when, problems);
        return None;
    }
    fine.then_some(Escalation { event, incident, severity: spec.severity })
}

/// What is asked of the event, and of the incident.
type Conditions = (Option<Pattern>, Option<Pattern>);

fn conditions(span: &Range<usize>, members: &[(Name, Node)], problems: &mut Vec<Problem>) -> Option<Conditions> {
    let (incident, event): (Vec<_>, Vec<_>) = members.iter().cloned().partition(|(name, _)| name.text == "incident");
    if let Some((_, node)) = incident.first() {
        only_grows(node, problems);
    }
    let part = |members: Vec<_>| Node { span: span.clone(), kind: NodeKind::Table(members) };
    let mut compiled = |members: Vec<_>| {
        if members.is_empty() { Some(None) } else { pattern(&part(members), problems).map(Some) }
    };
    Some((compiled(event)?, compiled(incident)?))
}

/// Refuses conditions that could hold first and not hold later.
fn only_grows(incident: &Node, problems: &mut Vec<Problem>) {
    const HINT: &str =
        "write incident.alerts or incident.actors = [{ numeric = [\">=\", 5] }], or incident.rules = [\"a.rule\"]";
    let NodeKind::Table(members) = &incident.kind else { return };
    for (name, node) in members {
        let NodeKind::Array(items) = &node.kind else { continue };
        let fine = match name.text.as_str() {
            "alerts" | "actors" => items.iter().all(is_lower_bound),
            "rules" => items.iter().all(|item| matches!(item.kind, NodeKind::String(_))),
            _ => {
                problems.push(
                    Problem::error(name.span.clone(), format!("`incident.{}` is not known here", name.text)).hint(HINT),
                );
                continue;
            }
        };
        if !fine {
            problems.push(
                Problem::error(
                    node.span.clone(),
                    format!("`incident.{}` may only be asked to have grown so far", name.text),
                )
                .hint(HINT),
            );
        }
    }
}

/// `{ numeric = [">=", n] }` or `{ numeric = [">", n] }`.
fn is_lower_bound(item: &Node) -> bool {
    let NodeKind::Table(members) = &item.kind else { return false };
    let [(name, node)] = members.as_slice() else { return false };
    let NodeKind::Array(parts) = &node.kind else { return false };
    name.text == "numeric"
        && matches!(parts.as_slice(), [Node { kind: NodeKind::String(sign), .. }, _] if sign == ">=" || sign == ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(toml: &str) -> Result<Escalation, String> {
        let spec: EscalateSpec = toml::from_str(toml).unwrap();
        let mut problems = Vec::new();
        compile(&spec, Severity::Medium, &mut problems)
            .ok_or_else(|| problems.iter().map(|p| p.message.clone()).collect())
    }

    #[test]
    fn both_parts_are_told_apart() {
        let both = "when = { key.labels.environment = ['production'], incident.alerts = [{ numeric = ['>=', 5] }] }\nseverity = 'high'";
        let escalation = compiled(both).unwrap();
        assert!(escalation.event.unwrap().matches(&json!({ "key": { "labels": { "environment": "production" } } })));
        assert!(escalation.incident.unwrap().matches(&json!({ "incident": { "alerts": 5 } })));
        let one = compiled("when = { actor.type = ['Root'] }\nseverity = 'critical'").unwrap();
        assert!(one.incident.is_none());
    }

    #[test]
    fn what_could_fall_again_is_refused() {
        for (toml, message) in [
            ("when = { incident.alerts = [{ numeric = ['<', 5] }] }\nseverity = 'high'", "only be asked to have grown"),
            ("when = { incident.alerts = [5] }\nseverity = 'high'", "only be asked to have grown"),
            ("when = { incident.state = ['open'] }\nseverity = 'high'", "not known here"),
            ("when = { actor.type = ['Root'] }\nseverity = 'low'", "no rise"),
            ("when = { }\nseverity = 'high'", "empty table"),
        ] {
            let error = compiled(toml).unwrap_err();
            assert!(error.contains(message), "{toml}: {error}");
        }
    }
}

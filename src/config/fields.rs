//! A pattern that reads a field nobody fills never matches, and the page it was written for never comes: such fields
//! and values are errors here.

use crate::base::diagnostic::{Problem, did_you_mean};
use crate::core::event::{FIELDS, field};
use crate::core::inhibit::InhibitSpec;
use crate::core::pattern::{Node, NodeKind};
use crate::core::route::{KeysSpec, RouteSpec};
use crate::core::rule::{RuleSpec, Severity};

/// Members of the `EventBridge` envelope. What is inside `detail` is AWS's and free.
const ENVELOPE: &[&str] =
    &["account", "detail", "detail-type", "id", "region", "replay-name", "resources", "source", "time", "version"];

/// Groups of fields that kmswatch adds to the event.
const EVENT: &[&str] =
    &["key", "actor", "outcome", "denied_by", "access", "grant", "replica", "rotation", "pipeline", "trail"];

/// Members of the incident document beside `key` and `actor`.
const INCIDENT: &[&str] = &["account", "incident", "region", "rule", "severity", "state", "tags"];

/// What `[[keys]]` patterns can read beside `key`.
const KEY_PLACE: &[&str] = &["account", "region"];

/// States of an incident that routes can see.
const STATES: &[&str] = &["open", "acknowledged", "resolved"];

/// Fields that a rule's patterns read.
pub(super) fn check_rule(rule: &RuleSpec, problems: &mut Vec<Problem>) {
    let patterns = [Some(&rule.matches), rule.resolve.as_ref(), rule.recovered.as_ref()];
    for pattern in patterns.into_iter().flatten().chain(&rule.except) {
        check_event_pattern(pattern, problems);
    }
}

/// Fields that a pattern over the event document reads.
pub(super) fn check_event_pattern(pattern: &Node, problems: &mut Vec<Problem>) {
    walk(pattern, "", &mut |path, place, _| {
        check_field(path, place, ENVELOPE, EVENT, problems);
    });
}

/// Fields that a `[[keys]]` pattern reads.
pub(super) fn check_keys(keys: &KeysSpec, problems: &mut Vec<Problem>) {
    walk(&keys.matches, "", &mut |path, place, _| check_field(path, place, KEY_PLACE, &["key"], problems));
}

/// Fields that a route reads.
pub(super) fn check_route(route: &RouteSpec, rules: &[&str], problems: &mut Vec<Problem>) {
    route.matches.iter().for_each(|pattern| check_incident_pattern(pattern, rules, problems));
}

/// Fields that an `[[inhibit]]` table reads, and what it can never do.
pub(super) fn check_inhibit(spec: &InhibitSpec, rules: &[&str], problems: &mut Vec<Problem>) {
    check_incident_pattern(&spec.source, rules, problems);
    check_incident_pattern(&spec.target, rules, problems);
    for path in &spec.equal {
        let place = Node { span: path.span(), kind: NodeKind::Null };
        check_field(path.get_ref(), &place, INCIDENT, &["key", "actor"], problems);
    }
    walk(&spec.target, "", &mut |path, _, value| {
        let NodeKind::Array(items) = &value.kind else { return };
        let critical = |item: &&Node| matches!(&item.kind, NodeKind::String(word) if word == "critical");
        if let Some(item) = items.iter().find(critical).filter(|_| path == "severity") {
            problems.push(
                Problem::warning(item.span.clone(), "critical incidents are never held back by others")
                    .hint("name lower severities here; a person may still silence a critical incident"),
            );
        }
    });
}

/// Fields that a pattern over incidents reads, and the values that can be checked: severities, states and rules.
pub fn check_incident_pattern(pattern: &Node, rules: &[&str], problems: &mut Vec<Problem>) {
    let severities = Severity::ALL.map(Severity::as_str);
    walk(pattern, "", &mut |path, place, value| {
        check_field(path, place, INCIDENT, &["key", "actor"], problems);
        let known = match path {
            "severity" => &severities[..],
            "state" => STATES,
            "rule" => rules,
            _ => return,
        };
        let NodeKind::Array(items) = &value.kind else { return };
        for item in items {
            if let NodeKind::String(word) = &item.kind
                && !known.contains(&word.as_str())
            {
                problems.push(
                    Problem::error(item.span.clone(), format!("there is no {path} `{word}`")).hint(did_you_mean(
                        word,
                        known,
                        "possible values",
                    )),
                );
            }
        }
    });
}

fn check_field(path: &str, place: &Node, free: &[&str], groups: &[&str], problems: &mut Vec<Problem>) {
    let first = path.split('.').next().unwrap_or(path);
    if free.contains(&first) || (groups.contains(&first) && field(path).is_some()) {
        return;
    }
    let known: Vec<&str> = FIELDS
        .iter()
        .map(|field| field.name)
        .filter(|name| groups.contains(&name.split('.').next().unwrap_or(name)))
        .chain(free.iter().copied())
        .collect();
    problems.push(
        Problem::error(place.span.clone(), format!("nothing here has a field `{path}`, so this would never match"))
            .hint(did_you_mean(path, &known, "known fields")),
    );
}

/// Calls `visit` with the path, the place of the name (as an empty node) and the value of every field of a pattern.
fn walk(pattern: &Node, path: &str, visit: &mut impl FnMut(&str, &Node, &Node)) {
    let NodeKind::Table(members) = &pattern.kind else { return };
    for (name, value) in members {
        match &value.kind {
            NodeKind::Array(branches) if name.text == "$or" => {
                for branch in branches {
                    walk(branch, path, visit);
                }
            }
            kind => {
                let path = if path.is_empty() { name.text.clone() } else { format!("{path}.{}", name.text) };
                if matches!(kind, NodeKind::Table(_)) {
                    walk(value, &path, visit);
                } else {
                    visit(&path, &Node { span: name.span.clone(), kind: NodeKind::Null }, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        #[derive(serde::Deserialize)]
        struct Holder {
            m: Node,
        }
        toml::from_str::<Holder>(text).unwrap().m
    }

    fn messages(check: impl FnOnce(&mut Vec<Problem>)) -> Vec<String> {
        let mut problems = Vec::new();
        check(&mut problems);
        problems.into_iter().map(|p| format!("{} ({})", p.message, p.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn a_misspelt_field_of_the_event_is_found_wherever_it_is() {
        let pattern = node(
            "m = { source = [\"aws.kms\"], detail.eventNam = [\"X\"], key.tags.team = [\"a\"], \"$or\" = [{ outcom = [\"success\"] }, { actor = { pricipal = [\"x\"] } }] }",
        );
        assert_eq!(
            messages(|found| check_event_pattern(&pattern, found)),
            [
                "nothing here has a field `outcom`, so this would never match (did you mean `outcome`?)",
                "nothing here has a field `actor.pricipal`, so this would never match (did you mean `actor.principal`?)",
            ],
            "what is inside `detail` is free"
        );
    }

    #[test]
    fn a_route_names_what_can_be() {
        let route = |text: &str| RouteSpec { matches: Some(node(text)), sinks: vec![], stop: false };
        let wrong = route(
            "m = { severity = [\"hihg\"], state = [\"opened\"], rule = [\"a\", { prefix = \"zzz\" }], source = [\"x\"] }",
        );
        let found = messages(|found| check_route(&wrong, &["kms.a"], found));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"there is no severity `hihg` (did you mean `high`?)".to_owned()), "{found:?}");
        let right = route(
            "m = { severity = [{ anything-but = [\"info\"] }], key.labels.team = [\"x\"], actor.type = [\"Role\"] }",
        );
        assert_eq!(messages(|found| check_route(&right, &[], found)), [""; 0]);
    }
}

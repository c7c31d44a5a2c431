//! Why a test failed: the first operator that said no, and what it saw.

use serde_json::Value;

use super::Outcome;
use super::judge::counted;
use crate::core::event::Event;
use crate::core::pattern::Pattern;
use crate::core::pattern::verdict::Field;
use crate::core::rule::Rule;
use crate::core::ruletest::spec::EndState;

/// Events that say the same are said once, and not more than so many.
const LINES_MAX: usize = 5;

/// Why there are too few alerts (`missing`), or too many.
pub(super) fn alerts(rule: &Rule, outcome: &Outcome, missing: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (event, _) in &outcome.events {
        let matched = rule.matches.matches(&event.document);
        let exempt = rule.except.iter().position(|except| except.matches(&event.document));
        let line = match (missing, matched, exempt) {
            (true, false, _) => format!("{}: {}", event.name, refused(&rule.matches, event)),
            (true, true, Some(at)) => {
                format!("{}: `except` {} takes it: {}", event.name, at + 1, took(rule, at, event))
            }
            (false, true, None) => format!("{}: `match` takes it{}", event.name, nearest_except(rule, event)),
            _ => continue,
        };
        push(&mut lines, line);
    }
    if missing && lines.is_empty() && !outcome.events.is_empty() && outcome.alerts > 0 {
        lines.push(format!("every event was matched; {}", counted(outcome.alerts, "alert")));
    }
    shortened(lines)
}

/// If there was no alert at all, why.
pub(super) fn if_quiet(rule: &Rule, outcome: &Outcome) -> Vec<String> {
    if outcome.alerts == 0 { alerts(rule, outcome, true) } else { Vec::new() }
}

pub(super) fn states(outcome: &Outcome) -> String {
    let states: Vec<&str> = outcome.incidents.values().map(|incident| incident.state.as_str()).collect();
    if states.is_empty() { "none".to_owned() } else { states.join(", ") }
}

/// Why incidents did not end as expected.
pub(super) fn end(rule: &Rule, outcome: &Outcome, wanted: EndState) -> Vec<String> {
    if outcome.incidents.is_empty() {
        return if_quiet(rule, outcome);
    }
    if wanted != EndState::Resolved {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if let Some(resolve) = &rule.resolve {
        for (event, _) in outcome.events.iter().filter(|(event, _)| !rule.matches.matches(&event.document)) {
            if !resolve.matches(&event.document) {
                push(&mut lines, format!("{} does not resolve: {}", event.name, refused(resolve, event)));
            }
        }
        if lines.is_empty() {
            push(&mut lines, "no event came that its `resolve` takes, later than the danger".to_owned());
        }
    }
    if let Some(after) = rule.resolve_after {
        push(&mut lines, format!("it ends {after:#} after the newest alert: let that much time pass with `after`"));
    }
    shortened(lines)
}

/// Which texts do not print, and why.
pub(super) fn unprinted(rule: &Rule, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for (event, _) in outcome.events.iter().filter(|(event, _)| rule.matches.matches(&event.document)) {
        for fault in rule.templates.iter().flat_map(|templates| templates.faults(&event.document)) {
            push(&mut lines, format!("{}: {fault}", event.name));
        }
    }
    shortened(lines)
}

/// Which values make the groups.
pub(super) fn groups(rule: &Rule, outcome: &Outcome) -> Vec<String> {
    if outcome.incidents.is_empty() {
        return if_quiet(rule, outcome);
    }
    let mut lines = Vec::new();
    for (event, _) in outcome.events.iter().filter(|(event, _)| rule.matches.matches(&event.document)) {
        let values = rule.group_by.iter().map(|path| match crate::core::decide::value_at(&event.document, path) {
            Some(value) => format!("{path} = {}", shown(value)),
            None => format!("{path} is absent"),
        });
        push(&mut lines, format!("{}: {}", event.name, values.collect::<Vec<_>>().join(", ")));
    }
    shortened(lines)
}

pub(super) fn told(rule: &Rule, outcome: &Outcome) -> Vec<String> {
    let mut lines = if_quiet(rule, outcome);
    for told in &outcome.told {
        push(&mut lines, format!("{} ({}) at {}", told.kind.as_str(), told.reason.as_str(), told.at));
    }
    if !outcome.not_told.is_empty() {
        let reasons: Vec<&str> = outcome.not_told.iter().copied().collect();
        push(&mut lines, format!("not told: {}", reasons.join(", ")));
    }
    shortened(lines)
}

/// The first field of the nearest combination that does not pass.
fn refused(pattern: &Pattern, event: &Event) -> String {
    let Some(nearest) = pattern.nearest(&event.document) else { return "the pattern matches nothing".to_owned() };
    match nearest.failed() {
        Some(field) => said(field),
        None if nearest.matched => "it matches".to_owned(),
        None => "no single element of a list satisfies all fields at once".to_owned(),
    }
}

fn took(rule: &Rule, at: usize, event: &Event) -> String {
    let taken = rule.except.get(at).and_then(|except| except.nearest(&event.document));
    taken.map_or_else(String::new, |taken| taken.fields.iter().map(said).collect::<Vec<_>>().join("; "))
}

fn nearest_except(rule: &Rule, event: &Event) -> String {
    let nearest = rule.except.iter().enumerate().find_map(|(at, except)| {
        let nearest = except.nearest(&event.document)?;
        let field = nearest.failed()?;
        Some(format!("; `except` {} does not: {}", at + 1, said(field)))
    });
    nearest.unwrap_or_default()
}

/// `detail.eventName wants ["DisableKey"] and saw "EnableKey"`.
fn said(field: &Field) -> String {
    let saw: Vec<String> = field.saw.iter().map(shown).collect();
    let saw = if saw.is_empty() { "nothing there".to_owned() } else { saw.join(", ") };
    format!("{} wants {} and saw {saw}", field.path, short(&field.wanted))
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

/// Bounded, on one line.
fn short(text: &str) -> String {
    const SHOWN: usize = 160;
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn push(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES_MAX {
        let left = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {left} more"));
    }
    lines
}

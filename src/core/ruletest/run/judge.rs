//! Expectations against what came.

use super::{Failure, Outcome, why};
use crate::core::notification::Notification;
use crate::core::rule::Rule;
use crate::core::ruletest::spec::{EndState, ExpectSpec, NONE};

/// Everything that is not as expected.
pub(super) fn judge(expect: &ExpectSpec, rule: &Rule, outcome: &Outcome) -> Vec<Failure> {
    if !outcome.broken.is_empty() {
        return vec![Failure {
            what: "event",
            expected: "an event that can be decoded".to_owned(),
            got: "none".to_owned(),
            why: outcome.broken.clone(),
        }];
    }
    let mut failures = Vec::new();
    let mut fail = |what, expected: String, got: String, why: Vec<String>| {
        failures.push(Failure { what, expected, got, why });
    };
    let alerts = outcome.alerts;
    if let Some(alert) = expect.alert.as_ref().map(|alert| *alert.get_ref())
        && alert != (alerts > 0)
    {
        let expected = if alert { "an alert" } else { "no alert" };
        fail("alert", expected.to_owned(), counted(alerts, "alert"), why::alerts(rule, outcome, alert));
    }
    if let Some(wanted) = expect.alerts.as_ref().map(|alerts| *alerts.get_ref())
        && wanted != alerts
    {
        fail("alerts", wanted.to_string(), alerts.to_string(), why::alerts(rule, outcome, wanted > alerts));
    }
    let nothing = |what: &str| format!("no incident, so no {what}");
    if let Some(wanted) = expect.severity.as_ref().map(|severity| *severity.get_ref()) {
        let got = outcome.incidents.values().map(|incident| incident.severity).max();
        if got != Some(wanted) {
            let got = got.map_or_else(|| nothing("severity"), |severity| severity.as_str().to_owned());
            fail("severity", wanted.as_str().to_owned(), got, why::if_quiet(rule, outcome));
        }
    }
    if let Some(wanted) = expect.incident.as_ref().map(|state| *state.get_ref()) {
        let wrong = match wanted {
            EndState::None => !outcome.incidents.is_empty(),
            _ => outcome.incidents.is_empty() || outcome.incidents.values().any(|i| !wanted.holds(i.state)),
        };
        if wrong {
            fail("incident", wanted.as_str().to_owned(), why::states(outcome), why::end(rule, outcome, wanted));
        }
    }
    if let Some(wanted) = expect.incidents.as_ref().map(|incidents| *incidents.get_ref())
        && wanted != outcome.incidents.len() as u64
    {
        fail("incidents", wanted.to_string(), outcome.incidents.len().to_string(), why::groups(rule, outcome));
    }
    if let Some(wanted) = &expect.notification {
        let wanted: Vec<&str> = wanted.get_ref().0.iter().map(String::as_str).filter(|word| *word != NONE).collect();
        let got: Vec<&str> = outcome.told.iter().map(|told| told.kind.as_str()).collect();
        if wanted != got {
            fail("notification", listed(&wanted), listed(&got), why::told(rule, outcome));
        }
    }
    if outcome.unprinted {
        let got = "one that did not, and the plain text in its place".to_owned();
        fail("text", "texts that print".to_owned(), got, why::unprinted(rule, outcome));
    }
    for text in expect.text.iter().flat_map(|text| &text.get_ref().0) {
        if !outcome.told.iter().any(|told| says(told, text)) {
            let got = outcome.told.iter().map(|told| format!("\"{}\"", told.summary)).collect::<Vec<_>>();
            let got = if got.is_empty() { "no notification".to_owned() } else { got.join(", ") };
            fail("text", format!("\"{text}\""), got, why::if_quiet(rule, outcome));
        }
    }
    failures
}

/// Whether a notification holds a text that people read.
fn says(told: &Notification, text: &str) -> bool {
    let parts = [Some(&told.summary), Some(&told.incident.title), told.meaning.as_ref(), told.action.as_ref()];
    parts.into_iter().flatten().any(|part| part.contains(text))
        || told.marks.iter().any(|mark| mark.contains(text))
        || told.undo.as_ref().is_some_and(|undo| undo.contains(text))
        || told.event.details.iter().any(|(name, value)| format!("{name}: {value}").contains(text))
        || told.event.error_message.as_ref().is_some_and(|message| message.contains(text))
}

fn listed(words: &[&str]) -> String {
    if words.is_empty() { NONE.to_owned() } else { words.join(", ") }
}

pub(super) fn counted(number: u64, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

//! The story of one incident in words, oldest first: what happened, what was decided, who was told, and how that went. What
//! `incidents show` and `explain --incident` print.

use crate::base::clock::Timestamp;
use crate::core::explain::words;
use crate::core::render::clean;
use crate::store::{DeliveryState, Story, StoryDelivery};

/// One line: when, what kind of line it is, and the words.
pub(super) type Line = (Timestamp, &'static str, String);

/// Alerts by the time of their event, decisions by the time of the decision, deliveries by the time they ended.
pub(super) fn lines(story: &Story) -> Vec<Line> {
    let mut all = Vec::new();
    for alert in &story.alerts {
        let who = alert.event.actor.principal.as_deref().unwrap_or("somebody unnamed");
        let trial = if alert.shadow { ", on trial" } else { "" };
        let line = format!(
            "{} ({}{trial}) took {} by {}",
            alert.rule,
            alert.severity.as_str(),
            clean(&alert.event.name, 100),
            clean(who, 200)
        );
        all.push((alert.event.time, "alert", line));
    }
    for entry in &story.history {
        all.push((entry.at, "decided", words::entry(&entry.what, true)));
    }
    for one in &story.deliveries {
        all.push((one.settled_at.unwrap_or(one.created_at), "delivery", delivery(one)));
    }
    all.sort_by_key(|(at, ..)| *at);
    all
}

/// A line as people read it.
pub(super) fn text((at, what, line): &Line) -> String {
    format!("  {}  {what:<8} {line}", at.strftime("%Y-%m-%d %H:%M:%SZ"))
}

/// What waits for a gate to open.
pub(super) fn owed(story: &Story) -> Option<String> {
    let held = story.incident.held.as_ref()?;
    let until = held
        .until
        .map_or_else(String::new, |until| format!(" until {} at the latest", until.strftime("%Y-%m-%d %H:%M:%SZ")));
    let gate = clean(&held.gate.to_string(), 300);
    Some(format!("Held back{until}: {} ({}), by {gate}.", held.kind.as_str(), words::reason_of_telling(held.reason)))
}

/// What of a long story is no longer there.
pub(super) fn gap(story: &Story) -> Option<String> {
    let count = |number: u64, one: &str, more: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {more}")),
    };
    let forgotten = &story.forgotten;
    let parts =
        [count(forgotten.alerts, "alert", "alerts"), count(forgotten.history, "line of history", "lines of history")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| {
        format!("It is long: {} between its beginning and its newest part are no longer kept.", parts.join(" and "))
    })
}

fn delivery(one: &StoryDelivery) -> String {
    let attempts = if one.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", one.attempts) };
    let end = match one.state {
        DeliveryState::Done => format!("it arrived, after {attempts}"),
        DeliveryState::Waiting if one.attempts == 0 => "it waits for its turn".to_owned(),
        DeliveryState::Waiting => format!("it waits for its next attempt, after {attempts}"),
        DeliveryState::Parked => format!("it waits for somebody to mend the sink, after {attempts}"),
        DeliveryState::Dead => format!("it was given up, after {attempts}"),
        DeliveryState::Cancelled => "it was never sent, because what it follows was never told".to_owned(),
    };
    // What arrived in the end may have failed before.
    let before = if one.state == DeliveryState::Done { "before that: " } else { "" };
    let error = one.last_error.as_ref().map_or_else(String::new, |error| format!(" — {before}{}", clean(error, 200)));
    format!("{} ({}) to {}: {end}{error}", one.kind.as_str(), words::reason_of_telling(one.reason), one.sink)
}

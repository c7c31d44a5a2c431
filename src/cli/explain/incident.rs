//! Why an incident of the store did, or did not, page.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::incidents::{no_such, open_store};
use super::{ExitStatus, Format, say, talk};
use crate::base::clock::Timestamp;
use crate::config::Loaded;
use crate::core::explain::words;
use crate::core::render::clean;
use crate::store::{DeliveryState, Story, StoryDelivery};

pub(super) async fn run(loaded: Loaded, id: &str, format: Format) -> ExitStatus {
    let store = match open_store(&loaded).await {
        Ok(store) => store,
        Err(status) => return status,
    };
    let found = store.story(id).await;
    store.close().await;
    match found {
        Ok(Some(found)) => {
            match format {
                Format::Text => say(&text(&found)),
                Format::Json => lines(&found),
            }
            ExitStatus::Fine
        }
        Ok(None) => no_such(id),
        Err(error) => {
            talk(&format!("error: the store does not answer: {error}"));
            ExitStatus::NotFine
        }
    }
}

/// What happened, oldest first, in words.
fn told(story: &Story) -> Vec<(Timestamp, &'static str, String)> {
    let mut all = Vec::new();
    for alert in &story.alerts {
        let who = alert.event.actor.principal.as_deref().unwrap_or("somebody unnamed");
        let line = format!(
            "{} ({}) took {} by {}",
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
        all.push((one.created_at, "delivery", delivery(one)));
    }
    all.sort_by_key(|(at, ..)| *at);
    all
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
    let error = one.last_error.as_ref().map_or_else(String::new, |error| format!(" — {}", clean(error, 200)));
    format!("{} ({}) to {}: {end}{error}", one.kind.as_str(), words::reason_of_telling(one.reason), one.sink)
}

/// The short answer: who heard of it, and who did not.
fn short(story: &Story) -> Vec<String> {
    let mut sinks: BTreeMap<&str, Vec<&StoryDelivery>> = BTreeMap::new();
    for one in &story.deliveries {
        sinks.entry(one.sink.as_str()).or_default().push(one);
    }
    if sinks.is_empty() {
        let reasons = told(story).into_iter().filter(|(_, _, line)| line.starts_with("nobody is told"));
        let mut lines: Vec<String> = vec!["Nobody was told of it.".to_owned()];
        lines.extend(reasons.map(|(_, _, line)| line));
        lines.dedup();
        return lines;
    }
    sinks
        .into_iter()
        .map(|(sink, all)| {
            let arrived = all.iter().filter(|one| one.state == DeliveryState::Done).count();
            match (arrived, all.len()) {
                (0, 1) => format!("{sink} has heard nothing: its one notification has not arrived."),
                (0, number) => format!("{sink} has heard nothing: none of its {number} notifications has arrived."),
                (arrived, number) if arrived == number => format!("{sink} has heard everything ({number})."),
                (arrived, number) => format!("{sink} has heard {arrived} of {number} notifications."),
            }
        })
        .collect()
}

/// What waits for a gate to open.
fn owed(story: &Story) -> Option<String> {
    let held = story.incident.held.as_ref()?;
    let until = held
        .until
        .map_or_else(String::new, |until| format!(" until {} at the latest", until.strftime("%Y-%m-%d %H:%M:%SZ")));
    let gate = clean(&held.gate.to_string(), 300);
    Some(format!("Held back{until}: {} ({}), by {gate}.", held.kind.as_str(), words::reason_of_telling(held.reason)))
}

fn text(story: &Story) -> String {
    let incident = &story.incident;
    let mut lines = vec![format!(
        "incident {} is {} ({}): {}",
        incident.id,
        incident.state.as_str(),
        incident.severity.as_str(),
        clean(&incident.voice.title, 120)
    )];
    lines.extend(short(story).into_iter().map(|line| format!("  {line}")));
    lines.extend(owed(story).map(|line| format!("  {line}")));
    lines.push(String::new());
    let stamped = told(story).into_iter();
    lines.extend(stamped.map(|(at, what, line)| format!("  {}  {what:<8} {line}", at.strftime("%Y-%m-%d %H:%M:%SZ"))));
    lines.join("\n")
}

fn lines(story: &Story) {
    let incident = &story.incident;
    say(&json!({
        "kind": "incident",
        "id": incident.id,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.voice.title,
        "short": short(story),
        "held": incident.held,
    })
    .to_string());
    for (at, what, line) in told(story) {
        say(&json!({ "kind": what, "at": at, "said": line }).to_string());
    }
}

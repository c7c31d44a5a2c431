//! Why an incident of the store did, or did not, page.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::incidents::{no_such, open_store};
use super::super::story;
use super::{ExitStatus, Format, say, talk};
use crate::config::Loaded;
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

/// The short answer: who heard of it, and who did not.
fn short(told: &Story) -> Vec<String> {
    let mut sinks: BTreeMap<&str, Vec<&StoryDelivery>> = BTreeMap::new();
    for one in &told.deliveries {
        sinks.entry(one.sink.as_str()).or_default().push(one);
    }
    if sinks.is_empty() {
        let reasons = story::lines(told).into_iter().filter(|(_, _, line)| line.starts_with("nobody is told"));
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

fn text(told: &Story) -> String {
    let incident = &told.incident;
    let mut lines = vec![format!(
        "incident {} is {} ({}): {}",
        incident.id,
        incident.state.as_str(),
        incident.severity.as_str(),
        clean(&incident.voice.title, 120)
    )];
    lines.extend(short(told).into_iter().map(|line| format!("  {line}")));
    lines.extend(story::owed(told).map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(story::lines(told).iter().map(story::text));
    lines.join("\n")
}

fn lines(told: &Story) {
    let incident = &told.incident;
    say(&json!({
        "kind": "incident",
        "id": incident.id,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.voice.title,
        "short": short(told),
        "held": incident.held,
    })
    .to_string());
    for (at, what, line) in story::lines(told) {
        say(&json!({ "kind": what, "at": at, "said": line }).to_string());
    }
}

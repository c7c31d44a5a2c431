//! The bodies a webhook can carry.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::core::incident::State;
use crate::core::notification::Kind;
use crate::sink::text::fit;
use crate::sink::{Dispatch, line};

/// Our own JSON; `failed` says why the operator's template was not used.
pub(super) fn own(d: &Dispatch<'_>, failed: Option<String>) -> Value {
    let mut body = line::object(d);
    if let (Some(why), Some(data)) = (failed, body["data"].as_object_mut())
        && let Value::Array(marks) = data.entry("marks").or_insert_with(|| json!([]))
    {
        marks.push(format!("the webhook's template failed: {why}").into());
    }
    body
}

/// Alertmanager's webhook payload, version 4: one incident is one alert, named by its fingerprint.
pub(super) fn alertmanager(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let incident = &n.incident;
    // A notice was never open: it arrives resolved, so that no receiver waits for its end.
    let resolved = n.kind == Kind::Resolve || incident.state == State::Resolved || n.kind == Kind::Notice;
    let status = if resolved { "resolved" } else { "firing" };
    let ends_at = if resolved { incident.resolved_at.unwrap_or(n.at).to_string() } else { NEVER.to_owned() };
    let labels = labels(d);
    let annotations = annotations(d);
    let link = n.links.first().map_or("", |link| link.href.as_str());
    let group = json!({ "alertname": labels["alertname"] });
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={}}}", labels["alertname"]),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "kmswatch",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": incident.runbook.as_deref().unwrap_or(link),
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": start(incident.opened_at, incident.resolved_at),
            "endsAt": ends_at,
            "generatorURL": link,
            "fingerprint": incident.fingerprint.0,
        }],
    })
}

/// Labels name the incident and stay the same from trigger to resolve; what changes is an annotation.
fn labels(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let mut labels = Map::new();
    let mut label = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            labels.insert(name.to_owned(), fit(value, 1_000).into());
        }
    };
    label("alertname", Some(&n.incident.family));
    label("incident", Some(&n.incident.id));
    if let Some(key) = &n.key {
        label("key_arn", key.arn.as_deref());
        label("account", key.account.as_deref());
        label("region", key.region.as_deref());
        for (name, value) in &key.labels {
            // Prometheus label names know no dots or dashes.
            let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(100).collect();
            label(&format!("key_{name}"), Some(value));
        }
    }
    Value::Object(labels)
}

fn annotations(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let mut annotations = Map::new();
    let mut annotation = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), fit(value, 4_000).into());
        }
    };
    annotation("title", Some(&n.incident.title));
    annotation("summary", Some(&n.summary));
    annotation("description", n.meaning.as_deref());
    annotation("action", n.action.as_deref());
    annotation("undo", n.undo.as_deref());
    annotation("runbook_url", n.incident.runbook.as_deref());
    annotation("severity", Some(n.incident.severity.as_str()));
    annotation("rule", Some(&n.incident.rule));
    annotation("reason", Some(n.reason.as_str()));
    annotation("principal", n.event.actor.principal.as_deref());
    annotation("key", n.key.as_ref().map(crate::core::event::KeyRef::display_name));
    annotation("banner", n.banner.as_deref());
    if !n.marks.is_empty() {
        annotation("remarks", Some(&n.marks.join("; ")));
    }
    Value::Object(annotations)
}

fn start(opened: Timestamp, resolved: Option<Timestamp>) -> String {
    resolved.map_or(opened, |resolved| opened.min(resolved)).to_string()
}

/// Go's zero time: what Alertmanager writes while an alert fires.
const NEVER: &str = "0001-01-01T00:00:00Z";

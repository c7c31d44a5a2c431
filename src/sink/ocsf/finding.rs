//! Detection Finding, class 2004.

use serde_json::{Map, Value, json};

use super::parts::{
    actor, api, cloud, list, metadata, object, observables, resource, said, severity, source_endpoint, time,
};
use crate::core::incident::State;
use crate::core::notification::{Kind, Notification};
use crate::sink::Dispatch;
use crate::sink::text::shrink;
use crate::sink::words::change;

const CLASS: u32 = 2004;

/// The incident as it stands, as a finding that is created, updated or closed.
pub(in crate::sink) fn finding(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let incident = &n.incident;
    let (activity_id, activity) = match n.kind {
        // A notice was never open: it is created as resolved.
        Kind::Trigger | Kind::Notice => (1, "Create"),
        Kind::Update => (2, "Update"),
        Kind::Resolve => (3, "Close"),
    };
    let (status_id, status) = match (n.kind, incident.state) {
        (Kind::Notice | Kind::Resolve, _) | (_, State::Resolved) => (4, "Resolved"),
        (_, State::Acknowledged) => (2, "In Progress"),
        (_, State::Open) => (1, "New"),
    };
    let (severity_id, severity) = severity(incident.severity);
    let comment = incident.taken.as_ref().map(|taken| format!("{}: {}", taken.by, taken.why));
    let message = n.banner.as_ref().map_or_else(|| n.summary.clone(), |banner| format!("[{banner}] {}", n.summary));
    let document = object([
        ("activity_id", Some(activity_id.into())),
        ("activity_name", Some(activity.into())),
        ("category_uid", Some(2.into())),
        ("category_name", Some("Findings".into())),
        ("class_uid", Some(CLASS.into())),
        ("class_name", Some("Detection Finding".into())),
        ("type_uid", Some((CLASS * 100 + activity_id).into())),
        ("type_name", Some(format!("Detection Finding: {activity}").into())),
        ("time", Some(time(n.at))),
        ("start_time", Some(time(incident.opened_at))),
        ("end_time", incident.resolved_at.map(time)),
        ("count", Some(incident.alerts.into())),
        ("severity_id", Some(severity_id.into())),
        ("severity", Some(severity.into())),
        ("status_id", Some(status_id.into())),
        ("status", Some(status.into())),
        ("status_detail", Some(change(n).into())),
        ("is_alert", Some((n.kind != Kind::Notice).into())),
        ("message", Some(message.into())),
        ("comment", comment.map(Value::from)),
        ("metadata", Some(metadata(d, d.idempotency_key, &n.event))),
        ("cloud", Some(cloud(n))),
        ("finding_info", Some(info(n))),
        ("evidences", list(vec![evidence(n)])),
        ("resources", list(n.key.as_ref().and_then(resource).into_iter().collect())),
        ("remediation", remediation(n)),
        ("observables", observables(n)),
        ("unmapped", Some(unmapped(n))),
    ]);
    let mut document = document.unwrap_or_default();
    shrink(&mut document, 16_000, 200);
    document
}

fn info(n: &Notification) -> Value {
    let incident = &n.incident;
    let analytic = object([
        ("uid", Some(incident.rule.as_str().into())),
        ("name", said(Some(&incident.title))),
        ("type_id", Some(1.into())),
        ("type", Some("Rule".into())),
    ]);
    object([
        ("uid", Some(incident.id.as_str().into())),
        ("title", said(Some(&incident.title))),
        ("desc", said(n.meaning.as_deref())),
        ("types", Some(json!([incident.family]))),
        ("analytic", analytic),
        ("attacks", list(incident.tags.iter().filter_map(|tag| attack(tag)).collect())),
        ("tags", list(incident.tags.iter().map(|tag| json!({ "name": "tag", "value": tag })).collect())),
        ("created_time", Some(time(incident.opened_at))),
        ("modified_time", Some(time(n.at))),
        ("first_seen_time", Some(time(incident.opened_at))),
        ("last_seen_time", Some(time(incident.last_alert_at))),
        ("src_url", n.links.first().map(|link| link.href.as_str().into())),
        ("data_sources", Some(json!([n.event.source]))),
        ("related_events", Some(json!([{ "uid": n.event.id, "type": n.event.name }]))),
    ])
    .unwrap_or_default()
}

/// A MITRE ATT&CK technique out of a rule's tag: `attack.T1489`, or `attack.T1555.006` with its sub-technique.
fn attack(tag: &str) -> Option<Value> {
    let uid = tag.strip_prefix("attack.")?.to_ascii_uppercase();
    let (technique, sub) = uid.split_once('.').map_or((uid.as_str(), None), |(technique, sub)| (technique, Some(sub)));
    let number = technique.strip_prefix('T')?;
    let digits = |text: &str, most: usize| text.len() == most && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(number, 4) || !sub.is_none_or(|sub| digits(sub, 3)) {
        return None;
    }
    let page = |path: &str| format!("https://attack.mitre.org/techniques/{path}/");
    let sub_technique = sub.map(|sub| json!({ "uid": uid, "src_url": page(&format!("{technique}/{sub}")) }));
    object([
        ("technique", Some(json!({ "uid": technique, "src_url": page(technique) }))),
        ("sub_technique", sub_technique),
    ])
}

/// The event that caused it, in OCSF's words and, as `data`, in ours.
fn evidence(n: &Notification) -> Value {
    object([
        ("uid", said(Some(&n.event.id))),
        ("name", said(Some(&n.event.name))),
        ("actor", actor(&n.event.actor)),
        ("api", api(&n.event)),
        ("src_endpoint", source_endpoint(&n.event.actor)),
        ("http_request", said(n.event.actor.user_agent.as_deref()).map(|agent| json!({ "user_agent": agent }))),
        ("data", Some(serde_json::to_value(&n.event).unwrap_or_default())),
    ])
    .unwrap_or_default()
}

fn remediation(n: &Notification) -> Option<Value> {
    let parts: Vec<&str> = [n.action.as_deref(), n.undo.as_deref()].into_iter().flatten().collect();
    let references = n.incident.runbook.iter().map(|url| url.as_str().into()).collect();
    let desc = said(Some(&parts.join("\n")))?;
    object([("desc", Some(desc)), ("references", list(references))])
}

/// What OCSF has no place for, under our own name.
fn unmapped(n: &Notification) -> Value {
    let incident = &n.incident;
    let mut own = Map::new();
    own.insert("kind".to_owned(), n.kind.as_str().into());
    own.insert("reason".to_owned(), n.reason.as_str().into());
    own.insert("fingerprint".to_owned(), incident.fingerprint.0.as_str().into());
    own.insert("episode".to_owned(), incident.episode.into());
    own.insert("step".to_owned(), incident.step.into());
    own.insert("transition".to_owned(), incident.transition.into());
    own.insert("actors".to_owned(), json!(incident.actors));
    for (name, value) in [
        ("links", (!n.links.is_empty()).then(|| json!(n.links))),
        ("marks", (!n.marks.is_empty()).then(|| json!(n.marks))),
        ("owner", said(incident.owner.as_deref())),
        ("undo", said(n.undo.as_deref())),
    ] {
        if let Some(value) = value {
            own.insert(name.to_owned(), value);
        }
    }
    json!({ "kmswatch": own })
}

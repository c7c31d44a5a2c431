//! API Activity, class 6003: the call behind a notification.

use serde_json::{Value, json};

use super::finding::finding;
use super::parts::{
    actor, api, cloud, is_call, list, metadata, object, observables, outcome, resource, said, source_endpoint, time,
};
use crate::core::event::Outcome;
use crate::sink::Dispatch;
use crate::sink::text::shrink;

const CLASS: u32 = 6003;

/// The call. Its `metadata.uid` is the event's id, so that a call that is told of twice is known for one. What was no call (KMS by
/// itself, kmswatch about itself) is told as a finding: nothing is left out.
pub(in crate::sink) fn activity(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let event = &n.event;
    if !is_call(event) {
        return finding(d);
    }
    let (activity_id, activity) = activity_of(&event.name);
    let (status_id, status) = outcome(event.outcome);
    let denied = event.denied_by.map(crate::core::event::DeniedBy::as_str);
    let detail = match event.outcome {
        Outcome::Success => None,
        Outcome::Denied | Outcome::Failed => event.error_message.as_deref().or(denied),
    };
    // The class wants both; CloudTrail does not always name them.
    let nobody = || json!({ "app_name": event.actor.kind.as_deref().unwrap_or("unknown") });
    let nowhere = || json!({ "name": "unknown" });
    let unmapped = object([("denied_by", denied.map(Value::from)), ("late", said(event.late.as_deref()))]);
    let document = object([
        ("activity_id", Some(activity_id.into())),
        ("activity_name", Some(activity.into())),
        ("category_uid", Some(6.into())),
        ("category_name", Some("Application Activity".into())),
        ("class_uid", Some(CLASS.into())),
        ("class_name", Some("API Activity".into())),
        ("type_uid", Some((CLASS * 100 + activity_id).into())),
        ("type_name", Some(format!("API Activity: {activity}").into())),
        ("time", Some(time(event.time))),
        // How bad a call is says the finding; the call itself is a fact.
        ("severity_id", Some(1.into())),
        ("severity", Some("Informational".into())),
        ("status_id", Some(status_id.into())),
        ("status", Some(status.into())),
        ("status_code", said(event.error_code.as_deref())),
        ("status_detail", said(detail)),
        ("message", said(Some(&n.summary))),
        ("metadata", Some(metadata(d, &event.id, event))),
        ("cloud", Some(cloud(n))),
        ("actor", Some(actor(&event.actor).unwrap_or_else(nobody))),
        ("api", api(event)),
        ("src_endpoint", Some(source_endpoint(&event.actor).unwrap_or_else(nowhere))),
        ("http_request", said(event.actor.user_agent.as_deref()).map(|agent| json!({ "user_agent": agent }))),
        ("resources", list(n.key.as_ref().and_then(resource).into_iter().collect())),
        ("observables", observables(n)),
        ("unmapped", unmapped.map(|own| json!({ "kmswatch": own }))),
    ]);
    let mut document = document.unwrap_or_default();
    shrink(&mut document, 16_000, 200);
    document
}

/// OCSF knows four verbs; cryptography with a key is none of them.
fn activity_of(name: &str) -> (u32, &'static str) {
    const VERBS: &[(&[&str], u32, &str)] = &[
        (&["Create", "Replicate"], 1, "Create"),
        (&["Describe", "Get", "List"], 2, "Read"),
        (
            &["Cancel", "Disable", "Enable", "Import", "Put", "Rotate", "Schedule", "Tag", "Untag", "Update"],
            3,
            "Update",
        ),
        (&["Delete", "Retire", "Revoke"], 4, "Delete"),
    ];
    let found = VERBS.iter().find(|(verbs, ..)| verbs.iter().any(|verb| name.starts_with(verb)));
    found.map_or((99, "Other"), |(_, id, activity)| (*id, *activity))
}

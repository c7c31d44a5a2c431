//! Objects that both classes use. Each is left out where nothing is known: many of OCSF's objects may not be empty.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::SCHEMA_VERSION;
use crate::core::event::{Actor, KeyRef, Outcome};
use crate::core::notification::{EventCard, Notification};
use crate::core::rule::Severity;
use crate::sink::Dispatch;

/// An object of the members that have a value; nothing if none has.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let members: Map<String, Value> = members.collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// A member that may be absent; an empty text says nothing.
pub(super) fn said(text: Option<&str>) -> Option<Value> {
    text.filter(|text| !text.is_empty()).map(Value::from)
}

pub(super) fn list(items: Vec<Value>) -> Option<Value> {
    (!items.is_empty()).then_some(Value::Array(items))
}

/// OCSF counts milliseconds.
pub(super) fn time(at: Timestamp) -> Value {
    at.as_millisecond().into()
}

pub(super) fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

/// `uid` names this document, and is the same on every attempt.
pub(super) fn metadata(d: &Dispatch<'_>, uid: &str, event: &EventCard) -> Value {
    let n = d.notification;
    let recorded = event.id.rsplit('/').next().filter(|_| event.source.starts_with("aws."));
    let product = json!({ "name": "kmswatch", "vendor_name": "kmswatch", "version": env!("CARGO_PKG_VERSION") });
    object([
        ("version", Some(SCHEMA_VERSION.into())),
        ("product", Some(product)),
        ("profiles", Some(json!(["cloud"]))),
        ("uid", Some(uid.into())),
        ("correlation_uid", Some(n.incident.id.as_str().into())),
        ("event_code", said(Some(&event.name))),
        ("original_event_uid", said(recorded)),
        ("original_time", Some(event.time.to_string().into())),
        ("logged_time", Some(time(n.at))),
        // So that nobody takes what was played for real.
        ("labels", n.banner.as_deref().map(|banner| json!([banner]))),
    ])
    .unwrap_or_default()
}

/// The `cloud` profile's object.
pub(super) fn cloud(n: &Notification) -> Value {
    let key = n.key.as_ref();
    let owner = n.event.account.as_deref().or_else(|| key?.account.as_deref());
    let region = n.event.region.as_deref().or_else(|| key?.region.as_deref());
    let partition = key.and_then(|key| partition(key.arn.as_deref()?));
    object([
        ("provider", Some("AWS".into())),
        ("account", owner.and_then(account)),
        ("region", said(region)),
        ("cloud_partition", said(partition)),
    ])
    .unwrap_or_default()
}

/// The key, as the resource it is about.
pub(super) fn resource(key: &KeyRef) -> Option<Value> {
    let uid = key.arn.as_deref().or(key.id.as_deref());
    let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
        list(pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect())
    };
    let labels = key.labels.iter().map(|(name, value)| format!("{name}={value}").into()).collect();
    let data = object([
        ("aliases", list(key.aliases.iter().map(|alias| alias.as_str().into()).collect())),
        ("state", said(key.state.as_deref())),
        ("manager", said(key.manager.as_deref())),
        ("origin", said(key.origin.as_deref())),
        ("multi_region", key.multi_region.map(Value::from)),
    ]);
    uid.or(key.aliases.first().map(String::as_str))?;
    let owner = key.account.as_deref().and_then(account).map(|account| json!({ "account": account }));
    object([
        ("uid", said(uid)),
        ("name", said(Some(key.display_name()))),
        ("type", Some("AWS::KMS::Key".into())),
        ("role_id", Some(3.into())),
        ("role", Some("Affected".into())),
        ("provider", Some("AWS".into())),
        ("region", said(key.region.as_deref())),
        ("cloud_partition", said(key.arn.as_deref().and_then(partition))),
        ("owner", owner),
        ("labels", list(labels)),
        ("tags", pairs(&key.tags)),
        ("data", data),
    ])
}

/// Who did it; nothing where the event names nobody.
pub(super) fn actor(actor: &Actor) -> Option<Value> {
    let principal = actor.principal.as_deref();
    let name = principal.map(|arn| arn.rsplit('/').next().unwrap_or(arn));
    let (type_id, kind) = match actor.kind.as_deref() {
        Some("AWSService") => (4, "Service"),
        Some("Root") => (2, "Admin"),
        Some("IAMUser" | "AssumedRole" | "FederatedUser" | "SAMLUser" | "WebIdentityUser" | "IdentityCenterUser") => {
            (1, "User")
        }
        Some(other) => (99, other),
        None => (0, "Unknown"),
    };
    let user = principal.and_then(|principal| {
        object([
            ("uid", said(Some(principal))),
            ("name", said(name)),
            ("type_id", Some(type_id.into())),
            ("type", Some(kind.into())),
            ("account", actor.account.as_deref().and_then(account)),
            ("has_mfa", actor.mfa.map(Value::from)),
        ])
    });
    let session = object([("uid", said(actor.session.as_deref())), ("is_mfa", actor.mfa.map(Value::from))]);
    let session = session.filter(|_| actor.session.is_some());
    object([("user", user), ("session", session), ("app_name", said(actor.service.as_deref()))])
}

/// Where it came from: an address, or the AWS service that CloudTrail names instead of one.
pub(super) fn source_endpoint(actor: &Actor) -> Option<Value> {
    let from = actor.ip.as_deref()?;
    match from.parse::<IpAddr>() {
        Ok(ip) => object([("ip", Some(ip.to_string().into()))]),
        Err(_) => object([("svc_name", said(Some(from)))]),
    }
}

/// The call itself; nothing where it was none.
pub(super) fn api(event: &EventCard) -> Option<Value> {
    if !is_call(event) {
        return None;
    }
    let service = event.source.strip_prefix("aws.").map(|name| json!({ "name": format!("{name}.amazonaws.com") }));
    let response =
        object([("error", said(event.error_code.as_deref())), ("error_message", said(event.error_message.as_deref()))]);
    object([("operation", said(Some(&event.name))), ("service", service), ("response", response)])
}

/// Whether somebody called an API: other events are named by a phrase, and our own have a source of their own.
pub(super) fn is_call(event: &EventCard) -> bool {
    event.source.starts_with("aws.") && !event.name.is_empty() && !event.name.contains(' ')
}

/// `Success`, `Failure`, with OCSF's number.
pub(super) fn outcome(outcome: Outcome) -> (u8, &'static str) {
    match outcome {
        Outcome::Success => (1, "Success"),
        Outcome::Denied | Outcome::Failed => (2, "Failure"),
    }
}

/// Addresses, principals and keys, for searches across sources.
pub(super) fn observables(n: &Notification) -> Option<Value> {
    let actor = &n.event.actor;
    let one = |name: &str, type_id: u8, kind: &str, value: &str| json!({ "name": name, "type_id": type_id, "type": kind, "value": value });
    let ip = actor.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let arn = n.key.as_ref().and_then(|key| key.arn.as_deref());
    let found = [
        ip.map(|ip| one("src_endpoint.ip", 2, "IP Address", &ip.to_string())),
        actor.principal.as_deref().map(|uid| one("actor.user.uid", 31, "User Object: uid", uid)),
        arn.map(|arn| one("resources.uid", 10, "Resource UID", arn)),
    ];
    list(found.into_iter().flatten().collect())
}

fn account(uid: &str) -> Option<Value> {
    (!uid.is_empty()).then(|| json!({ "uid": uid, "type_id": 10, "type": "AWS Account" }))
}

fn partition(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').next()
}

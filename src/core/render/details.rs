//! The facts of an event that are worth a line on a card.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dates::{event_date, plain};
use super::{TEXT_CHARS_MAX, clean};
use crate::core::event::{Event, Outcome};

/// Facts that only this event has, as label and plain text: "waiting period" → "7 days". At most [`DETAILS_MAX`].
pub fn details(event: &Event) -> BTreeMap<String, String> {
    let Some(detail) = event.document.get("detail") else { return BTreeMap::new() };
    let mut found = super::access::details(event);
    for (label, kind, paths) in TABLE {
        if let Some(text) = paths.iter().filter_map(|path| at(detail, path)).find_map(|value| kind.text(value))
            && found.len() < DETAILS_MAX
        {
            found.insert((*label).to_owned(), text);
        }
    }
    for (label, member) in [("rotation period", "period_days"), ("rotation period before", "period_before")] {
        let days = event.document.get("rotation").and_then(|rotation| rotation.get(member));
        if let Some(text) = days.and_then(|days| Kind::Days.text(days)) {
            found.entry(label.to_owned()).or_insert(text);
        }
    }
    if event.name == "ScheduleKeyDeletion" && event.outcome == Outcome::Success {
        // A request without the number means 30 days; a primary key waits for its replicas first.
        found.entry("waiting period".to_owned()).or_insert_with(|| "30 days (the default)".to_owned());
        if detail.pointer("/responseElements/keyState").and_then(Value::as_str) == Some("PendingReplicaDeletion") {
            found.insert(
                "waits for".to_owned(),
                "its replica keys; the waiting period begins when they are gone".to_owned(),
            );
        }
        if let Some(date) = found.get_mut("deletion date") {
            date.push_str(" or up to 24 hours later");
        }
    }
    found
}

/// What stands at a path of plain names. A JSON pointer proper unescapes each name, which for the whole table costs more than
/// everything else on the card.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').skip(1).try_fold(value, |value, name| value.get(name))
}

/// Lines on one card.
const DETAILS_MAX: usize = 20;
/// Elements of a list, members of an object.
const PARTS_MAX: usize = 12;

/// How a value is written.
enum Kind {
    Text,
    Days,
    Date,
    /// `["Decrypt", "Sign"]`, or an object as `name=value`.
    List,
    /// `[{tagKey, tagValue}]`.
    Tags,
    /// Shown only when it is `true`; then with these words.
    IfTrue(&'static str),
}

/// Label, kind, and where it stands in `detail`: the first path with a value counts.
const TABLE: &[(&str, Kind, &[&str])] = &[
    (
        "waiting period",
        Kind::Days,
        &["/responseElements/pendingWindowInDays", "/requestParameters/pendingWindowInDays"],
    ),
    ("deletion date", Kind::Date, &["/responseElements/deletionDate"]),
    ("rotation", Kind::Text, &["/serviceEventDetails/rotationType", "/rotation-type"]),
    ("rotation period", Kind::Days, &["/requestParameters/rotationPeriodInDays"]),
    (
        "key material",
        Kind::Text,
        &[
            "/serviceEventDetails/currentKeyMaterialId",
            "/serviceEventDetails/keyMaterialId",
            "/responseElements/keyMaterialId",
            "/requestParameters/keyMaterialId",
            "/current-key-material-id",
            "/key-material-id",
        ],
    ),
    ("previous key material", Kind::Text, &["/serviceEventDetails/previousKeyMaterialId", "/previous-key-material-id"]),
    ("material valid to", Kind::Date, &["/requestParameters/validTo", "/responseElements/validTo"]),
    ("material expiration", Kind::Text, &["/requestParameters/expirationModel"]),
    ("import type", Kind::Text, &["/requestParameters/importType"]),
    ("origin", Kind::Text, &["/requestParameters/origin"]),
    ("grantee", Kind::Text, &["/requestParameters/granteePrincipal", "/requestParameters/granteeServicePrincipal"]),
    ("granted operations", Kind::List, &["/requestParameters/operations"]),
    (
        "retiring principal",
        Kind::Text,
        &["/requestParameters/retiringPrincipal", "/requestParameters/retiringServicePrincipal"],
    ),
    ("grant", Kind::Text, &["/responseElements/grantId", "/requestParameters/grantId", "/additionalEventData/grantId"]),
    ("alias", Kind::Text, &["/requestParameters/aliasName"]),
    ("policy lockout check", Kind::IfTrue("bypassed"), &["/requestParameters/bypassPolicyLockoutSafetyCheck"]),
    ("replica Region", Kind::Text, &["/requestParameters/replicaRegion"]),
    ("new primary Region", Kind::Text, &["/requestParameters/primaryRegion"]),
    (
        "custom key store",
        Kind::Text,
        &[
            "/additionalEventData/customKeyStoreName",
            "/requestParameters/customKeyStoreName",
            "/requestParameters/customKeyStoreId",
        ],
    ),
    ("encryption context", Kind::List, &["/requestParameters/encryptionContext"]),
    ("tags", Kind::Tags, &["/requestParameters/tags"]),
    ("removed tags", Kind::List, &["/requestParameters/tagKeys"]),
    ("description", Kind::Text, &["/requestParameters/description"]),
    ("backing keys", Kind::Text, &["/additionalEventData/backingKeysDeletionStatus"]),
    ("cause", Kind::Text, &["/cause"]),
    ("trail", Kind::Text, &["/requestParameters/trailName"]),
];

impl Kind {
    fn text(&self, value: &Value) -> Option<String> {
        let text = match (self, value) {
            (Self::IfTrue(words), Value::Bool(true)) => (*words).to_owned(),
            (Self::IfTrue(words), Value::String(s)) if s.eq_ignore_ascii_case("true") => (*words).to_owned(),
            (Self::IfTrue(_), _) => return None,
            (Self::Days, Value::Number(n)) if n.as_i64() == Some(1) => "1 day".to_owned(),
            (Self::Days, Value::Number(n)) => format!("{n} days"),
            (Self::Date, Value::String(s)) => event_date(s).map_or_else(|| s.clone(), plain),
            (Self::List, Value::Array(items)) => join(items.iter().filter_map(scalar), items.len()),
            (Self::List, Value::Object(members)) => {
                join(members.iter().filter_map(|(name, v)| Some(format!("{name}={}", scalar(v)?))), members.len())
            }
            (Self::Tags, Value::Array(items)) => {
                let pair = |tag: &Value| {
                    Some(format!(
                        "{}={}",
                        scalar(tag.get("tagKey")?)?,
                        tag.get("tagValue").and_then(scalar).unwrap_or_default()
                    ))
                };
                join(items.iter().filter_map(pair), items.len())
            }
            _ => scalar(value)?,
        };
        Some(clean(&text, TEXT_CHARS_MAX)).filter(|text| !text.is_empty())
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(clean(s, TEXT_CHARS_MAX)),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn join(parts: impl Iterator<Item = String>, all: usize) -> String {
    let mut text = parts.take(PARTS_MAX).collect::<Vec<_>>().join(", ");
    if all > PARTS_MAX {
        text.push_str(", …");
    }
    text
}

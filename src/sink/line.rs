//! Our own documented JSON: what webhooks, files, Splunk and standard output carry unless told otherwise.
//!
//! ```json
//! {"type": "kmswatch.trigger", "timestamp": "2026-11-23T09:14:45Z", "data": {"id": …, "delivery": …, "kind": "trigger",
//!  "reason": "opened", "incident": {…}, "event": {…}, "key": {…}, "summary": …, "links": […], …}}
//! ```
//!
//! `data` is the notification, whose members keep their names; members may be added. `data.delivery` is the same on
//! every attempt, so a receiver that has seen it may drop the second one.

use serde_json::{Map, Value, json};

use super::Dispatch;
use super::text::shrink;

/// The object for one notification.
pub(super) fn object(d: &Dispatch<'_>) -> Value {
    json!({ "type": kind(d), "timestamp": d.notification.at, "data": data(d) })
}

/// `kmswatch.trigger`, `kmswatch.update`, `kmswatch.resolve` or `kmswatch.notice`.
pub(super) fn kind(d: &Dispatch<'_>) -> String {
    format!("kmswatch.{}", d.notification.kind.as_str())
}

/// The notification, every text in it at most 16 000 characters.
pub(super) fn data(d: &Dispatch<'_>) -> Value {
    let mut data = serde_json::to_value(d.notification).unwrap_or_else(|_| Value::Object(Map::new()));
    if let Some(members) = data.as_object_mut() {
        members.insert("delivery".to_owned(), d.idempotency_key.into());
    }
    shrink(&mut data, 16_000, 200);
    data
}

//! The JSON documents that lines, Splunk's events and webhooks can carry.

use serde::Deserialize;
use serde_json::{Value, json};

use super::text::fit;
use super::{Dispatch, line, ocsf};

/// What one notification is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// Our own documented JSON: `type`, `timestamp`, `data`.
    #[default]
    Kmswatch,
    /// A `CloudEvents` 1.0 event.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// An OCSF Detection Finding: the incident.
    Ocsf,
    /// An OCSF API Activity: the call behind the notification. What is no call goes out as a Detection Finding.
    OcsfActivity,
}

impl BodyFormat {
    pub(super) fn document(self, d: &Dispatch<'_>) -> Value {
        match self {
            Self::Kmswatch => line::object(d),
            Self::CloudEvents => cloud_event(d),
            Self::Ocsf => ocsf::finding(d),
            Self::OcsfActivity => ocsf::activity(d),
        }
    }

    /// One line, with its line break. JSON escapes line breaks inside values.
    pub(super) fn line(self, d: &Dispatch<'_>) -> String {
        let mut line = self.document(d).to_string();
        line.push('\n');
        line
    }
}

/// `CloudEvents` 1.0, JSON format: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
fn cloud_event(d: &Dispatch<'_>) -> Value {
    let n = d.notification;
    let mut event = json!({
        "specversion": "1.0",
        "id": d.idempotency_key,
        "source": "/kmswatch",
        "type": line::kind(d),
        "time": n.at,
        "datacontenttype": "application/json",
        "data": line::data(d),
    });
    let subject = n.key.as_ref().and_then(|key| key.arn.as_deref()).unwrap_or(&n.incident.id);
    if let Some(members) = event.as_object_mut() {
        members.insert("subject".to_owned(), fit(subject, 1_000).into());
    }
    event
}

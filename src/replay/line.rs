//! What a replay says, one JSON object a line.

use jiff::Timestamp;
use serde::Serialize;

use crate::core::event::Outcome;
use crate::core::incident::Fingerprint;
use crate::core::notification::{Kind, Reason};
use crate::core::rule::Severity;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    Alert(AlertLine),
    Notification(NotificationLine),
    /// Only where rules are compared.
    Change(ChangeLine),
    /// The last line.
    Summary(SummaryLine),
}

/// One rule matched one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertLine {
    pub rule: String,
    pub severity: Severity,
    /// CloudTrail's `eventID`, or what identifies the event where it has none.
    pub event_id: String,
    pub event_time: Timestamp,
    pub event_name: String,
    pub outcome: Outcome,
    pub key_arn: Option<String>,
    pub actor: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    pub fingerprint: Fingerprint,
    /// The rule is in force but tells nobody.
    pub shadow: bool,
    #[serde(skip)]
    pub incident: String,
}

/// One sink would have been told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotificationLine {
    pub reason: Reason,
    pub sink: String,
    /// The incident's id.
    pub incident: String,
    pub severity: Severity,
    pub summary: String,
    pub at: Timestamp,
    #[serde(skip)]
    pub what: Kind,
    /// It opens an incident, or asks for people again.
    #[serde(skip)]
    pub page: bool,
}

/// How an alert differs under the other rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeLine {
    pub change: Change,
    /// As the other rules say it; of a lost alert, as these rules say it.
    #[serde(flatten)]
    pub alert: AlertLine,
    /// What was otherwise before: the severity or the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Gained,
    Lost,
    Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Was {
    pub severity: Severity,
    pub fingerprint: Fingerprint,
    pub shadow: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryLine {
    /// Files read.
    pub files: u64,
    pub events: u64,
    pub alerts: u64,
    /// Incidents opened.
    pub incidents: u64,
    /// Parts of files that are no event and should be one.
    pub undecodable: u64,
    pub seconds: f64,
}

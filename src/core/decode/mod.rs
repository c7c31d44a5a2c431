//! From a message's body to events. Never panics; time and memory are linear in the body.
//!
//! [`wrapper`] takes wrappers off until envelopes are left, [`envelope`] makes an event of each: [`cloudtrail`] and
//! [`native`] know the event families, [`actor`], [`key`] and [`denial`] read who, which key and how it ended. Members
//! of the wrong type are missing members; of duplicate members the last counts, as everywhere in JSON's practice.

mod actor;
pub mod arn;
mod cloudtrail;
mod denial;
mod envelope;
mod key;
mod native;
mod peek;
mod read;
mod repair;
mod salvage;
mod scan;
mod wrapper;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::event::Event;

pub(crate) use denial::is_denial;
pub use scan::{Glance, Scan, scan};

/// What came out of one body. A message may be deleted only if `rejected` is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    pub events: Vec<Event>,
    /// Parts that could not be decoded (a whole body, or single entries of a `Records` array).
    pub rejected: Vec<Undecodable>,
    /// Well-formed things that are not events and need no answer but a line in the log
    /// (an SNS subscription confirmation, whose URL is never fetched).
    pub notices: Vec<String>,
}

/// Why something is no event, with what could be saved of it for the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecodable {
    pub reason: Reason,
    /// What is wrong and where, in words; bounded, and free of the body's own text beyond short names.
    pub detail: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    pub salvage: Salvage,
}

/// Low-cardinality class, used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NotJson,
    TooLarge,
    TooDeep,
    UnknownShape,
    S3Notification,
    /// S3's test message for new bucket notifications.
    S3TestEvent,
    /// A notice that CloudTrail wrote a log file.
    CloudTrailDelivery,
    CloudTrailDigest,
    /// A CloudWatch Logs subscription.
    CloudWatchLogs,
    CloudWatchAlarm,
    /// OCSF, as Security Lake writes it.
    SecurityLake,
    /// A native KMS event's `detail` alone, which does not say what happened.
    BareNative,
    NoTime,
    /// An envelope with a broken part.
    BadEnvelope,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::UnknownShape => "unknown_shape",
            Self::S3Notification => "s3_notification",
            Self::S3TestEvent => "s3_test_event",
            Self::CloudTrailDelivery => "cloud_trail_delivery",
            Self::CloudTrailDigest => "cloud_trail_digest",
            Self::CloudWatchLogs => "cloud_watch_logs",
            Self::CloudWatchAlarm => "cloud_watch_alarm",
            Self::SecurityLake => "security_lake",
            Self::BareNative => "bare_native",
            Self::NoTime => "no_time",
            Self::BadEnvelope => "bad_envelope",
        }
    }
}

/// What could be read out of an undecodable body by plain searching; for people only, never matched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvage {
    pub event_name: Option<String>,
    pub key_arn: Option<String>,
    pub account: Option<String>,
}

/// The few members a rule's index asks for, read without building the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    pub source: std::borrow::Cow<'a, str>,
    pub detail_type: std::borrow::Cow<'a, str>,
    /// `detail.eventName`; `None` where the detail has none.
    pub event_name: Option<std::borrow::Cow<'a, str>>,
    /// `detail.errorCode`; `None` means that the call succeeded.
    pub error_code: Option<std::borrow::Cow<'a, str>>,
}

/// Longest body SQS delivers (1 MiB since 2025, SQS quotas).
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Decodes one message's body, whatever wrapper it has.
pub fn decode(body: &str) -> Decoded {
    if body.len() > BODY_BYTES_MAX {
        return Decoded {
            rejected: vec![Undecodable {
                reason: Reason::TooLarge,
                detail: format!("body of {} bytes, more than SQS delivers", body.len()),
                hint: None,
                salvage: salvage::salvage(body),
            }],
            ..Decoded::default()
        };
    }
    wrapper::decode(body)
}

/// Decodes a recorded file, such as CloudTrail's `{"Records": […]}`, which may be larger than any message.
pub fn decode_file(text: &str) -> Decoded {
    wrapper::decode(text)
}

/// Reads the index members of a plain EventBridge envelope; `None` for every other shape, which then
/// takes the full [`decode`]. Whenever it is `Some`, the full decode gives exactly one event with the same values.
pub fn peek(body: &str) -> Option<Peek<'_>> {
    peek::peek(body)
}

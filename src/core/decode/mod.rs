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
pub(super) mod read;
mod repair;
mod salvage;
mod scan;
mod wrapper;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Event;
use super::peek::{Paths, Peek};

pub(crate) use denial::{denied_by, is_denial};
pub use envelope::DERIVED;
pub use peek::PEEKED;
pub use scan::{Brief, Glance, Scan, scan};

/// When the key material that an event imports expires, as the event itself says it.
pub fn valid_to(document: &Value) -> Option<Timestamp> {
    let detail = document.get("detail")?.as_object()?;
    let nothing = read::Object::new();
    let part = |name| read::object(detail, name).unwrap_or(&nothing);
    key::valid_to(part("requestParameters"), part("responseElements"))
}

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

/// A [`peek`] at what every envelope is known by and at the kind of its caller, which together settle most questions.
pub fn brief(body: &str) -> Option<Peek<'_>> {
    peek::envelope(body)
}

/// Reads of a plain EventBridge envelope what stands at `paths`, among which [`PEEKED`] must be; `None` for every other
/// shape, which then takes the full [`decode`]. Whenever it is `Some`, the full decode gives exactly one event, whose
/// document has the same values there, but for what the peek calls unknown.
pub fn peek<'b>(body: &'b str, paths: &'b Paths) -> Option<Peek<'b>> {
    peek::peek(body, paths)
}

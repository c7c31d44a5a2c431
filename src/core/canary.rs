//! Canaries: harmless KMS calls of our own that must come back as events, through `CloudTrail`, `EventBridge` and a queue.
//!
//! [`judge`] says what the calls made so far mean now, [`expected`] whether an event is one of them, and [`Hints`] which bodies
//! are worth that question.

mod hints;
mod judge;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, Outcome};

pub use hints::Hints;
pub use judge::{Blind, Ears, Verdict, Why, judge};

/// Calls of one canary that are remembered, so that their events are known for what they are: the newest.
pub const CALLS_KEPT: usize = 1000;

/// The tag that a canary writes.
pub const TAG: &str = "kmswatch-canary";

/// A call that failed is made again this soon.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// How far the time of an event may be from the call whose answer never came: the call's time limit, and what clocks differ by.
const TAKES_MAX: SignedDuration = SignedDuration::from_secs(30);

/// A key that is called now and then, and where that has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    pub name: String,
    /// The queue through which it has to come back.
    pub queue: String,
    /// The key's ARN.
    pub key: String,
    pub account: String,
    pub region: String,
    pub call: CallKind,
    pub every: SignedDuration,
    /// How long the way back may take.
    pub slo: SignedDuration,
    /// The role that makes the call, where the configuration names one.
    pub role: Option<String>,
}

/// What a canary does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallKind {
    /// `DescribeKey`: changes nothing, and is delivered only where the `EventBridge` rule delivers successful reads.
    Describe,
    /// `TagResource`: writes one tag, `kmswatch-canary`.
    Tag,
}

impl CallKind {
    /// `eventName` of its events.
    pub fn event_name(self) -> &'static str {
        match self {
            Self::Describe => "DescribeKey",
            Self::Tag => "TagResource",
        }
    }
}

/// One call, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The canary's name and the time; also the value of the tag it writes.
    pub id: String,
    pub canary: String,
    /// When it was about to be made.
    pub at: Timestamp,
    /// AWS's request id; `None` until the answer, and for ever if it never came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<String>,
    /// The ARN of who made it, where that was known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<String>,
    /// When its event was put into the queue.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub returned: Option<Timestamp>,
}

/// How KMS answered a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// AWS's request id; refused calls have one too.
    pub request: Option<String>,
    /// The ARN of who made it, where that is known.
    pub by: Option<String>,
    /// Why it failed, in words.
    pub failed: Option<String>,
}

impl Call {
    /// A call that is about to be made.
    pub fn new(canary: &Canary, now: Timestamp) -> Self {
        Self {
            id: format!("{}-{}", canary.name, now.as_millisecond()),
            canary: canary.name.clone(),
            at: now,
            request: None,
            by: None,
            failed: None,
            returned: None,
        }
    }

    /// How long its way back took.
    pub fn took(&self) -> Option<SignedDuration> {
        // The queue's clock may be behind ours.
        self.returned.map(|returned| returned.duration_since(self.at).max(SignedDuration::ZERO))
    }

    fn in_time(&self, canary: &Canary) -> bool {
        self.took().is_some_and(|took| took <= canary.slo)
    }
}

/// When the next call is due, given the calls made so far, oldest first.
pub fn due(canary: &Canary, calls: &[Call], now: Timestamp) -> Timestamp {
    // A clock that was set back must not stop the canary.
    let Some(last) = calls.last().filter(|last| last.at <= now) else { return now };
    let pause = if last.failed.is_some() { canary.every.min(AGAIN_AFTER) } else { canary.every };
    last.at.checked_add(pause).unwrap_or(now)
}

/// The call that an event is the trace of. Only what was called is expected: by its request id, on its key, by its name, and by
/// our own role where that is known.
pub fn expected<'c>(canary: &Canary, calls: &'c [Call], event: &Event) -> Option<&'c Call> {
    if event.source != "aws.kms" || event.name != canary.call.event_name() {
        return None;
    }
    let arn = event.key.as_ref().and_then(|key| key.arn.as_deref());
    // A call that was refused may name no key.
    if arn != Some(canary.key.as_str()) && (arn.is_some() || event.outcome == Outcome::Success) {
        return None;
    }
    let request = event.document.pointer("/detail/requestID").and_then(Value::as_str)?;
    let named = calls.iter().rev().find(|call| call.request.as_deref() == Some(request));
    let found =
        named.or_else(|| calls.iter().rev().find(|call| call.request.is_none() && is_trace(canary, call, event)));
    found.filter(|call| is_ours(canary, call, event))
}

/// Whether the caller is who made the call, as far as that is known.
fn is_ours(canary: &Canary, call: &Call, event: &Event) -> bool {
    let Some(own) = call.by.as_deref().or(canary.role.as_deref()) else { return true };
    event.actor.principal.as_deref().is_some_and(|principal| identity(principal) == identity(own))
}

/// Account and name behind an ARN. Of a role the path is lost in some events, and of a session it is the role that counts.
fn identity(arn: &str) -> (Option<&str>, Option<&str>) {
    let account = arn.split(':').nth(4);
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let name = match resource.strip_prefix("assumed-role/") {
        Some(rest) => rest.split('/').next(),
        None => resource.rsplit('/').next(),
    };
    (account, name)
}

/// Whether an event is the trace of a call whose answer we have not seen, be it under way or cut off: a tag says so by its
/// value, a read only by its time, and once.
fn is_trace(canary: &Canary, call: &Call, event: &Event) -> bool {
    match canary.call {
        CallKind::Tag => {
            let tags = event.document.pointer("/detail/requestParameters/tags").and_then(Value::as_array);
            let is = |tag: &Value, member: &str, text: &str| tag.get(member).and_then(Value::as_str) == Some(text);
            tags.is_some_and(|tags| {
                tags.iter().any(|tag| is(tag, "tagKey", TAG) && is(tag, "tagValue", call.id.as_str()))
            })
        }
        CallKind::Describe => call.returned.is_none() && event.time.duration_since(call.at).abs() <= TAKES_MAX,
    }
}

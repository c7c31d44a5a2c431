//! How often a key's material is to rotate: the period that an event sets, or that KMS says, beside the one known before.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::{History, Lesson, Taught};
use super::dated::{self, Dated};
use super::event::{Event, EventId, Family, Outcome};

/// The call that sets the period. One that switches rotation off leaves it: nothing says that KMS forgets it.
pub const SETS: &str = "EnableKeyRotation";

/// Where nobody names a period (KMS API reference, `EnableKeyRotation`).
pub const DEFAULT_DAYS: u32 = 365;

/// A key's rotation period as one event told it, or KMS when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub at: Timestamp,
    pub event: EventId,
    pub days: u32,
}

impl Dated for Period {
    /// More than the polls of a queue bring at a time, unless there are many more of them than usual.
    const KEPT: usize = 64;

    fn at(&self) -> Timestamp {
        self.at
    }

    fn by(&self) -> &EventId {
        &self.event
    }
}

/// `rotation` of the document. Absent members are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// Days between automatic rotations, from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_days: Option<u32>,
    /// The period known before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_before: Option<u32>,
    /// Whether it is longer than the one known before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengthened: Option<bool>,
}

/// The period that an event puts in force, or that KMS says is.
pub fn period_days(event: &Event) -> Option<u32> {
    if event.outcome != Outcome::Success {
        return None;
    }
    if event.family == Family::Observation {
        return observed(event);
    }
    if event.source != "aws.kms" || event.name != SETS {
        return None;
    }
    // A request that is missing altogether may have been too long to log.
    let request = event.document.pointer("/detail/requestParameters")?.as_object()?;
    match request.get("rotationPeriodInDays").filter(|value| !value.is_null()) {
        // KMS documents this default without an exception for keys that had another period before.
        None => Some(DEFAULT_DAYS),
        Some(value) => days(value),
    }
}

/// Of a key that does not rotate, KMS's word on the period says nothing. A replica has the period of its primary key, and there it is
/// told of.
fn observed(event: &Event) -> Option<u32> {
    let rotation = event.document.pointer("/detail/rotation")?;
    let rotates = rotation.get("enabled").and_then(Value::as_bool) == Some(true);
    let replica = event.document.pointer("/detail/replica").and_then(Value::as_bool) == Some(true);
    rotation.get("period_days").filter(|_| rotates && !replica).and_then(days)
}

fn days(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| *days > 0)
}

/// What an event teaches of the period of its key.
pub fn lesson(event: &Event) -> Option<Lesson> {
    if event.family == Family::Observation {
        return None;
    }
    taught(event, event.id.clone())
}

/// What KMS's own answer teaches of it, beside what is known; `None` where nothing is new.
pub fn reading(event: &Event, known: Option<&History>) -> Option<Lesson> {
    if event.family != Family::Observation {
        return None;
    }
    let lesson = taught(event, dated::reading(event.key.as_ref()?.arn.as_deref()?))?;
    let newest = known.and_then(|known| known.periods.first());
    let nothing_new = |newest: &Period| {
        newest.at >= event.time || matches!(&lesson.taught, Taught::Period(period) if period.days == newest.days)
    };
    if known.is_some_and(|known| dated::may_be_stale(&known.periods, event.time)) {
        return None;
    }
    (!newest.is_some_and(nothing_new)).then_some(lesson)
}

fn taught(event: &Event, by: EventId) -> Option<Lesson> {
    let period = Period { at: event.time, event: by, days: period_days(event)? };
    Some(Lesson { arn: event.key.as_ref()?.arn.clone()?, taught: Taught::Period(period) })
}

/// Adds `rotation` to an event that says something of a period; `known` is what was known before of its key.
pub fn assess(event: &mut Event, known: Option<&History>) {
    let Some(period) = period_days(event) else { return };
    let stale =
        |known: &&History| event.family == Family::Observation && dated::may_be_stale(&known.periods, event.time);
    let known = known.filter(|known| !stale(known));
    let before = known.and_then(|known| dated::before(&known.periods, event)).map(|before| before.days);
    let rotation =
        Rotation { period_days: Some(period), period_before: before, lengthened: before.map(|before| period > before) };
    event.put("rotation", Some(&rotation));
}

//! What was seen of keys before, their policies and rotation periods: what a new one is compared with.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::dated::{self, Dated};
use crate::core::event::{Event, EventId, Outcome};
use crate::core::peek::Peek;
use crate::core::rotation::{self, Period};

/// A key's policy as one event told it, or KMS when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub at: Timestamp,
    pub event: EventId,
    /// The policy's text; `None` where it was too long to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Dated for Version {
    /// Few: each may be 32 KiB. A policy that finds none before it is told by what it grants altogether.
    const KEPT: usize = 3;

    fn at(&self) -> Timestamp {
        self.at
    }

    fn by(&self) -> &EventId {
        &self.event
    }
}

/// The newest versions of one key's policy and its newest rotation periods, newest first. The same lessons in any order, any number
/// of times, make the same history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub versions: Vec<Version>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Period>,
}

/// What an event, or KMS when it was asked, put on record of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// The key it is of.
    pub arn: String,
    pub taught: Taught,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taught {
    Policy(Version),
    Period(Period),
}

/// KMS takes 32 KB; whatever is longer is none of its policies.
const TEXT_BYTES_KEPT: usize = 32 * 1024;

/// The calls that put a policy in force.
const TEACHERS: &[&str] = &["CreateKey", "PutKeyPolicy", "ReplicateKey"];

impl History {
    /// Adds what was taught; says whether anything is new.
    pub fn learn(&mut self, taught: &Taught) -> bool {
        match taught {
            Taught::Policy(version) => dated::learn(&mut self.versions, version),
            Taught::Period(period) => dated::learn(&mut self.periods, period),
        }
    }

    /// The policy that was in force before an event.
    pub fn before(&self, event: &Event) -> Option<&str> {
        dated::before(&self.versions, event)?.text.as_deref()
    }

    /// What KMS's own answer teaches of the policy of a key; `None` where nothing is new.
    pub fn reading(&self, arn: &str, read_at: Timestamp, text: &str) -> Option<Lesson> {
        let newest = self.versions.first();
        let same = |known: &Version| {
            let known = known.text.as_deref().unwrap_or_default();
            let json = |text: &str| serde_json::from_str::<Value>(text).ok();
            known == text || json(known).is_some_and(|known| json(text) == Some(known))
        };
        if text.len() > TEXT_BYTES_KEPT || newest.is_some_and(|known| known.at >= read_at || same(known)) {
            return None;
        }
        let version = Version { at: read_at, event: dated::reading(arn), text: Some(text.to_owned()) };
        Some(Lesson { arn: arn.to_owned(), taught: Taught::Policy(version) })
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let versions = self.versions.iter().map(|v| 100 + v.event.0.len() + v.text.as_ref().map_or(0, String::len));
        versions.chain(self.periods.iter().map(|p| 60 + p.event.0.len())).sum()
    }
}

/// Whether an event that peeks so may put a policy or a rotation period in force.
pub fn teaches(peek: &Peek<'_>) -> bool {
    peek.text(&["detail", "errorCode"]).is_none()
        && peek.text(&["source"]) == Some("aws.kms")
        && peek.text(&["detail", "eventName"]).is_some_and(|name| TEACHERS.contains(&name) || name == rotation::SETS)
}

/// What an event teaches about a key's policy or its rotation period; only a call that succeeded does.
pub fn lesson(event: &Event) -> Option<Lesson> {
    rotation::lesson(event).or_else(|| policy_lesson(event))
}

fn policy_lesson(event: &Event) -> Option<Lesson> {
    if event.outcome != Outcome::Success {
        return None;
    }
    let (arn, policy) = carried(event)?;
    let text = match policy? {
        Carried::Default(account) => Some(default_policy(&arn, account)),
        Carried::Policy(Value::String(text)) => Some(text.clone()),
        Carried::Policy(other) => Some(other.to_string()),
    };
    let text = text.filter(|text| text.len() <= TEXT_BYTES_KEPT);
    let version = Version { at: event.time, event: event.id.clone(), text };
    Some(Lesson { arn, taught: Taught::Policy(version) })
}

pub(super) enum Carried<'e> {
    Policy(&'e Value),
    /// None was given, so the key has the default one of this account.
    Default(&'e str),
}

/// The key whose policy an event carries, and that policy.
fn carried(event: &Event) -> Option<(String, Option<Carried<'_>>)> {
    let arn = subject(event)?;
    if let Some(policy) = policy(event) {
        return Some((arn, Some(Carried::Policy(policy))));
    }
    // A request that is missing altogether may have been too long to log.
    let request = event.document.pointer("/detail/requestParameters")?.as_object()?;
    let managed_by_us = event.key.as_ref().is_some_and(|key| key.manager.as_deref() == Some("CUSTOMER"));
    let default = event.name == "CreateKey" && managed_by_us && request.get("policy").is_none_or(Value::is_null);
    Some((arn, default.then(|| event.key.as_ref()?.account.as_deref().map(Carried::Default)).flatten()))
}

/// The ARN of the key whose policy an event carries: the replica's, where one is made.
pub(super) fn subject(event: &Event) -> Option<String> {
    if event.source != "aws.kms" || !TEACHERS.contains(&event.name.as_str()) {
        return None;
    }
    if event.name == "ReplicateKey" {
        let replica = event.document.pointer("/detail/responseElements/replicaKeyMetadata/arn");
        return replica.and_then(Value::as_str).map(str::to_owned);
    }
    event.key.as_ref()?.arn.clone()
}

/// The policy in an event, whatever came of the call. KMS has one policy a key, named `default`.
pub(super) fn policy(event: &Event) -> Option<&Value> {
    if event.source != "aws.kms" || !TEACHERS.contains(&event.name.as_str()) {
        return None;
    }
    let at = |path: &str| event.document.pointer(path).filter(|value| !value.is_null());
    let answer = if event.name == "ReplicateKey" { at("/detail/responseElements/replicaPolicy") } else { None };
    answer.or_else(|| at("/detail/requestParameters/policy"))
}

/// KMS developer guide, "Default key policy" of a key that a program makes.
fn default_policy(arn: &str, account: &str) -> String {
    let partition = arn.split(':').nth(1).unwrap_or("aws");
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:{partition}:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

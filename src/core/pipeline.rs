//! The way on which events come to us, and what an event does to it.
//!
//! [`Ours`] says which queues and EventBridge rules are ours; [`assess`] puts what a call does to them into its event's document, as
//! `pipeline`, and what it does to a trail, as `trail`.

mod ours;
mod target;
#[cfg(test)]
mod tests;
mod trail;

use serde::Serialize;
use serde_json::{Map, Value};

use super::decode::arn::{is_account, is_region, partition_of};
use super::decode::read::text;
use super::event::Event;

pub use ours::{OurQueue, Ours};
pub use trail::Trail;

/// What a call of SQS or `EventBridge` is about: `pipeline` in the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// Whether events come to us on the queue or the rule that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<bool>,
    /// The queue's ARN, however the call wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The `EventBridge` rule's name, behind its bus and a slash unless that is the default one: as in the rule's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether the targets put by `PutTargets` include a queue of ours that is handed the events as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaches_us: Option<bool>,
}

/// A queue, by what its ARN and its URL both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'e> {
    region: &'e str,
    account: &'e str,
    name: &'e str,
}

/// Calls of EventBridge that change a rule, and the member of the request that names it.
const RULE_CALLS: &[(&str, &str)] = &[
    ("DeleteRule", "name"),
    ("DisableRule", "name"),
    ("EnableRule", "name"),
    ("PutRule", "name"),
    ("PutTargets", "rule"),
    ("RemoveTargets", "rule"),
];

/// Adds to the event what it does to the way on which events come to us. Needs no look-up.
pub fn assess(event: &mut Event, ours: &Ours) {
    let Some(request) = event.document.pointer("/detail/requestParameters").and_then(Value::as_object) else { return };
    let said = match event.source.as_str() {
        "aws.sqs" => of_queue(event, request, ours),
        "aws.events" => of_rule(event, request, ours),
        _ => None,
    };
    let trail = if event.source == "aws.cloudtrail" { trail::trail(event, request) } else { None };
    event.put("pipeline", said.as_ref());
    event.put("trail", trail.as_ref());
}

fn of_queue(event: &Event, request: &Map<String, Value>, ours: &Ours) -> Option<Pipeline> {
    let place = Place::of_url(text(request, "queueUrl")?, event)?;
    let is_ours = ours.reads(place, event) || ours.names(place.name);
    Some(Pipeline { ours: Some(is_ours), queue: Some(place.arn()), ..Pipeline::default() })
}

fn of_rule(event: &Event, request: &Map<String, Value>, ours: &Ours) -> Option<Pipeline> {
    let (_, member) = RULE_CALLS.iter().find(|(call, _)| *call == event.name)?;
    let name = text(request, member)?;
    let rule = match bus(event, request) {
        "default" => name.to_owned(),
        bus => format!("{bus}/{name}"),
    };
    let is_ours = ours.has_rule(&rule) || ours.names(name);
    let reaches_us = (event.name == "PutTargets").then(|| target::reaches_us(event, request, ours)).flatten();
    Some(Pipeline { ours: Some(is_ours), queue: None, rule: Some(rule), reaches_us })
}

/// The event bus that a call names: by its name, by its ARN, or not at all where it is the default one.
fn bus<'e>(event: &Event, request: &'e Map<String, Value>) -> &'e str {
    let Some(said) = text(request, "eventBusName") else { return "default" };
    let parts: Vec<&str> = said.splitn(6, ':').collect();
    let home = (event.region.as_deref(), event.account.as_deref());
    match parts.as_slice() {
        ["arn", _, "events", region, account, bus] if (Some(*region), Some(*account)) == home => {
            bus.strip_prefix("event-bus/").unwrap_or(said)
        }
        _ => said,
    }
}

impl<'e> Place<'e> {
    /// A queue lies in the Region in which it was called; only its URL says whose it is.
    fn of_url(url: &'e str, event: &'e Event) -> Option<Self> {
        let mut parts = url.trim_end_matches('/').rsplit('/');
        let name = parts.next()?;
        let account = parts.next().filter(|account| is_account(account)).or(event.account.as_deref())?;
        Self { region: event.region.as_deref()?, account, name }.checked()
    }

    fn of_arn(arn: &'e str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", _, "sqs", region, account, name] = *parts.as_slice() else { return None };
        Self { region, account, name }.checked()
    }

    /// SQS's grammar: 80 letters, digits, `-` and `_`, and the dot of `.fifo`.
    fn checked(self) -> Option<Self> {
        let stem = self.name.strip_suffix(".fifo").unwrap_or(self.name);
        let named = (1..=80).contains(&self.name.len())
            && !stem.is_empty()
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (named && is_region(self.region) && is_account(self.account)).then_some(self)
    }

    fn arn(self) -> String {
        let Self { region, account, name } = self;
        format!("arn:{}:sqs:{region}:{account}:{name}", partition_of(region))
    }
}

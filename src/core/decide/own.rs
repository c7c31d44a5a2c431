//! kmswatch about itself: a deaf, blind or full daemon is an incident like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::evaluate::{Candidate, Clear, fingerprint};
use super::{Evaluation, notify};
use crate::core::event::{Actor, EventId, Outcome};
use crate::core::incident::Fingerprint;
use crate::core::notification::{EventCard, Kind, Notification, Reason};
use crate::core::pattern::{Node, Pattern};
use crate::core::rule::{Rule, Severity};

/// Families of our own incidents start like this; rules of the configuration may not.
pub(super) const PREFIX: &str = "kmswatch.";

/// What can be wrong with kmswatch itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OwnSubject {
    /// Receiving from a queue has failed for a while.
    Deaf { queue: String },
    /// A canary's calls do not come back as events.
    Blind { canary: String },
    /// Messages that cannot be decoded.
    Undecodable { queue: String },
    /// The queue's DLQ holds messages.
    DeadLetters { queue: String },
    /// Messages are old when they are received.
    Behind { queue: String },
    /// So many messages are in flight that the queue may stop handing them out.
    InFlight { queue: String },
    /// The key that encrypts the queue is in danger.
    QueueKey { queue: String },
    /// A sink has been failing for a while.
    SinkFailing { sink: String },
    /// The store cannot commit.
    StoreFailing,
    /// Rows of the store do not read back.
    StateDamaged,
    /// A changed configuration does not load; the old one stays in force.
    ConfigRejected,
    /// The archive of raw events misses some, or cannot be put where it belongs.
    ArchiveFailing,
    /// KMS does not show the keys of an account and Region, or not enough of them.
    KeysUnseen { place: String },
}

impl OwnSubject {
    fn rule(&self) -> Rule {
        let (id, title, severity, meaning, action) = match self {
            Self::Deaf { .. } => (
                "deaf",
                "kmswatch is deaf",
                Severity::Critical,
                "Messages cannot be received: whatever happens to the keys now is not told.",
                "Mend what the error names: the queue's own key, its policy, the role's permissions or the network.",
            ),
            Self::Blind { .. } => (
                "blind",
                "kmswatch is blind",
                Severity::Critical,
                "A KMS call that kmswatch itself made has not come back as an event: what others do to the keys is most likely not heard of either.",
                "Follow the way from the last link known good: trail (logging, KMS left out?), EventBridge rule (state, pattern, target), the queue's policy.",
            ),
            Self::Undecodable { .. } => (
                "undecodable",
                "Messages that kmswatch cannot decode",
                Severity::High,
                "Something in the queue is not an event kmswatch understands; what it says is not told. The messages are kept.",
                "Read one of them in the dead-letter queue (or the store's quarantine) and mend what sends it.",
            ),
            Self::DeadLetters { .. } => (
                "dead-letters",
                "The dead-letter queue is not empty",
                Severity::Medium,
                "Messages were given up after several attempts; what they say was not told.",
                "Look at them, mend the cause, and start a redrive to the main queue.",
            ),
            Self::Behind { .. } => (
                "behind",
                "kmswatch falls behind its queue",
                Severity::High,
                "More comes into the queue than is worked off: what happens to the keys now is told late.",
                "Look for a slow store or slow look-ups, raise `polls_max`, or let the EventBridge rule deliver less (`lean`).",
            ),
            Self::InFlight { .. } => (
                "in-flight",
                "A queue is about to stop handing out messages",
                Severity::High,
                "SQS lets about 120,000 messages be in flight (20,000 of a FIFO queue). Beyond it receives come back empty, without an error.",
                "Find out who else receives from this queue and does not delete; messages come back when their visibility ends.",
            ),
            Self::QueueKey { .. } => (
                "queue-key",
                "The key that encrypts a queue is in danger",
                Severity::Critical,
                "Without its key the queue takes nothing from EventBridge and hands nothing out: kmswatch goes deaf.",
                "Make the key usable again now; then encrypt the queue with SSE-SQS, which needs no key of yours.",
            ),
            Self::SinkFailing { .. } => (
                "sink-failing",
                "A sink does not accept notifications",
                Severity::High,
                "People who rely on this sink hear nothing until it accepts again; everything is kept for it.",
                "Mend what the error names: the token, the URL, the channel, or the service.",
            ),
            Self::StoreFailing => (
                "store-failing",
                "kmswatch cannot store its state",
                Severity::Critical,
                "Receiving has stopped so that nothing is lost: events wait in the queue and are not told.",
                "Make room on the disk, or mend what the error names; kmswatch goes on by itself.",
            ),
            Self::StateDamaged => (
                "state-damaged",
                "A part of kmswatch's state does not read back",
                Severity::High,
                "What was remembered of an incident is damaged. Its alerts are told as new dangers; it may have to be resolved by hand.",
                "Look at the incident named, resolve it by hand if its danger is past, and find out what wrote to the store's file.",
            ),
            Self::ConfigRejected => (
                "config-rejected",
                "A changed configuration does not load",
                Severity::High,
                "The running configuration stays in force; the change has no effect.",
                "Run `kmswatch check`, mend what it names, and reload.",
            ),
            Self::ArchiveFailing => (
                "archive-failing",
                "The archive of raw events has gaps, or falls behind",
                Severity::Medium,
                "Events are watched and told as ever, but the record of what was received is not kept whole.",
                "Mend what the error names: the bucket, its policy, the role's permissions, or the spool's disk.",
            ),
            Self::KeysUnseen { .. } => (
                "keys-unseen",
                "KMS does not show its keys to kmswatch",
                Severity::High,
                "Sweeps do not see in which state the keys are: what is done to them, and what no event tells of, is not found.",
                "Give the role `kms:ListKeys` and `kms:DescribeKey`, and see whether key policies deny them: somebody may want keys unseen.",
            ),
        };
        Rule {
            id: format!("{PREFIX}{id}"),
            title: title.to_owned(),
            severity,
            matches: nothing(),
            except: vec![],
            window: None,
            countdown: None,
            escalations: vec![],
            templates: None,
            resolve: None,
            resolve_source: None,
            resolve_after: match self {
                Self::Undecodable { .. } | Self::StateDamaged => Some(SignedDuration::from_hours(1)),
                _ => None,
            },
            recovered: None,
            notice: false,
            shadow: None,
            family: format!("{PREFIX}{id}"),
            group_by: vec![],
            repeat: None,
            tags: vec![],
            runbook: None,
            references: vec![],
            owner: None,
            summary: None,
            meaning: Some(meaning.to_owned()),
            action: Some(action.to_owned()),
            needs_full: vec![],
        }
    }

    /// What tells incidents of one kind apart: the queue, the sink, the canary or the place.
    fn part(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Deaf { queue }
            | Self::Undecodable { queue }
            | Self::DeadLetters { queue }
            | Self::Behind { queue }
            | Self::InFlight { queue }
            | Self::QueueKey { queue } => Some(("queue", queue)),
            Self::SinkFailing { sink } => Some(("sink", sink)),
            Self::Blind { canary } => Some(("canary", canary)),
            Self::KeysUnseen { place } => Some(("place", place)),
            Self::StoreFailing | Self::StateDamaged | Self::ConfigRejected | Self::ArchiveFailing => None,
        }
    }

    fn fingerprint(&self, rule: &Rule) -> Fingerprint {
        let mut document = serde_json::Map::new();
        let mut group_by = vec![];
        if let Some((name, value)) = self.part() {
            document.insert(name.to_owned(), Value::String(value.to_owned()));
            group_by.push(name.to_owned());
        }
        fingerprint(&rule.family, &group_by, &Value::Object(document))
    }
}

/// A pattern that our own rules carry and that no event is ever matched against.
fn nothing() -> Pattern {
    let never = serde_json::json!({ "source": ["kmswatch"] });
    Pattern::compile(&Node::from_json(&never)).unwrap_or_else(|_| Pattern::never())
}

/// Something is wrong with kmswatch itself, as of `now`, in bounded words free of secrets.
pub fn own_danger(subject: &OwnSubject, detail: &str, now: Timestamp) -> Evaluation {
    let rule = subject.rule();
    let print = subject.fingerprint(&rule);
    let mut evaluation = own_evaluation(subject, &rule.title, &print, detail, now, "danger");
    evaluation.alerts.push(Candidate::plain(Arc::new(rule), print));
    evaluation
}

/// It is well again.
pub fn own_clear(subject: &OwnSubject, detail: &str, now: Timestamp) -> Evaluation {
    let rule = subject.rule();
    let print = subject.fingerprint(&rule);
    let mut evaluation = own_evaluation(subject, &rule.title, &print, detail, now, "clear");
    evaluation.clears.push(Clear::by_event(&rule.id, print, now));
    evaluation
}

/// The notification for a report that cannot go through the store.
pub fn own_notification(subject: &OwnSubject, detail: &str, now: Timestamp) -> Notification {
    let evaluation = own_danger(subject, detail, now);
    let rule = Arc::new(subject.rule());
    let print = subject.fingerprint(&rule);
    let incident = super::fold::first_incident(&Candidate::plain(rule, print), &evaluation);
    notify::compose(&incident, Kind::Trigger, Reason::SelfReport, evaluation.event, vec![], now)
}

fn own_evaluation(
    subject: &OwnSubject,
    title: &str,
    print: &Fingerprint,
    detail: &str,
    now: Timestamp,
    what: &str,
) -> Evaluation {
    let mut details: BTreeMap<String, String> =
        subject.part().map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    details.insert("detail".to_owned(), detail.chars().take(500).collect());
    let id = format!("kmswatch:{print}:{what}:{}", now.as_millisecond());
    Evaluation {
        id: EventId(id.clone()),
        event: EventCard {
            id,
            name: title.to_owned(),
            source: "kmswatch".to_owned(),
            time: now,
            account: None,
            region: None,
            outcome: Outcome::Failed,
            denied_by: None,
            error_code: None,
            error_message: None,
            actor: Actor::default(),
            details,
            late: None,
        },
        key: None,
        said: detail.chars().take(500).collect(),
        undo: None,
        links: vec![],
        marks: vec![],
        incomplete: false,
        same: None,
        refused: None,
        in_use: None,
        alerts: vec![],
        steps: vec![],
        clears: vec![],
        states: None,
        observed: false,
    }
}

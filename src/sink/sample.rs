//! Real-shaped notifications: what `send-test` sends, templates are tried on, and tests look at.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::core::event::{Actor, DeniedBy, KeyRef, Outcome};
use crate::core::incident::{Fingerprint, State};
use crate::core::notification::{EventCard, IncidentCard, Kind, Link, Notification, Reason};
use crate::core::rule::Severity;

/// The stories that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    KeyDisabled,
    DeletionScheduled,
    DeniedUse,
    /// A notice: good news, nobody is woken.
    KeyRotated,
    /// `KeyDisabled`, later: its severity has risen.
    Escalated,
    /// `KeyDisabled`, at its end.
    Resolved,
}

impl Sample {
    pub const ALL: [Self; 6] = [
        Self::KeyDisabled,
        Self::DeletionScheduled,
        Self::DeniedUse,
        Self::KeyRotated,
        Self::Escalated,
        Self::Resolved,
    ];
}

/// A notification as the engine would make it at `at`. Accounts are AWS's own examples, hosts are `example.org`.
pub fn sample_notification(sample: Sample, at: Timestamp) -> Notification {
    let call = match sample {
        Sample::KeyDisabled | Sample::Escalated => ("DisableKey", Severity::High, "KMS key disabled", "key-disabled"),
        Sample::Resolved => ("EnableKey", Severity::High, "KMS key disabled", "key-disabled"),
        Sample::DeletionScheduled => {
            ("ScheduleKeyDeletion", Severity::Critical, "KMS key deletion scheduled", "key-deletion-scheduled")
        }
        Sample::DeniedUse => ("Decrypt", Severity::Medium, "Use of a KMS key denied", "key-use-denied"),
        Sample::KeyRotated => ("RotateKey", Severity::Info, "KMS key material rotated", "key-rotated"),
    };
    let (name, severity, title, rule) = call;
    let mut told = Notification {
        id: format!("sample-{rule}-1-1"),
        kind: Kind::Trigger,
        reason: Reason::Opened,
        at,
        incident: incident(rule, title, severity, at),
        event: event(name, before(at, 40)),
        key: Some(key()),
        summary: format!("{name} on alias/prod-payments by role/platform-admin (alice@example.org)"),
        meaning: None,
        action: None,
        undo: None,
        links: vec![
            Link { text: "CloudTrail event".into(), href: "https://eu-central-1.console.aws.amazon.com/cloudtrailv2/home?region=eu-central-1#/events/7d2ae7ea-2fda-4a5c-9c5e-2d2e2f0c9a11".into() },
            Link { text: "Key in the console".into(), href: "https://eu-central-1.console.aws.amazon.com/kms/home?region=eu-central-1#/kms/keys/1234abcd-12ab-34cd-56ef-1234567890ab".into() },
            Link { text: "Runbook".into(), href: "https://runbooks.example.org/kms".into() },
        ],
        marks: vec![],
        banner: None,
    };
    match sample {
        Sample::KeyDisabled => danger(&mut told),
        Sample::Escalated => {
            danger(&mut told);
            told.kind = Kind::Update;
            told.reason = Reason::Escalated;
            told.incident.severity = Severity::Critical;
            told.incident.step = 1;
            told.incident.transition = 2;
            told.incident.alerts = 3;
            told.incident.actors.push("arn:aws:iam::444455556666:user/bob".into());
        }
        Sample::Resolved => {
            danger(&mut told);
            told.kind = Kind::Resolve;
            told.reason = Reason::Resolved;
            told.incident.state = State::Resolved;
            told.incident.resolved_at = Some(before(at, 40));
            told.incident.transition = 2;
            told.undo = None;
            if let Some(key) = &mut told.key {
                key.state = Some("Enabled".into());
            }
        }
        Sample::DeletionScheduled => {
            told.meaning =
                Some("When the waiting period ends, everything encrypted under this key is lost for good.".into());
            told.action = Some("If nobody planned this, cancel the deletion now and find out who ran it.".into());
            told.undo = Some(command("cancel-key-deletion"));
            told.event.details = BTreeMap::from([
                ("deletion date".into(), "2026-11-30 09:14 UTC".into()),
                ("waiting period".into(), "7 days".into()),
            ]);
            if let Some(key) = &mut told.key {
                key.state = Some("PendingDeletion".into());
            }
        }
        Sample::DeniedUse => {
            told.meaning = Some("A workload that needs this key cannot read its data.".into());
            told.action = Some("Compare the key policy with the last change to it.".into());
            told.event.outcome = Outcome::Denied;
            told.event.denied_by = Some(DeniedBy::ResourcePolicy);
            told.event.error_code = Some("AccessDenied".into());
            told.event.error_message = Some("User: arn:aws:sts::111122223333:assumed-role/payments/i-0abc is not authorized to perform: kms:Decrypt on this resource because no resource-based policy allows the kms:Decrypt action".into());
            let caller = "arn:aws:iam::111122223333:role/payments";
            told.incident.actors = vec![caller.into()];
            told.event.actor = Actor {
                principal: Some(caller.into()),
                session: Some("i-0abc".into()),
                ip: Some("10.20.30.40".into()),
                user_agent: Some("aws-sdk-java/2.33.0 md/io#sync".into()),
                mfa: None,
                ..told.event.actor
            };
            told.event.late = Some("late by 3 h (DELIVERY_DELAY)".into());
            told.incident.alerts = 412;
            told.marks = vec!["key details could not be looked up: access denied".into()];
            told.summary = "Decrypt denied on alias/prod-payments for role/payments, 412 times".into();
        }
        Sample::KeyRotated => {
            told.kind = Kind::Notice;
            told.reason = Reason::Notice;
            told.incident.state = State::Resolved;
            told.incident.resolved_at = Some(before(at, 40));
            told.meaning = Some("New data is encrypted under new key material; old data stays readable.".into());
        }
    }
    told
}

fn danger(told: &mut Notification) {
    told.meaning = Some("Everything encrypted under this key cannot be read while it is disabled.".into());
    told.action = Some("Enable the key unless somebody planned this.".into());
    told.undo = Some(command("enable-key"));
    if let Some(key) = &mut told.key {
        key.state = Some("Disabled".into());
    }
}

fn command(verb: &str) -> String {
    format!("aws kms {verb} --region eu-central-1 --key-id {KEY_ARN}")
}

fn incident(rule: &str, title: &str, severity: Severity, at: Timestamp) -> IncidentCard {
    IncidentCard {
        id: format!("sample-{rule}-1"),
        fingerprint: Fingerprint(format!("sample-{rule}")),
        episode: 1,
        state: State::Open,
        severity,
        title: title.into(),
        rule: rule.into(),
        family: rule.into(),
        opened_at: before(at, 760),
        last_alert_at: before(at, 40),
        resolved_at: None,
        deadline: None,
        harm: None,
        in_use: None,
        alerts: 1,
        actors: vec!["arn:aws:iam::111122223333:role/platform-admin".into()],
        step: 0,
        transition: 1,
        tags: vec!["attack.T1489".into()],
        runbook: Some("https://runbooks.example.org/kms".into()),
        owner: Some("the platform team".into()),
        taken: None,
    }
}

fn event(name: &str, time: Timestamp) -> EventCard {
    EventCard {
        id: "111122223333/eu-central-1/7d2ae7ea-2fda-4a5c-9c5e-2d2e2f0c9a11".into(),
        name: name.into(),
        source: "aws.kms".into(),
        time,
        account: Some("111122223333".into()),
        region: Some("eu-central-1".into()),
        outcome: Outcome::Success,
        denied_by: None,
        error_code: None,
        error_message: None,
        actor: Actor {
            principal: Some("arn:aws:iam::111122223333:role/platform-admin".into()),
            kind: Some("AssumedRole".into()),
            account: Some("111122223333".into()),
            session: Some("alice@example.org".into()),
            service: None,
            ip: Some("203.0.113.7".into()),
            user_agent: Some(
                "aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8 md/arch#x86_64 lang/python#3.13.7".into(),
            ),
            mfa: Some(true),
            external: Some(false),
        },
        details: BTreeMap::new(),
        late: None,
    }
}

fn key() -> KeyRef {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    KeyRef {
        arn: Some(KEY_ARN.into()),
        id: Some("1234abcd-12ab-34cd-56ef-1234567890ab".into()),
        account: Some("111122223333".into()),
        region: Some("eu-central-1".into()),
        aliases: vec!["alias/prod-payments".into()],
        state: Some("Enabled".into()),
        manager: Some("CUSTOMER".into()),
        labels: BTreeMap::from([pair("environment", "production"), pair("team", "payments")]),
        ..KeyRef::default()
    }
}

fn before(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(at)
}

const KEY_ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

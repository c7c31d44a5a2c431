//! What every channel says of a notification, in plain words: labels, values and the sentence for a change.
//!
//! Everything returned may hold untrusted text; a sink cleans, cuts and escapes it for its own channel.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::text::capital;
use crate::core::countdown::{Deadline, Ending};
use crate::core::event::{Actor, DeniedBy, Outcome};
use crate::core::incident::State;
use crate::core::notification::{IncidentCard, Kind, Notification, Reason};
use crate::core::usage::Names;

/// One line of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: String,
}

/// "Critical · open · KMS key disabled".
pub(super) fn headline(n: &Notification) -> String {
    format!("{} · {}", status(n), n.incident.title)
}

/// "Critical · open", without the title.
pub(super) fn status(n: &Notification) -> String {
    let first = match n.kind {
        Kind::Notice => "Notice".to_owned(),
        Kind::Resolve => "Resolved".to_owned(),
        Kind::Trigger | Kind::Update => capital(n.incident.severity.as_str()),
    };
    let left = n.incident.deadline.filter(|_| n.reason == Reason::Countdown).map(|deadline| time_left(n, deadline));
    let second = match (n.kind, n.reason) {
        (Kind::Notice | Kind::Resolve, _) => n.incident.severity.as_str(),
        (_, Reason::Reopened) => "open again",
        (_, Reason::Escalated) => "escalated",
        (_, Reason::NewDanger) => "worse",
        (_, Reason::Downgraded) => "still unusable",
        _ => left.as_deref().unwrap_or(n.incident.state.as_str()),
    };
    format!("{first} · {second}")
}

/// The one line for where there is no card: the title, then `said`. The title is left out where `said` has its every word,
/// so that nobody reads "KMS key disabled: alias/prod was disabled".
pub(super) fn line(n: &Notification, said: &str) -> String {
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).filter(|word| !word.is_empty()).collect()
    };
    let title = &n.incident.title;
    let known = words(said);
    if words(title).iter().all(|word| SMALL_WORDS.contains(&word.as_str()) || known.contains(word)) {
        return said.to_owned();
    }
    format!("{title}: {said}")
}

/// What changed, as one sentence: a thread reply, the first line of a resolved card, a log entry.
pub(super) fn change(n: &Notification) -> String {
    let incident = &n.incident;
    let by_hand = |verb: &str| match &incident.taken {
        Some(taken) => format!("{verb} by {}: {}", taken.by, taken.why),
        None => format!("{verb} by hand"),
    };
    let open_for = length(n.at.duration_since(incident.opened_at));
    match n.reason {
        Reason::Opened
        | Reason::Notice
        | Reason::Countdown
        | Reason::Downgraded
        | Reason::SelfReport
        | Reason::Test => n.summary.clone(),
        Reason::Reopened => format!("Open again: {}", n.summary),
        Reason::Escalated => format!("Escalated to {}: {}", incident.severity.as_str(), n.summary),
        Reason::NewDanger => format!("On top of it: {}", n.summary),
        Reason::NewActor => format!("Another principal: {}", short_who(n)),
        Reason::Repeat => format!("Still open after {open_for}, {}", alerts(incident.alerts)),
        Reason::Resolved => {
            let end = incident.resolved_at.unwrap_or(n.at).duration_since(incident.opened_at);
            format!("Resolved after {} by {} ({})", length(end), n.event.name, short_who(n))
        }
        Reason::Expired => format!("Resolved: no further alert since {}", instant(incident.last_alert_at)),
        Reason::ResolvedByHand => by_hand("Resolved"),
        Reason::AcknowledgedByHand => by_hand("Acknowledged"),
        Reason::OpenedAndResolved => format!("It was over when it was heard of: {}", n.summary),
        Reason::TooLate => format!("It resolved before it could be told: {}", n.summary),
        Reason::RuleGone => "Closed: its rule was removed or regrouped".to_owned(),
    }
}

/// The card's lines, most important first. Absent knowledge makes no line.
pub(super) fn facts(n: &Notification) -> Vec<Fact> {
    let (event, incident) = (&n.event, &n.incident);
    let mut facts = vec![];
    let mut fact = |label: &str, value: String| {
        if !value.is_empty() {
            facts.push(Fact { label: label.to_owned(), value });
        }
    };
    if incident.state == State::Resolved && n.kind == Kind::Resolve {
        fact("What happened", n.summary.clone());
    }
    if let Some(key) = &n.key {
        let name = key.display_name();
        let mut parts = vec![name.to_owned()];
        parts.extend(key.aliases.iter().skip(1).cloned());
        parts.extend(key.id.clone().filter(|id| id != name));
        parts.extend(key.state.clone());
        fact("Key", parts.join(" · "));
        fact(
            "Labels",
            key.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(" · "),
        );
    }
    if let Some(deadline) = incident.deadline {
        fact("Time left", format!("{}, on {}", until(n, deadline), instant(deadline.at)));
    }
    for (label, value) in uses(incident) {
        fact(label, value);
    }
    fact("What", what(n));
    let error = [event.error_code.as_deref(), event.error_message.as_deref()];
    fact("Error", error.into_iter().flatten().collect::<Vec<_>>().join(": "));
    fact("Who", who_did(n));
    fact("From", from(&event.actor));
    fact("When", when(n));
    fact(
        "Where",
        [event.account.as_deref(), event.region.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" · "),
    );
    if incident.alerts > 1 || incident.actors.len() > 1 {
        let principals = match incident.actors.len() {
            0 => String::new(),
            1 => ", 1 principal".to_owned(),
            more => format!(", {more} principals"),
        };
        fact("How often", format!("{}{principals} since {}", alerts(incident.alerts), instant(incident.opened_at)));
    }
    if let (Some(taken), true) = (&incident.taken, incident.state == State::Acknowledged) {
        fact("Acknowledged", format!("by {}: {}", taken.by, taken.why));
    }
    // Our own incidents say their detail in the summary already.
    let details = event.details.iter().filter(|(_, value)| **value != n.summary);
    for (label, value) in details.take(DETAILS_MAX) {
        fact(&capital(label), plain_word(value));
    }
    facts
}

/// "3 days 4 h left", as of the notification.
fn time_left(n: &Notification, deadline: Deadline) -> String {
    format!("{} left", length(deadline.at.duration_since(n.at)))
}

/// "destroyed in 3 days 4 h".
fn until(n: &Notification, deadline: Deadline) -> String {
    let left = length(deadline.at.duration_since(n.at));
    match deadline.what {
        Ending::Destroyed => format!("the key will be destroyed in {left}"),
        Ending::MaterialExpires => format!("its key material expires in {left}"),
        Ending::Other => format!("{left} left"),
    }
}

/// Who needs the key, and who has been turned away from it.
fn uses(incident: &IncidentCard) -> Vec<(&'static str, String)> {
    let mut lines = vec![];
    let join = |names: &Names| {
        let more = if names.more > 0 { format!(" and {} more", names.more) } else { String::new() };
        format!("{}{more}", names.shown.iter().map(|name| short_principal(name)).collect::<Vec<_>>().join(", "))
    };
    if let Some(harm) = &incident.harm {
        let times =
            if harm.refused == 1 { "1 use refused".to_owned() } else { format!("{} uses refused", harm.refused) };
        let list = |all: &BTreeSet<String>| {
            all.iter().take(NAMES_MAX).map(|one| short_principal(one)).collect::<Vec<_>>().join(", ")
        };
        let who = if harm.callers.is_empty() { String::new() } else { format!(", to {}", list(&harm.callers)) };
        let things =
            if harm.things.is_empty() { String::new() } else { format!("; they tried to open {}", list(&harm.things)) };
        lines.push(("Proof of harm", format!("{times}{who}{things}")));
    }
    let Some(in_use) = &incident.in_use else { return lines };
    lines.push(("Used by", join(&in_use.users)));
    lines.push(("Used for", join(&in_use.things)));
    let recorded = in_use.last_recorded.as_ref().map(|last| match (last.at, last.tracked_from) {
        (Some(at), _) => {
            let operation = last.operation.as_ref().map(|operation| format!(" ({operation})")).unwrap_or_default();
            format!("{}{operation}, says KMS", instant(at))
        }
        (None, Some(since)) => format!("no successful use recorded since {}", instant(since)),
        (None, None) => "no successful use recorded".to_owned(),
    });
    let seen = in_use.last_seen.map(|at| format!("seen {}", instant(at)));
    lines.push(("Last use", recorded.into_iter().chain(seen).collect::<Vec<_>>().join("; ")));
    if let Some(grants) = in_use.grants {
        lines.push(("Grants", if in_use.more_grants { format!("more than {grants}") } else { grants.to_string() }));
    }
    lines.push(("May use it", join(&in_use.may_use)));
    lines
}

/// A principal's ARN from its resource on; whatever else, as it is.
fn short_principal(name: &str) -> String {
    let resource = name.starts_with("arn:").then(|| name.splitn(6, ':').nth(5)).flatten();
    resource.filter(|resource| resource.contains('/')).unwrap_or(name).to_owned()
}

/// KMS shouts its enumerations: `AUTOMATIC`, `ON_DEMAND`.
fn plain_word(value: &str) -> String {
    let shouted = SHOUTED.iter().find(|(word, _)| *word == value);
    shouted.map_or_else(|| value.to_owned(), |(_, word)| (*word).to_owned())
}

/// "arn:…:role/admin, session alice, MFA, through cloudformation.amazonaws.com".
pub(super) fn who(actor: &Actor) -> String {
    let mut parts = vec![];
    parts.extend(actor.principal.clone().or_else(|| actor.kind.clone()));
    parts.extend(actor.session.as_ref().map(|session| format!("session {session}")));
    parts.extend(actor.mfa.filter(|mfa| *mfa).map(|_| "with MFA".to_owned()));
    parts.extend(actor.service.as_ref().map(|service| format!("through {service}")));
    if parts.is_empty() { "somebody the event does not name".to_owned() } else { parts.join(", ") }
}

/// [`who`], or what stands for it where nobody called: KMS by itself, and kmswatch about itself, which needs no line.
fn who_did(n: &Notification) -> String {
    let event = &n.event;
    let nobody = event.actor.principal.is_none() && event.actor.kind.is_none() && event.actor.service.is_none();
    match (nobody, event.source.as_str()) {
        (true, "kmswatch") => String::new(),
        (true, "aws.kms") if is_detail_type(&event.name) => "AWS KMS itself".to_owned(),
        _ => who(&event.actor),
    }
}

/// Like [`who`], with the principal's ARN from its resource on: "role/admin, session alice".
fn short_who(n: &Notification) -> String {
    let principal = n.event.actor.principal.as_deref();
    let resource = principal.filter(|arn| arn.starts_with("arn:")).and_then(|arn| arn.splitn(6, ':').nth(5));
    let principal = resource.filter(|resource| resource.contains('/')).or(principal).map(str::to_owned);
    who(&Actor { principal, ..n.event.actor.clone() })
}

/// Events that are no API call are named by EventBridge's `detail-type`, which is a phrase.
fn is_detail_type(name: &str) -> bool {
    name.contains(' ')
}

/// "2026-11-23 09:14:05 UTC".
pub(super) fn instant(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn what(n: &Notification) -> String {
    let event = &n.event;
    match (event.outcome, event.denied_by) {
        _ if event.source == "kmswatch" => String::new(),
        (Outcome::Success, _) if is_detail_type(&event.name) => event.name.clone(),
        (Outcome::Success, _) => format!("{} succeeded", event.name),
        (Outcome::Denied, None | Some(DeniedBy::Unknown)) => format!("{} denied", event.name),
        (Outcome::Denied, Some(family)) => format!("{} denied: {}", event.name, family.as_str().replace('_', " ")),
        (Outcome::Failed, _) => format!("{} failed", event.name),
    }
}

fn from(actor: &Actor) -> String {
    // The first two words of a user agent name the tool; the rest is versions.
    let agent = actor.user_agent.as_ref().map(|agent| agent.split(' ').take(2).collect::<Vec<_>>().join(" "));
    [actor.ip.clone(), agent].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn when(n: &Notification) -> String {
    let time = instant(n.event.time);
    let behind = n.at.duration_since(n.event.time);
    match &n.event.late {
        Some(late) => format!("{time}, {late}"),
        None if behind >= LATE && matches!(n.kind, Kind::Trigger | Kind::Notice) => {
            format!("{time}, heard of {} later", length(behind))
        }
        None => time,
    }
}

fn alerts(count: u64) -> String {
    if count == 1 { "1 alert".to_owned() } else { format!("{count} alerts") }
}

/// The two greatest units: "3 days 4 h", "12 min", "40 s".
fn length(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let day = if days == 1 { "day" } else { "days" };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} {day}"),
        _ => format!("{days} {day} {hours} h"),
    }
}

/// Names of one kind on a line.
const NAMES_MAX: usize = 8;
/// More would hide the rest of the card.
const DETAILS_MAX: usize = 12;
/// Words of a title that say nothing of what happened.
const SMALL_WORDS: [&str; 10] = ["a", "aws", "for", "is", "key", "kms", "of", "the", "to", "was"];
/// Enumerations of KMS's events, as people say them.
const SHOUTED: [(&str, &str); 5] = [
    ("AUTOMATIC", "automatic"),
    ("ON_DEMAND", "on demand"),
    ("KEY_MATERIAL_EXPIRES", "the key material expires"),
    ("KEY_MATERIAL_DOES_NOT_EXPIRE", "the key material does not expire"),
    ("NEW_KEY_MATERIAL", "new key material"),
];
/// CloudTrail delivers within about 15 minutes; more than that is worth a word.
const LATE: SignedDuration = SignedDuration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::incident::Taken;
    use crate::core::inspection::LastUsage;
    use crate::core::usage::InUse;
    use crate::sink::sample::{Sample, sample_notification};

    fn sample(which: Sample) -> Notification {
        sample_notification(which, "2026-11-23T09:14:45Z".parse().unwrap())
    }

    fn value(n: &Notification, label: &str) -> Option<String> {
        facts(n).into_iter().find(|fact| fact.label == label).map(|fact| fact.value)
    }

    #[test]
    fn a_headline_says_severity_state_and_title() {
        assert_eq!(headline(&sample(Sample::KeyDisabled)), "High · open · KMS key disabled");
        assert_eq!(headline(&sample(Sample::Escalated)), "Critical · escalated · KMS key disabled");
        assert_eq!(headline(&sample(Sample::Resolved)), "Resolved · high · KMS key disabled");
        assert_eq!(headline(&sample(Sample::KeyRotated)), "Notice · info · KMS key material rotated");
    }

    #[test]
    fn every_reason_has_its_sentence() {
        let mut n = sample(Sample::Resolved);
        assert!(
            change(&n).starts_with("Resolved after 12 min by EnableKey (role/platform-admin, session alice"),
            "{}",
            change(&n)
        );
        n.reason = Reason::ResolvedByHand;
        assert_eq!(change(&n), "Resolved by hand");
        n.incident.taken = Some(Taken { by: "carol".into(), why: "planned".into(), at: n.at });
        assert_eq!(change(&n), "Resolved by carol: planned");
        n.reason = Reason::Repeat;
        assert_eq!(change(&n), "Still open after 12 min, 1 alert");
        n.reason = Reason::NewActor;
        assert!(change(&n).starts_with("Another principal: role/platform-admin, session alice"));
        n.reason = Reason::Expired;
        assert_eq!(change(&n), "Resolved: no further alert since 2026-11-23 09:14:05 UTC");
    }

    #[test]
    fn a_card_names_key_person_place_and_number() {
        let denied = sample(Sample::DeniedUse);
        assert_eq!(
            value(&denied, "Key").unwrap(),
            "alias/prod-payments · 1234abcd-12ab-34cd-56ef-1234567890ab · Enabled"
        );
        assert_eq!(value(&denied, "Labels").unwrap(), "environment: production · team: payments");
        assert_eq!(value(&denied, "What").unwrap(), "Decrypt denied: resource policy");
        assert!(value(&denied, "Error").unwrap().starts_with("AccessDenied: User: "));
        assert_eq!(value(&denied, "From").unwrap(), "10.20.30.40 · aws-sdk-java/2.33.0 md/io#sync");
        assert_eq!(value(&denied, "When").unwrap(), "2026-11-23 09:14:05 UTC, late by 3 h (DELIVERY_DELAY)");
        assert!(value(&denied, "How often").unwrap().starts_with("412 alerts, 1 principal since"));
        assert_eq!(value(&sample(Sample::KeyDisabled), "How often"), None, "once is no news");
        assert_eq!(value(&sample(Sample::DeletionScheduled), "Waiting period").unwrap(), "7 days");
    }

    #[test]
    fn nobody_says_unused_of_a_key() {
        let mut n = sample(Sample::KeyDisabled);
        let since = Some("2026-04-01T00:00:00Z".parse().unwrap());
        let recorded = LastUsage { tracked_from: since, ..LastUsage::default() };
        n.incident.in_use = Some(InUse { last_recorded: Some(recorded.clone()), grants: Some(2), ..InUse::default() });
        assert_eq!(value(&n, "Last use").unwrap(), "no successful use recorded since 2026-04-01 00:00:00 UTC");
        assert_eq!((value(&n, "Grants").unwrap().as_str(), value(&n, "Used by")), ("2", None));
        let used = LastUsage { at: since, operation: Some("Decrypt".to_owned()), ..recorded };
        n.incident.in_use = Some(InUse { last_recorded: Some(used), ..InUse::default() });
        assert_eq!(value(&n, "Last use").unwrap(), "2026-04-01 00:00:00 UTC (Decrypt), says KMS");
    }

    #[test]
    fn a_countdown_says_what_is_left() {
        let mut n = sample(Sample::DeletionScheduled);
        let at = n.at.checked_add(SignedDuration::from_hours(30)).unwrap();
        n.incident.deadline = Some(Deadline { at, what: Ending::Destroyed });
        (n.kind, n.reason) = (Kind::Update, Reason::Countdown);
        assert!(headline(&n).starts_with("Critical · 1 day 6 h left · "), "{}", headline(&n));
        assert!(value(&n, "Time left").unwrap().starts_with("the key will be destroyed in 1 day 6 h, on 2026-"));
        n.incident.deadline = Some(Deadline { at, what: Ending::MaterialExpires });
        assert!(value(&n, "Time left").unwrap().starts_with("its key material expires in 1 day 6 h"));
    }

    #[test]
    fn a_line_says_the_title_unless_the_sentence_does() {
        let mut n = sample(Sample::KeyDisabled);
        assert_eq!(line(&n, "alias/prod was disabled by role/x"), "alias/prod was disabled by role/x");
        assert_eq!(line(&n, "DisableKey on alias/prod"), "KMS key disabled: DisableKey on alias/prod");
        n.incident.title = "Key policy changed by hand".to_owned();
        assert_eq!(
            line(&n, "alias/prod got a new key policy"),
            "Key policy changed by hand: alias/prod got a new key policy"
        );
    }

    #[test]
    fn what_nobody_called_names_nobody() {
        let mut n = sample(Sample::KeyRotated);
        n.event.name = "KMS CMK Rotation".to_owned();
        n.event.actor = Actor::default();
        n.event.details = [("rotation".to_owned(), "ON_DEMAND".to_owned())].into();
        assert_eq!(value(&n, "What").unwrap(), "KMS CMK Rotation");
        assert_eq!(value(&n, "Who").unwrap(), "AWS KMS itself");
        assert_eq!(value(&n, "Rotation").unwrap(), "on demand");
        n.event.source = "kmswatch".to_owned();
        n.event.name = "kmswatch is deaf".to_owned();
        n.event.outcome = Outcome::Failed;
        n.event.details = [("detail".to_owned(), n.summary.clone()), ("queue".to_owned(), "main".to_owned())].into();
        assert_eq!((value(&n, "What"), value(&n, "Who"), value(&n, "Detail")), (None, None, None));
        assert_eq!(value(&n, "Queue").unwrap(), "main");
        n.event.source = "aws.kms".to_owned();
        n.event.name = "Decrypt".to_owned();
        n.event.outcome = Outcome::Denied;
        n.event.denied_by = Some(DeniedBy::Unknown);
        assert_eq!(value(&n, "What").unwrap(), "Decrypt denied");
        assert_eq!(value(&n, "Who").unwrap(), "somebody the event does not name");
    }

    #[test]
    fn what_is_heard_of_late_says_so() {
        let mut n = sample(Sample::KeyDisabled);
        assert_eq!(value(&n, "When").unwrap(), "2026-11-23 09:14:05 UTC");
        n.at = n.event.time.checked_add(SignedDuration::from_mins(125)).unwrap();
        assert!(value(&n, "When").unwrap().ends_with("heard of 2 h 5 min later"));
    }

    #[test]
    fn lengths_are_told_in_two_units() {
        for (seconds, told) in
            [(40, "40 s"), (720, "12 min"), (3_600, "1 h"), (86_400, "1 day"), (187_200, "2 days 4 h")]
        {
            assert_eq!(length(SignedDuration::from_secs(seconds)), told);
        }
    }
}

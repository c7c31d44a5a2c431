//! The story of one key, played through the built-in rules to the cards that people see: disabled, needed, scheduled for deletion,
//! the marks pass, cancelled, still disabled, enabled. In order, late and in any order, twice, and with every second event
//! lost while KMS says the truth.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{pagerduty, slack};
use crate::core::decide::{Decision, Policy, Prepared, evaluate};
use crate::core::decode::decode;
use crate::core::event::{Event, KeyRef};
use crate::core::incident::{Incident, State};
use crate::core::keystate::{self, FAMILY, KeyState};
use crate::core::notification::{Kind, Notification, Reason};
use crate::core::observe::{By, Observation};
use crate::core::rule::{RuleSet, builtin};
use crate::core::usage::{InUse, Sighting, Usage};
use crate::core::world::World;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// When things happen, in seconds from the start.
const DISABLED: i64 = HOUR;
const SCHEDULED: i64 = 3 * HOUR;
/// KMS destroys it up to a day later than the event's text says.
const DELETION: i64 = SCHEDULED + 7 * DAY + 20 * HOUR;
const CANCELLED: i64 = DELETION - 30 * MINUTE;
const ENABLED: i64 = CANCELLED + 5 * HOUR;
const MARKS: [i64; 4] = [3 * DAY, DAY, 6 * HOUR, HOUR];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_793_610_000 + seconds).unwrap()
}

fn policy() -> Policy {
    Policy { rules: RuleSet::new(builtin().to_vec()), sinks: vec!["oncall".to_owned()], ..Policy::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn call(name: &str, seconds: i64, role: &str, extra: Value) -> Event {
    let mut detail = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "accountId": "111122223333",
            "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/session"),
            "sessionContext": { "sessionIssuer": { "type": "Role", "arn": format!("arn:aws:iam::111122223333:role/{role}") } }
        },
        "eventTime": at(seconds).to_string(), "eventSource": "kms.amazonaws.com", "eventName": name,
        "awsRegion": "eu-central-1", "sourceIPAddress": "203.0.113.7", "userAgent": "aws-cli/2.31",
        "requestParameters": { "keyId": KEY }, "responseElements": { "keyId": KEY },
        "eventID": format!("{name}-{seconds}"), "readOnly": false, "eventType": "AwsApiCall",
        "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY }],
        "recipientAccountId": "111122223333"
    });
    for (member, value) in extra.as_object().unwrap() {
        detail[member] = value.clone();
    }
    let envelope = json!({
        "version": "0", "id": format!("env-{name}-{seconds}"), "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.kms", "account": "111122223333", "region": "eu-central-1", "resources": [],
        "time": at(seconds).to_string(), "detail": detail
    });
    decode(&envelope.to_string()).events.remove(0)
}

fn refused(seconds: i64, words: &str) -> Event {
    call(
        "Decrypt",
        seconds,
        "payments",
        json!({
            "readOnly": true, "responseElements": null, "errorCode": "DisabledException",
            "errorMessage": format!("{KEY} {words}."),
            "requestParameters": { "encryptionContext": { "aws:ebs:id": "vol-0123456789abcdef0" } }
        }),
    )
}

/// Everything that happens, in order.
fn events() -> Vec<Event> {
    vec![
        call("EnableKey", 0, "Admin", json!({})),
        call(
            "Decrypt",
            30 * MINUTE,
            "payments",
            json!({
                "readOnly": true, "responseElements": null,
                "requestParameters": { "encryptionContext": { "aws:ebs:id": "vol-0123456789abcdef0" } }
            }),
        ),
        call("DisableKey", DISABLED, "Intern", json!({})),
        refused(DISABLED + 10 * MINUTE, "is disabled"),
        call(
            "ScheduleKeyDeletion",
            SCHEDULED,
            "Intern",
            json!({
                "requestParameters": { "keyId": KEY, "pendingWindowInDays": 7 },
                "responseElements": {
                    "keyId": KEY, "keyState": "PendingDeletion", "pendingWindowInDays": 7,
                    "deletionDate": at(SCHEDULED + 7 * DAY).strftime("%b %-d, %Y, %-I:%M:%S %p").to_string()
                }
            }),
        ),
        refused(SCHEDULED + DAY, "is pending deletion"),
        call("CancelKeyDeletion", CANCELLED, "Admin", json!({})),
        refused(CANCELLED + HOUR, "is disabled"),
        call("EnableKey", ENABLED, "Admin", json!({})),
    ]
}

/// In which state the key truly is.
fn truth(seconds: i64) -> KeyState {
    match seconds {
        s if s < DISABLED => KeyState::Enabled,
        s if s < SCHEDULED => KeyState::Disabled,
        s if s < CANCELLED => KeyState::PendingDeletion,
        s if s < ENABLED => KeyState::Disabled,
        _ => KeyState::Enabled,
    }
}

/// What KMS answers then.
fn observed(seconds: i64) -> Event {
    let state = truth(seconds);
    let key = KeyRef {
        arn: Some(KEY.to_owned()),
        aliases: vec!["alias/prod-payments".to_owned()],
        state: Some(state.as_str().to_owned()),
        manager: Some("CUSTOMER".to_owned()),
        deletion_date: (state == KeyState::PendingDeletion).then(|| at(DELETION)),
        ..KeyRef::default()
    };
    Observation::new(By::Sweep, at(seconds), key).unwrap().event()
}

/// What people hear.
#[derive(Default)]
struct Played {
    world: World,
    usage: Usage,
    told: Vec<Notification>,
}

impl Played {
    fn hear(told: &mut Vec<Notification>, decision: Decision) {
        told.extend(decision.deliveries.into_iter().map(|delivery| delivery.notification));
    }

    fn pass(&mut self, policy: &Policy, seconds: i64) {
        let told = &mut self.told;
        self.world.pass(policy, at(seconds), |decision| Self::hear(told, decision));
    }

    fn arrive(&mut self, policy: &Policy, event: Event, seconds: i64) {
        self.pass(policy, seconds);
        if let Some(sighting) = Sighting::of(&event) {
            self.usage.learn(&sighting);
        }
        let prepared = Prepared { event, marks: vec![], looked_up: None };
        let mut evaluation = evaluate(policy, &prepared, at(seconds));
        if keystate::fact(&prepared.event).is_some_and(|fact| fact.state.is_danger()) {
            evaluation.in_use = self.usage.of(KEY, at(seconds)).as_ref().map(InUse::seen);
        }
        let decision = self.world.decide(policy, &[evaluation], at(seconds));
        Self::hear(&mut self.told, decision);
    }

    /// Events as they arrive, and KMS is asked every quarter of an hour if at all.
    fn play(policy: &Policy, mut arrivals: Vec<(i64, Event)>, asking: bool) -> Self {
        let end = ENABLED + DAY;
        if asking {
            arrivals.extend((1..=end / (15 * MINUTE)).map(|n| (n * 15 * MINUTE + 7, observed(n * 15 * MINUTE + 7))));
        }
        arrivals.sort_by_key(|(when, _)| *when);
        let mut played = Self::default();
        for (when, event) in arrivals {
            played.arrive(policy, event, when);
        }
        played.pass(policy, end);
        played
    }

    fn incident(&self) -> &Incident {
        let of_family = self.world.situations().into_iter().filter_map(|situation| situation.incident.as_ref());
        let mut of_family = of_family.filter(|incident| incident.family == FAMILY);
        let incident = of_family.next().expect("an incident");
        assert!(of_family.next().is_none(), "one key, one incident");
        incident
    }

    fn of_key(&self) -> impl Iterator<Item = &Notification> {
        self.told.iter().filter(|n| n.incident.family == FAMILY)
    }

    /// Seconds at which somebody is woken.
    fn pages(&self) -> Vec<i64> {
        let pages = self.of_key().filter(|n| n.kind == Kind::Trigger || n.asks_again());
        pages.map(|n| n.at.as_second() - at(0).as_second()).collect()
    }

    fn page_within(&self, from: i64, length: i64) {
        let pages = self.pages();
        assert!(
            pages.iter().any(|page| (from..=from + length).contains(page)),
            "nobody was woken at {from}: {pages:?}"
        );
    }

    /// How it ends, however it was heard of.
    fn check_end(&self) {
        let incident = self.incident();
        assert_eq!(incident.state, State::Resolved);
        assert_eq!(incident.severity.as_str(), "critical");
        assert_eq!(incident.key.as_ref().unwrap().state.as_deref(), Some("Enabled"));
        assert_eq!(incident.deadline, None);
        let situations = self.world.situations();
        let record = situations.iter().find_map(|situation| situation.record.as_ref()).unwrap();
        assert_eq!(record.state(SignedDuration::from_mins(5)), KeyState::Enabled);
    }

    /// Nobody hears that all is well before it is.
    fn check_no_false_resolve(&self) {
        for n in self.of_key().filter(|n| n.kind == Kind::Resolve) {
            assert!(n.at >= at(ENABLED), "resolved at {} by {}", n.at, n.event.name);
        }
    }
}

fn in_order() -> Vec<(i64, Event)> {
    events().into_iter().map(|event| (event.time.as_second() - at(0).as_second() + 30, event)).collect()
}

fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw(random, last + 1));
    }
}

fn draw(random: &mut u64, below: usize) -> usize {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*random >> 33).unwrap() % below
}

#[test]
fn the_whole_story_and_every_card() {
    let mut arrivals = in_order();
    // Somebody asks KMS for the date once; it is another one than the event's text says.
    arrivals.push((SCHEDULED + 10 * MINUTE, observed(SCHEDULED + 10 * MINUTE)));
    let played = Played::play(&policy(), arrivals, false);
    played.check_end();
    played.check_no_false_resolve();
    let story: Vec<String> = played
        .of_key()
        .filter(|n| n.reason != Reason::Repeat)
        .map(|n| {
            let seconds = n.at.as_second() - at(0).as_second();
            let time = format!("{}d {:02}:{:02}", seconds / DAY, seconds / HOUR % 24, seconds / MINUTE % 60);
            format!(
                "{time} {} {} step {}: {}",
                n.kind.as_str(),
                n.reason.as_str(),
                n.incident.step,
                super::words::change(n)
            )
        })
        .collect();
    insta::assert_snapshot!("story", story.join("\n"));
    for (number, n) in played.of_key().filter(|n| n.reason != Reason::Repeat).enumerate() {
        let name = format!("story_{number:02}_{}", n.reason.as_str());
        insta::assert_json_snapshot!(format!("{name}_slack"), slack::card_of(n));
        insta::assert_json_snapshot!(format!("{name}_pagerduty"), pagerduty::body(n));
    }
}

#[test]
fn each_mark_is_one_page_and_the_resolve_closes_all_of_them() {
    let played = Played::play(&policy(), in_order(), true);
    played.check_end();
    played.check_no_false_resolve();
    for mark in MARKS {
        let near = played.pages().into_iter().filter(|page| (page - (DELETION - mark)).abs() <= 15 * MINUTE).count();
        assert_eq!(near, 1, "mark {mark}: {:?}", played.pages());
    }
    let after = played.of_key().filter(|n| n.reason == Reason::Countdown && n.at > at(CANCELLED)).count();
    assert_eq!(after, 0, "nobody counts down to what was cancelled");
    let keys: Vec<String> = played.of_key().filter(|n| n.asks_again()).map(|n| n.dedup_key(n.incident.step)).collect();
    let distinct: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "each page has a key of its own");
    let last = played.of_key().filter(|n| n.kind == Kind::Resolve).last().unwrap();
    assert!(played.of_key().all(|n| n.incident.step <= last.incident.step), "the resolve closes every step");
    let better: Vec<&Notification> = played.of_key().filter(|n| n.reason == Reason::Downgraded).collect();
    assert_eq!(better.len(), 1, "KMS says it some seconds before the event does");
    assert_eq!((better[0].kind, better[0].incident.deadline), (Kind::Update, None));
    let pages = played.pages().into_iter().filter(|page| *page >= CANCELLED).count();
    assert_eq!(pages, 0, "good news wakes nobody");
}

#[test]
fn the_card_says_who_needs_the_key_and_who_was_turned_away() {
    let played = Played::play(&policy(), in_order(), false);
    let line = |n: &Notification, label: &str| {
        super::words::facts(n).into_iter().find(|fact| fact.label == label).map(|fact| fact.value)
    };
    let opened = played.of_key().next().unwrap();
    assert_eq!(line(opened, "Used by").as_deref(), Some("role/payments"));
    assert_eq!(line(opened, "Used for").as_deref(), Some("aws:ebs:id=vol-0123456789abcdef0"));
    assert_eq!(line(opened, "Proof of harm"), None);
    let saved = played.of_key().find(|n| n.reason == Reason::Downgraded).unwrap();
    let harm = "2 uses refused, to role/payments; they tried to open aws:ebs:id=vol-0123456789abcdef0";
    assert_eq!(line(saved, "Proof of harm").as_deref(), Some(harm));
    let harm = played.incident().harm.as_ref().unwrap();
    assert_eq!((harm.refused, harm.callers.len()), (3, 1));
}

#[test]
fn what_is_saved_from_deletion_is_still_disabled() {
    let played = Played::play(&policy(), in_order(), false);
    let cancelled = played.of_key().find(|n| n.event.name == "CancelKeyDeletion").unwrap();
    assert_eq!((cancelled.kind, cancelled.reason), (Kind::Update, Reason::Downgraded));
    assert!(super::words::change(cancelled).ends_with("deletion cancelled, key still DISABLED: enable it"));
    assert!(cancelled.undo.as_deref().unwrap().contains("enable-key"));
    assert_eq!((cancelled.incident.state, cancelled.incident.deadline), (State::Open, None));
    assert_eq!(cancelled.key.as_ref().unwrap().state.as_deref(), Some("Disabled"));
}

#[test]
fn duplicates_change_nothing() {
    let plain = Played::play(&policy(), in_order(), true);
    let twice = in_order().into_iter().flat_map(|(when, event)| [(when, event.clone()), (when + 90, event)]).collect();
    let twice = Played::play(&policy(), twice, true);
    twice.check_end();
    assert_eq!(plain.incident(), twice.incident());
    assert_eq!(plain.pages(), twice.pages());
}

#[test]
fn any_order_within_the_lateness_bound_ends_the_same() {
    let policy = policy();
    let plain = Played::play(&policy, in_order(), false);
    let mut random = 7;
    for _ in 0..60 {
        let late = in_order().into_iter().map(|(when, event)| {
            (when + i64::try_from(draw(&mut random, usize::try_from(20 * HOUR).unwrap())).unwrap(), event)
        });
        let mut late: Vec<_> = late.collect();
        shuffle(&mut late, &mut random);
        let late = Played::play(&policy, late, false);
        late.check_end();
        late.check_no_false_resolve();
        let (a, b) = (plain.incident(), late.incident());
        assert_eq!(
            (a.state, a.severity, a.opened_at, a.resolved_at),
            (b.state, b.severity, b.opened_at, b.resolved_at)
        );
        assert_eq!((&a.actors, &a.id, &a.harm), (&b.actors, &b.id, &b.harm));
    }
}

#[test]
fn with_every_second_event_lost_kms_makes_up_for_it() {
    let policy = policy();
    for lost in [0, 1] {
        let heard =
            in_order().into_iter().enumerate().filter(|(n, _)| n % 2 != lost).map(|(_, arrival)| arrival).collect();
        let played = Played::play(&policy, heard, true);
        played.check_end();
        played.check_no_false_resolve();
        // By an event at once, or by asking KMS, which is done every quarter of an hour.
        played.page_within(DISABLED, 21 * MINUTE);
        played.page_within(SCHEDULED, 21 * MINUTE);
        for mark in MARKS {
            played.page_within(DELETION - mark - MINUTE, 16 * MINUTE);
        }
        let counted = played.of_key().filter(|n| n.reason == Reason::Countdown && n.at > at(CANCELLED + 20 * MINUTE));
        assert_eq!(counted.count(), 0);
        let resolved = played.of_key().find(|n| n.kind == Kind::Resolve).unwrap();
        assert!(resolved.at <= at(ENABLED + 31 * MINUTE), "{}", resolved.at);
    }
}

#[test]
fn after_a_long_silence_one_page_tells_the_newest_mark() {
    let policy = policy();
    let mut played = Played::default();
    for (when, event) in in_order().into_iter().filter(|(when, _)| *when < SCHEDULED + HOUR) {
        played.arrive(&policy, event, when);
    }
    // Nothing ran meanwhile: the timers come due all at once.
    let before = played.pages().len();
    let seconds = SCHEDULED + 7 * DAY - 5 * HOUR;
    let again = refused(seconds, "is pending deletion");
    let prepared = Prepared { event: again, marks: vec![], looked_up: None };
    let evaluation = evaluate(&policy, &prepared, at(seconds));
    let decision = played.world.decide(&policy, &[evaluation], at(seconds));
    Played::hear(&mut played.told, decision);
    played.told.retain(|n| n.reason != Reason::Repeat);
    let due = played.world.situations().iter().filter_map(|situation| situation.next_due()).min();
    assert!(due.is_some_and(|due| due <= at(seconds)), "the marks of three days and one day have passed");
    let late = played.world.tick_now(&policy, at(seconds));
    let countdowns = late.deliveries.iter().filter(|d| d.notification.reason == Reason::Countdown).count();
    assert_eq!((countdowns, played.pages().len()), (1, before));
    let next = played.world.situations().iter().filter_map(|situation| situation.next_due()).min();
    assert!(next.is_some_and(|next| next > at(seconds)));
}

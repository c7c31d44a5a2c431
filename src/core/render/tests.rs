use serde_json::{Value, json};

use super::*;
use crate::core::access::{History, Trust, assess, lesson};
use crate::core::decode::decode;

const DISABLE: &str = include_str!("../../../tests/data/events/disable-key.json");
const DENIED: &str = include_str!("../../../tests/data/events/decrypt-denied.json");
const ROTATE: &str = include_str!("../../../tests/data/events/rotate-key-service-event.json");
const DELETION: &str = include_str!("../../../tests/data/events/native-deletion.json");
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn event(body: &str) -> Event {
    decode(body).events.remove(0)
}

/// The fixture of a call with another name, request and response.
fn call(name: &str, request: Value, response: Value) -> Event {
    let mut body: Value = serde_json::from_str(DISABLE).unwrap();
    body["detail"]["eventName"] = json!(name);
    body["detail"]["requestParameters"] = request;
    body["detail"]["responseElements"] = response;
    event(&body.to_string())
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// How long an event may take to come before it counts as late.
const LATE: SignedDuration = SignedDuration::from_mins(15);

#[test]
fn a_grant_says_in_its_summary_whom_it_is_for() {
    let granted = |request: Value| {
        let said = summary(&call("CreateGrant", request, json!(null)));
        let (_, said) = said.split_once(" was granted to ").unwrap();
        said.split_once(" by role/").unwrap().0.to_owned()
    };
    for (named, said) in [
        ("arn:aws:iam::444455556666:role/ci/x", "role/ci/x of account 444455556666"),
        ("arn:aws:iam::111122223333:role/backup", "role/backup"),
        ("arn:aws:iam::444455556666:root", "account 444455556666"),
        ("444455556666", "account 444455556666"),
        ("arn:aws:iam:::x", "x"),
        ("AROA\nEXAMPLE", "AROA EXAMPLE"),
        ("", "somebody"),
    ] {
        assert_eq!(granted(json!({ "granteePrincipal": named })), said, "{named}");
    }
    assert_eq!(granted(json!({ "granteeServicePrincipal": "rds.amazonaws.com" })), "rds.amazonaws.com");
    assert_eq!(granted(json!({ "granteePrincipal": ["x"] })), "somebody");
    assert_eq!(granted(json!(null)), "somebody");
    assert!(granted(json!({ "granteePrincipal": "z".repeat(1000) })).chars().count() <= NAME_CHARS_MAX + 1);
}

#[test]
fn the_summary_says_what_to_which_key_by_whom_from_where() {
    for (body, expected) in [
        (
            DISABLE,
            "alias/orders-db was disabled by role/teams/platform-admin (rowan@example.com) from 192.0.2.44 (111122223333 eu-central-1)",
        ),
        (
            DENIED,
            "Decrypt on 1234abcd-12ab-34cd-56ef-1234567890ab was denied to role/billing-worker (i-0a1b2c3d) from 198.51.100.9 (111122223333 eu-central-1)",
        ),
        (ROTATE, "1234abcd-12ab-34cd-56ef-1234567890ab was rotated by AWS (111122223333 eu-central-1)"),
        (DELETION, "1234abcd-12ab-34cd-56ef-1234567890ab was deleted (111122223333 eu-central-1)"),
    ] {
        assert_eq!(summary(&event(body)), expected);
    }
    let mut failed = event(DISABLE);
    failed.outcome = Outcome::Failed;
    failed.error_code = Some("KMSInvalidStateException".to_owned());
    failed.actor.principal = Some("arn:aws:iam::111122223333:root".to_owned());
    failed.actor.session = None;
    failed.actor.service = Some("cloudformation.amazonaws.com".to_owned());
    assert_eq!(
        summary(&failed),
        "DisableKey on alias/orders-db failed (KMSInvalidStateException) by the root user of 111122223333 through cloudformation.amazonaws.com from 192.0.2.44 (111122223333 eu-central-1)"
    );
    let store = call("DisconnectCustomKeyStore", json!({ "customKeyStoreId": "cks-1" }), json!(null));
    assert!(
        summary(&Event { key: None, ..store }).starts_with("DisconnectCustomKeyStore by role/teams/platform-admin")
    );
}

#[test]
fn a_card_says_who_gained_and_lost_what() {
    let policy = |who: &str, effect: &str| {
        let everything = json!({ "Effect": effect, "Principal": { "AWS": who }, "Action": "kms:*", "Resource": "*" });
        json!({ "policy": json!({ "Statement": [everything] }).to_string() })
    };
    let assessed = |mut event: Event, known: &[&Event]| {
        let mut history = History::default();
        for event in known {
            history.learn(&lesson(event).unwrap().taught);
        }
        assess(&mut event, &Trust::default(), Some(&history));
        details(&event)
    };
    let mut first = call("PutKeyPolicy", policy("111122223333", "Allow"), json!(null));
    first.time = at("2026-01-01T00:00:00Z");
    let second = call("PutKeyPolicy", policy("444455556666", "Allow"), json!(null));
    let shown = assessed(second.clone(), &[&first]);
    assert_eq!(shown["access gained"], "account 444455556666 (external) gained everything");
    assert_eq!(shown["access lost"], "the account itself lost everything");
    assert_eq!(shown["access warning"], "strangers are let in; nobody of the account may change the policy any more");
    let shown = assessed(second.clone(), &[]);
    assert_eq!(shown["access given"], "account 444455556666 (external) has everything");
    assert!(!shown.contains_key("access gained"));
    let mut again = second.clone();
    again.id = crate::core::event::EventId("later".to_owned());
    again.time = at("2027-01-01T00:00:00Z");
    assert_eq!(assessed(again, &[&second])["access"], "as before");
    let shown = assessed(call("PutKeyPolicy", policy("*", "Allow"), json!(null)), &[]);
    assert_eq!(shown["access warning"], "anybody in any account is let in");
    let shown = assessed(call("PutKeyPolicy", policy("*", "Perhaps"), json!(null)), &[]);
    assert_eq!(shown["not understood"], "statement 1: its Effect is Perhaps");

    let many: Vec<String> =
        (0..40).map(|n| format!("arn:aws:iam::444455556666:role/{n}\u{202e}{}", "y".repeat(600))).collect();
    let crowd = json!({ "Effect": "Allow", "Principal": { "AWS": many }, "Action": "kms:Sign", "Resource": "*" });
    let shown = assessed(call("PutKeyPolicy", json!({ "policy": { "Statement": crowd } }), json!(null)), &[]);
    let text = &shown["access given"];
    assert!(text.chars().count() < 1000 && text.ends_with("; and 34 more") && !text.contains('\u{202e}'), "{text}");

    let request = |constraints: Value| json!({ "granteePrincipal": "arn:aws:iam::444455556666:role/x", "operations": ["CreateGrant"], "constraints": constraints });
    let shown = assessed(call("CreateGrant", request(json!(null)), json!(null)), &[]);
    assert_eq!(
        shown["grant warning"],
        "the grantee is a stranger; the grantee may make grants in turn; no constraint narrows it"
    );
    let shown = assessed(call("CreateGrant", request(json!({ "sourceArn": "arn:aws:s3:::x" })), json!(null)), &[]);
    assert_eq!(shown["grant warning"], "the grantee is a stranger; the grantee may make grants in turn");
}

#[test]
fn cards_are_bounded_and_harmless() {
    let mut body: Value = serde_json::from_str(DISABLE).unwrap();
    let hostile = format!("x\u{202e}\n<!channel>{}", "y".repeat(100_000));
    body["detail"]["userAgent"] = json!(hostile);
    body["detail"]["errorCode"] = json!(hostile);
    body["detail"]["errorMessage"] = json!(hostile);
    body["detail"]["eventName"] = json!(hostile);
    body["detail"]["requestParameters"] =
        json!({ "description": hostile, "granteePrincipal": hostile, "operations": vec!["z".repeat(1000); 50] });
    body["account"] = json!(hostile);
    let event = event(&body.to_string());
    let card = card(&event, event.time, LATE);
    let text = serde_json::to_string(&card).unwrap();
    assert!(text.len() < 6000, "{}", text.len());
    assert!(!text.contains("\\n") && !text.contains('\u{202e}'));
    assert!(summary(&event).chars().count() < 900);
    assert_eq!(card.details["description"].chars().count(), TEXT_CHARS_MAX + 1, "and the ellipsis");
}

#[test]
fn a_card_tells_what_the_event_tells() {
    let card = card(&event(DENIED), at("2026-03-02T11:00:30Z"), LATE);
    assert_eq!((card.name.as_str(), card.outcome, card.late), ("Decrypt", Outcome::Denied, None));
    assert_eq!(card.error_code.as_deref(), Some("AccessDenied"));
    assert_eq!(card.actor.principal.as_deref(), Some("arn:aws:iam::111122223333:role/billing-worker"));
    assert!(card.error_message.unwrap().ends_with("because no resource-based policy allows the kms:Decrypt action"));
}

#[test]
fn deletions_tell_their_deadline() {
    let scheduled = call(
        "ScheduleKeyDeletion",
        json!({ "keyId": KEY, "pendingWindowInDays": 7 }),
        json!({ "deletionDate": "Mar 9, 2026, 10:15:30 PM", "keyState": "PendingDeletion" }),
    );
    let said = details(&scheduled);
    assert_eq!(said["waiting period"], "7 days");
    assert_eq!(said["deletion date"], "2026-03-09 22:15:30 UTC or up to 24 hours later");

    let primary =
        details(&call("ScheduleKeyDeletion", json!({ "keyId": KEY }), json!({ "keyState": "PendingReplicaDeletion" })));
    assert_eq!(primary["waiting period"], "30 days (the default)");
    assert!(primary["waits for"].contains("replica") && !primary.contains_key("deletion date"));

    let odd = details(&call("ScheduleKeyDeletion", json!({}), json!({ "deletionDate": "in a\nweek" })));
    assert_eq!(odd["deletion date"], "in a week or up to 24 hours later", "what cannot be read is shown");
}

#[test]
fn other_calls_tell_what_matters() {
    let grant = details(&call(
        "CreateGrant",
        json!({ "granteePrincipal": "arn:aws:iam::444455556666:role/x", "operations": ["Decrypt", "CreateGrant"] }),
        json!({ "grantId": "0a1b" }),
    ));
    assert_eq!(
        (grant["grantee"].as_str(), grant["granted operations"].as_str(), grant["grant"].as_str()),
        ("arn:aws:iam::444455556666:role/x", "Decrypt, CreateGrant", "0a1b")
    );

    for (value, shown) in [(json!(true), true), (json!("true"), true), (json!(false), false), (json!(null), false)] {
        let policy = details(&call("PutKeyPolicy", json!({ "bypassPolicyLockoutSafetyCheck": value }), json!(null)));
        assert_eq!(policy.contains_key("policy lockout check"), shown, "{value}");
    }
    let rotation = details(&event(ROTATE));
    assert_eq!((rotation["rotation"].as_str(), rotation["key material"].as_str()), ("AUTOMATIC", "00aa11bb22cc33dd"));

    let context =
        details(&call("Decrypt", json!({ "encryptionContext": { "aws:ebs:id": "vol-1", "odd": {} } }), json!(null)));
    assert_eq!(context["encryption context"], "aws:ebs:id=vol-1");

    let tags =
        details(&call("TagResource", json!({ "tags": [{ "tagKey": "env", "tagValue": "dev" }, 5] }), json!(null)));
    assert_eq!(tags["tags"], "env=dev");
}

#[test]
fn undo_commands_are_built_from_sound_arns_only() {
    let enable = format!("aws kms enable-key --key-id {KEY} --region eu-central-1");
    assert_eq!(undo_command("DisableKey", KEY).as_deref(), Some(enable.as_str()));
    assert_eq!(
        undo_command("ScheduleKeyDeletion", KEY),
        Some(format!("aws kms cancel-key-deletion --key-id {KEY} --region eu-central-1 && {enable}"))
    );
    assert_eq!(undo_command("CancelKeyDeletion", KEY), Some(enable));
    assert!(undo_command("DisableKeyRotation", KEY).unwrap().contains("enable-key-rotation"));
    assert_eq!(undo_command("Decrypt", KEY), None);
    for arn in [
        "arn:aws:kms:eu-central-1:111122223333:key/1234;reboot",
        "arn:aws:kms:eu-central-1:111122223333:key/1234 --policy x",
        "arn:aws:kms:$(reboot):111122223333:key/1234abcd",
        "arn:aws:kms:eu-central-1:111122223333:alias/app",
        "alias/app",
        "",
    ] {
        assert_eq!(undo_command("DisableKey", arn), None, "{arn}");
    }
}

#[test]
fn only_a_success_is_undone() {
    assert!(undo(&event(DISABLE)).is_some());
    let mut denied = event(DISABLE);
    denied.outcome = Outcome::Denied;
    assert_eq!(undo(&denied), None);
    let mut elsewhere = event(DISABLE);
    elsewhere.source = "shop".to_owned();
    assert_eq!(undo(&elsewhere), None);

    let grant = |id: &str| undo(&call("CreateGrant", json!({}), json!({ "grantId": id })));
    assert_eq!(
        grant("0a1b2c"),
        Some(format!("aws kms revoke-grant --key-id {KEY} --grant-id 0a1b2c --region eu-central-1"))
    );
    assert_eq!(grant("0a;reboot"), None);
    let store = |id: &str| undo(&call("DisconnectCustomKeyStore", json!({ "customKeyStoreId": id }), json!(null)));
    assert_eq!(
        store("cks-1a2b").as_deref(),
        Some("aws kms connect-custom-key-store --custom-key-store-id cks-1a2b --region eu-central-1")
    );
    assert_eq!(store("cks-`id`"), None);
}

#[test]
fn links_lead_to_the_partitions_console() {
    let of = |arn: &str, region: &str| {
        let mut event = event(DISABLE);
        event.region = Some(region.to_owned());
        event.key.as_mut().unwrap().arn = Some(arn.to_owned());
        links(&event).into_iter().map(|link| link.href).collect::<Vec<_>>()
    };
    assert_eq!(
        of(KEY, "eu-central-1"),
        [
            "https://eu-central-1.console.aws.amazon.com/kms/home?region=eu-central-1#/kms/keys/1234abcd-12ab-34cd-56ef-1234567890ab",
            "https://eu-central-1.console.aws.amazon.com/cloudtrailv2/home?region=eu-central-1#/events?EventId=0b1c2d3e-0000-4000-8000-00000000c001",
        ]
    );
    let china = of("arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd", "cn-north-1");
    assert!(china.iter().all(|href| href.starts_with("https://cn-north-1.console.amazonaws.cn/")), "{china:?}");
    let gov = of("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1234abcd", "us-gov-west-1");
    assert!(gov.iter().all(|href| href.starts_with("https://us-gov-west-1.console.amazonaws-us-gov.com/")), "{gov:?}");
    assert!(of("arn:aws-iso:kms:us-iso-east-1:111122223333:key/1234abcd", "us-iso-east-1").is_empty());
    assert!(of("arn:aws:kms:evil.example.com/:111122223333:key/1234abcd", "evil.example.com").is_empty());
    assert!(
        of("arn:aws-cn:kms:eu-central-1:111122223333:key/1234abcd", "x").is_empty(),
        "partition and Region disagree"
    );

    let mut managed = event(DISABLE);
    managed.key.as_mut().unwrap().manager = Some("AWS".to_owned());
    assert!(links(&managed)[0].href.contains("#/kms/defaultKeys/"));
    managed.document["detail"]["eventID"] = json!("1&x=<y>");
    assert_eq!(links(&managed).len(), 1);
}

#[test]
fn late_events_say_by_how_much() {
    let mut event = event(DISABLE);
    assert_eq!(late_text(&event, at("2026-03-02T10:30:00Z"), LATE), None, "a few minutes are usual");
    assert_eq!(late_text(&event, at("2026-03-02T13:20:00Z"), LATE).as_deref(), Some("late by 3 h"));
    event.late = Some(Late::Addendum { reason: "DELIVERY_DELAY".to_owned(), original: None });
    for (now, expected) in [
        ("2026-03-02T13:20:00Z", "late by 3 h (DELIVERY_DELAY)"),
        ("2026-03-02T10:32:30Z", "late by 17 min (DELIVERY_DELAY)"),
        ("2026-03-04T14:30:00Z", "late by 2 d 4 h (DELIVERY_DELAY)"),
        ("2026-03-04T10:20:00Z", "late by 2 d (DELIVERY_DELAY)"),
        ("2026-03-02T10:00:00Z", "late (DELIVERY_DELAY)"),
    ] {
        assert_eq!(late_text(&event, at(now), LATE).as_deref(), Some(expected));
    }
    event.late = Some(Late::Replay { name: "after\u{202e} outage".to_owned() });
    assert_eq!(
        card(&event, at("2026-03-02T13:20:00Z"), LATE).late.as_deref(),
        Some("late by 3 h (replay after outage)")
    );
}

#[test]
fn keys_for_cards_are_bounded() {
    let many = KeyRef {
        aliases: (0..1000).map(|n| format!("alias/{n}\u{202e}")).collect(),
        tags: (0..1000).map(|n| (n.to_string(), "v".repeat(10_000))).collect(),
        ..event(DISABLE).key.unwrap()
    };
    let shown = key(&many);
    assert_eq!((shown.aliases.len(), shown.tags.len(), shown.arn.as_deref()), (PARTS_MAX, PARTS_MAX, Some(KEY)));
    assert_eq!(shown.aliases[0], "alias/0");
}

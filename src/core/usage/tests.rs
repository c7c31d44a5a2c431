use super::*;
use crate::core::decode::decode;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_793_610_000 + minutes * 60).unwrap()
}

fn used(key: usize, who: &str, minute: i64) -> Sighting<'static> {
    let key = format!("arn:aws:kms:eu-central-1:111122223333:key/{key}");
    Sighting { key: key.into(), at: at(minute), who: Some(who.to_owned().into()), hints: vec![] }
}

fn body(name: &str, code: Option<&str>) -> String {
    let mut detail = serde_json::json!({
        "eventName": name, "eventSource": "kms.amazonaws.com", "eventTime": "2026-11-02T09:00:00Z", "readOnly": true,
        "eventID": "1", "recipientAccountId": "111122223333",
        "userIdentity": {
            "type": "AssumedRole", "accountId": "111122223333", "arn": "arn:aws:sts::111122223333:assumed-role/payments/i-1",
            "sessionContext": { "sessionIssuer": { "type": "Role", "arn": "arn:aws:iam::111122223333:role/payments" } }
        },
        "requestParameters": { "encryptionContext": { "aws:ebs:id": "vol-1", "colour": "red" } },
        "resources": [{ "ARN": KEY, "type": "AWS::KMS::Key" }]
    });
    if let Some(code) = code {
        detail["errorCode"] = code.into();
    }
    serde_json::json!({
        "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": "2026-11-02T09:00:00Z",
        "account": "111122223333", "region": "eu-central-1", "detail": detail
    })
    .to_string()
}

#[test]
fn a_glance_sees_what_the_full_decode_sees() {
    for name in ["Decrypt", "GenerateDataKey", "DisableKey", "DescribeKey"] {
        for code in [None, Some("DisabledException")] {
            let body = body(name, code);
            let event = decode(&body).events.remove(0);
            let full = Sighting::of(&event);
            let mut seen = None;
            peeked(&body, |sighting| seen = Some(format!("{sighting:?}")));
            assert_eq!(seen, full.as_ref().map(|sighting| format!("{sighting:?}")), "{name} {code:?}");
            assert_eq!(full.is_some(), code.is_none() && name != "DisableKey" && name != "DescribeKey", "{name}");
        }
    }
    let body = body("Decrypt", None);
    let event = decode(&body).events.remove(0);
    let sighting = Sighting::of(&event).unwrap();
    assert_eq!(sighting.who.as_deref(), Some("arn:aws:iam::111122223333:role/payments"));
    assert_eq!(sighting.hints, ["aws:ebs:id=vol-1"], "only what services say");
}

#[test]
fn the_newest_users_are_told_first_and_kept() {
    let mut usage = Usage::default();
    for n in 0..150 {
        usage.learn(&used(1, &format!("role/{n}"), n));
    }
    usage.learn(&used(1, "role/60", 200));
    let known = usage.of("arn:aws:kms:eu-central-1:111122223333:key/1", at(200)).unwrap();
    assert_eq!(known.users.len(), USERS_MAX);
    assert_eq!(known.users[0], ("role/60".to_owned(), at(200)));
    assert_eq!(known.users[1].0, "role/149");
    assert!(!known.users.iter().any(|(who, _)| who == "role/0"));
    let later = usage.of("arn:aws:kms:eu-central-1:111122223333:key/1", at(200 + 91 * 24 * 60)).unwrap();
    assert_eq!((later.users.len(), later.last), (0, Some(at(200))), "decayed");
}

#[test]
fn what_is_written_reads_back() {
    let mut usage = Usage::default();
    usage.learn(&used(1, "role/a", 5));
    usage.learn(&Sighting { hints: vec!["aws:ebs:id=vol-1".to_owned()], ..used(1, "role/b", 7) });
    let written = usage.unwritten(at(7), 10);
    assert_eq!(written.len(), 1);
    assert!(usage.unwritten(at(7), 10).is_empty(), "told once");
    usage.learn(&used(1, "role/a", 8));
    assert!(usage.unwritten(at(8), 10).is_empty(), "the same again, so soon, is not worth it");
    usage.learn(&used(1, "role/a", 90));
    assert_eq!(usage.unwritten(at(90), 10).len(), 1);
    let mut again = Usage::default();
    for (arn, kept) in &written {
        let text = serde_json::to_string(kept).unwrap();
        again.restore(arn, &serde_json::from_str(&text).unwrap());
        assert_eq!(again.of(arn, at(7)).as_ref(), Some(kept));
    }
}

#[test]
fn what_had_to_go_leaves_its_time_behind() {
    let arn = |key: usize| format!("arn:aws:kms:eu-central-1:111122223333:key/{key}");
    let mut usage = Usage::default();
    for n in 0..USERS_MAX {
        usage.learn(&used(1, &format!("role/{n}"), i64::try_from(n).unwrap() + 10));
    }
    assert_eq!((usage.forgotten(&arn(1)), usage.forgotten(&arn(2))), (None, None));
    usage.learn(&used(1, "role/late", 3));
    assert_eq!(usage.forgotten(&arn(1)), Some(at(3)), "there was no room for it");
    usage.learn(&used(1, "role/new", 500));
    assert_eq!(usage.forgotten(&arn(1)), Some(at(10)), "it took the place of the oldest");
    let written = usage.unwritten(at(500), 10);
    let mut again = Usage::default();
    again.restore(&arn(1), &written[&arn(1)]);
    assert_eq!(again.forgotten(&arn(1)), Some(at(10)), "it outlives a restart");

    for n in 0..=KEYS_MAX {
        usage.learn(&used(n + 2, "role/a", i64::try_from(n).unwrap() + 1_000));
    }
    let gone = usage.forgotten(&arn(2)).expect("it was not used for longest but one");
    assert!(gone >= at(1_000) && usage.of(&arn(2), at(20_000)).is_none());
    assert_eq!(usage.forgotten(&arn(KEYS_MAX + 2)), Some(gone), "whoever comes later may have been there before");
    usage.learn(&used(2, "role/b", 20_000));
    assert_eq!(usage.forgotten(&arn(2)), Some(gone), "its earlier users are not known any more");
    // What was kept, and finds no room, is not there either.
    let mut full = Usage::default();
    for n in 0..KEYS_MAX {
        full.learn(&used(n, "role/a", 1));
    }
    full.restore(&arn(KEYS_MAX), &KeyUsage { last: Some(at(7)), ..KeyUsage::default() });
    assert_eq!(full.forgotten(&arn(KEYS_MAX)), Some(at(7)));
}

#[test]
fn what_was_kept_joins_what_was_learnt_meanwhile() {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1";
    let mut usage = Usage::default();
    usage.learn(&used(1, "role/new", 9));
    let kept = vec![("role/new".to_owned(), at(3)), ("role/old".to_owned(), at(2))];
    usage.restore(arn, &KeyUsage { users: kept, last: Some(at(3)), ..KeyUsage::default() });
    let known = usage.of(arn, at(9)).unwrap();
    assert_eq!(known.users, [("role/new".to_owned(), at(9)), ("role/old".to_owned(), at(2))]);
    assert_eq!((known.last, usage.unwritten(at(9), 10).len()), (Some(at(9)), 1));
}

#[test]
fn keys_and_names_are_bounded() {
    let mut usage = Usage::default();
    for n in 0..KEYS_MAX + 500 {
        usage.learn(&used(n, &format!("role/{}", n % 7), i64::try_from(n).unwrap()));
    }
    assert!(usage.len() <= KEYS_MAX);
    let newest = format!("arn:aws:kms:eu-central-1:111122223333:key/{}", KEYS_MAX + 499);
    assert!(usage.of(&newest, at(20_000)).is_some());
    assert!(usage.of("arn:aws:kms:eu-central-1:111122223333:key/0", at(20_000)).is_none());
}

#[test]
fn a_flood_of_made_up_names_takes_no_more_memory() {
    let mut usage = Usage::default();
    for n in 0..600_000_usize {
        usage.learn(&used(
            n % 9_000,
            &format!("arn:aws:iam::111122223333:role/made-up/{n}"),
            i64::try_from(n / 1000).unwrap(),
        ));
    }
    let newest = usage.of("arn:aws:kms:eu-central-1:111122223333:key/0", at(600)).unwrap();
    assert!(newest.users.iter().all(|(who, _)| who.starts_with("arn:aws:iam::")), "{:?}", newest.users);
    assert!(!usage.texts.is_full());
}

#[test]
fn a_refusal_is_the_proof_that_the_key_is_needed() {
    let refused_by = |name: &str, code: &str, message: &str| {
        let mut envelope: serde_json::Value = serde_json::from_str(&body(name, Some(code))).unwrap();
        envelope["detail"]["errorMessage"] = message.into();
        refused(&decode(&envelope.to_string()).events.remove(0))
    };
    let words = format!("{KEY} is disabled.");
    let proof = refused_by("Decrypt", "DisabledException", &words).unwrap();
    assert_eq!(proof.who.as_deref(), Some("arn:aws:iam::111122223333:role/payments"));
    assert_eq!(proof.things, ["aws:ebs:id=vol-1"]);
    assert_eq!(refused_by("EnableKeyRotation", "DisabledException", &words), None, "that needs no key material");
    assert_eq!(refused_by("Decrypt", "AccessDenied", "User: x is not authorized to perform: kms:Decrypt"), None);
    assert_eq!(refused_by("Decrypt", "InvalidCiphertextException", ""), None);

    let volume = "arn:aws:ec2:eu-central-1:111122223333:volume/vol-0123456789abcdef0";
    let mut failed = serde_json::json!({
        "source": "aws.ec2", "detail-type": "EBS Volume Notification", "time": "2026-11-02T09:00:00Z", "id": "1",
        "account": "111122223333", "region": "eu-central-1", "resources": [volume],
        "detail": { "event": "attachVolume", "result": "failed", "cause": words, "request-id": "" }
    });
    let proof = refused(&decode(&failed.to_string()).events.remove(0)).unwrap();
    assert_eq!((proof.who, proof.things), (None, vec![volume.to_owned()]));
    failed["detail"]["cause"] = "Insufficient capacity.".into();
    assert_eq!(refused(&decode(&failed.to_string()).events.remove(0)), None);
}

#[test]
fn harm_is_the_same_in_any_order_and_bounded() {
    let uses: Vec<(Refused, Timestamp)> = (0..50)
        .map(|n| {
            let (who, things) = (Some(format!("role/{n:02}")), vec![format!("aws:ebs:id=vol-{:02}", n % 30)]);
            (Refused { who, things }, at(n))
        })
        .collect();
    let mut forth = Harm::default();
    for (refused, at) in &uses {
        forth.add(refused, *at);
    }
    let mut back = Harm::default();
    for (refused, at) in uses.iter().rev() {
        back.add(refused, *at);
    }
    assert_eq!(forth, back);
    assert_eq!((forth.refused, forth.callers.len(), forth.things.len(), forth.last), (50, 20, 20, Some(at(49))));
}

#[test]
fn a_card_shows_the_newest_and_how_many_more() {
    let mut usage = Usage::default();
    for n in 0..30 {
        usage.learn(&used(1, &format!("role/{n}"), n));
    }
    let known = usage.of("arn:aws:kms:eu-central-1:111122223333:key/1", at(30)).unwrap();
    let card = InUse::seen(&known);
    assert_eq!((card.users.shown.len(), card.users.more, card.users.shown[0].as_str()), (8, 22, "role/29"));
    assert!(InUse::default().is_empty() && !card.is_empty());
}

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde_json::{Value, json};

use super::*;
use crate::base::aws::fake::{Reply, Request, Server};
use crate::base::clock::ManualClock;
use crate::core::event::KeyRef;

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn scope() -> Scope {
    Scope { account: None, region: "eu-central-1".to_owned() }
}

fn inspector(server: &Server) -> Inspector {
    let config: Config = toml::from_str(&format!("endpoint = \"{}\"", server.url)).unwrap();
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    Inspector::new(&config, &Access::unchecked(), Arc::new(clock))
}

fn metadata(request: &Request, more: &Value) -> Reply {
    let arn = request.body["KeyId"].as_str().unwrap();
    let mut key = json!({
        "Arn": arn, "KeyId": arn.rsplit('/').next(), "KeyState": "Enabled", "KeyManager": "CUSTOMER",
        "Origin": "EXTERNAL", "KeySpec": "SYMMETRIC_DEFAULT", "CreationDate": 1_700_000_000.0, "MultiRegion": false,
    });
    for (name, value) in more.as_object().unwrap() {
        key[name] = value.clone();
    }
    Reply::ok(&json!({ "KeyMetadata": key }))
}

/// What a KMS that allows everything answers.
fn generous(request: &Request) -> Reply {
    match request.operation.as_str() {
        "DescribeKey" => {
            metadata(request, &json!({"ValidTo": 1_800_000_000.0, "ExpirationModel": "KEY_MATERIAL_EXPIRES"}))
        }
        "ListKeys" if request.body["Marker"].is_null() => Reply::ok(&json!({
            "Keys": [{"KeyArn": ARN, "KeyId": "x"}], "Truncated": true, "NextMarker": "2"})),
        "ListKeys" => Reply::ok(&json!({"Keys": [], "Truncated": false})),
        "ListAliases" => Reply::ok(&json!({"Aliases": [
            {"AliasName": "alias/z", "TargetKeyId": "1234abcd"}, {"AliasName": "alias/a", "TargetKeyId": "1234abcd"},
            {"AliasName": "alias/aws/nothing"}], "Truncated": false})),
        "ListResourceTags" => Reply::ok(&json!({"Tags": [{"TagKey": "team", "TagValue": "pay"}], "Truncated": false})),
        "GetKeyRotationStatus" => Reply::ok(&json!({"KeyRotationEnabled": false})),
        "ListKeyRotations" => Reply::ok(&json!({"Rotations": [
            {"KeyMaterialId": "m1", "ImportState": "PENDING_IMPORT", "KeyMaterialState": "NON_CURRENT"},
            {"KeyMaterialId": "m2", "RotationDate": 1_750_000_000.0, "RotationType": "ON_DEMAND"}], "Truncated": false})),
        "GetKeyPolicy" => Reply::ok(&json!({"Policy": "{}", "PolicyName": "default"})),
        "ListGrants" => Reply::ok(&json!({"Grants": [{
            "GrantId": "g", "GranteePrincipal": "arn:aws:iam::111122223333:role/app", "Operations": ["Encrypt", "Decrypt"],
            "Constraints": {"EncryptionContextSubset": {"a": "b"}}}], "Truncated": false})),
        "GetKeyLastUsage" => {
            Reply::ok(&json!({"KeyId": ARN, "TrackingStartDate": 1_760_000_000.0, "KeyLastUsage": {}}))
        }
        other => panic!("unexpected: {other}"),
    }
}

#[tokio::test]
async fn everything_is_read_of_a_key() {
    let server = Server::start(|request, _| generous(request)).await;
    let inspector = inspector(&server);
    let seen = inspector.look(&scope(), ARN, Wants::ALL).await;
    let details = seen.details.known().unwrap();
    assert_eq!(details.valid_to.unwrap().as_second(), 1_800_000_000);
    assert_eq!(seen.aliases, Part::Known(vec!["alias/a".into(), "alias/aws/nothing".into(), "alias/z".into()]));
    assert_eq!(seen.tags.known().unwrap()["team"], "pay");
    assert_eq!(seen.rotations.known().unwrap()[0].import_state.as_deref(), Some("PENDING_IMPORT"));
    assert_eq!(seen.last_rotation().unwrap().as_second(), 1_750_000_000);
    assert_eq!(seen.policy, Part::Known("{}".to_owned()));
    let grant = &seen.grants.known().unwrap().all[0];
    assert!(grant.constrained && grant.operations == ["Decrypt", "Encrypt"], "{grant:?}");
    let tracked = "2025-10-09T08:53:20Z".parse().ok();
    assert_eq!(seen.last_usage, Part::Known(LastUsage { tracked_from: tracked, ..LastUsage::default() }));
    assert!(seen.gaps().is_empty(), "{:?}", seen.gaps());
    assert_eq!(inspector.calls().values().sum::<u64>(), 8);
}

#[tokio::test]
async fn only_what_is_wanted_and_makes_sense_is_asked() {
    let server = Server::start(|request, _| match request.operation.as_str() {
        "DescribeKey" if request.body["KeyId"].as_str().unwrap().ends_with("aaaa") => {
            metadata(request, &json!({"KeyManager": "AWS"}))
        }
        "DescribeKey" => metadata(request, &json!({"KeySpec": "RSA_2048"})),
        _ => generous(request),
    })
    .await;
    let inspector = inspector(&server);
    let wants = Wants { policy: true, rotation: true, rotations: true, ..Wants::NOTHING };
    let seen = inspector.look(&scope(), ARN, wants).await;
    assert!(seen.policy.known().is_some() && seen.rotation == Part::NotAsked && seen.rotations == Part::NotAsked);
    let theirs = ARN.replace("1234567890ab", "aaaa");
    assert_eq!(
        inspector.look(&scope(), &theirs, Wants { managed_by_aws: false, ..Wants::ALL }).await.policy,
        Part::NotAsked
    );
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn keys_and_aliases_come_page_by_page() {
    let server = Server::start(|request, _| generous(request)).await;
    let inspector = inspector(&server);
    let first = inspector.list(&scope(), None).await;
    assert_eq!(first, Part::Known(Page { keys: vec![ARN.to_owned()], next: Some("2".to_owned()) }));
    let last = inspector.list(&scope(), Some("2")).await;
    assert_eq!(last, Part::Known(Page::default()));
    let aliases = inspector.aliases(&scope()).await;
    assert_eq!(aliases.known().unwrap()["1234abcd"], ["alias/a", "alias/z"]);
}

#[tokio::test]
async fn each_permission_may_be_missing_by_itself_and_is_asked_once() {
    let why = "User: arn:aws:iam::111122223333:user/x is not authorized because no identity-based policy allows it";
    for denied in [
        "DescribeKey",
        "ListAliases",
        "ListResourceTags",
        "GetKeyRotationStatus",
        "ListKeyRotations",
        "GetKeyPolicy",
        "ListGrants",
        "GetKeyLastUsage",
    ] {
        let server = Server::start(move |request, _| match request.operation.as_str() {
            name if name == denied => Reply::error(400, "AccessDeniedException", why),
            _ => generous(request),
        })
        .await;
        let inspector = inspector(&server);
        for _ in 0..2 {
            let seen = inspector.look(&scope(), ARN, Wants::ALL).await;
            let permission = format!("kms:{denied}");
            assert_eq!(seen.gaps(), [(permission.as_str(), "denied")]);
        }
        assert_eq!(server.count(denied), 1, "{denied}");
        let refusals = inspector.refusals();
        assert!(refusals.len() == 1 && refusals[0].why.contains("identity-based"), "{refusals:?}");
    }
}

#[tokio::test]
async fn keys_that_deny_themselves_hide_no_other_key() {
    let number = |request: &Request| {
        let id = request.body["KeyId"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        u32::from_str_radix(id.get(..8).unwrap(), 16).unwrap()
    };
    let server = Server::start(move |request, _| match number(request) {
        5..17 => Reply::error(400, "AccessDeniedException", "no, because no resource-based policy allows the action"),
        20 => metadata(request, &json!({"KeyState": "PendingDeletion"})),
        _ => metadata(request, &json!({})),
    })
    .await;
    let inspector = inspector(&server);
    for round in 1..=2 {
        for number in 0..24_u32 {
            let arn = ARN.replace("1234abcd", &format!("{number:08x}"));
            let seen = inspector.look(&scope(), &arn, Wants::NOTHING).await;
            match number {
                5..17 => assert_eq!(seen.details, Part::Denied, "{number}"),
                _ => assert!(seen.details.known().is_some(), "{number}: {:?}", seen.details),
            }
            assert_eq!(number == 20, seen.key().state.as_deref() == Some("PendingDeletion"));
        }
        assert_eq!(server.count("DescribeKey"), 24 * round - 12 * (round - 1), "who denied is left alone for a while");
    }
    assert_eq!(inspector.refusals()[0].keys, Some(12));
}

#[tokio::test]
async fn who_is_throttled_comes_again_more_slowly() {
    let throttled = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&throttled);
    let server = Server::start(move |request, _| match request.operation.as_str() {
        "GetKeyPolicy" if times.fetch_add(1, Ordering::SeqCst) < 2 => {
            Reply::error(400, "ThrottlingException", "Rate exceeded")
        }
        _ => generous(request),
    })
    .await;
    let begun = std::time::Instant::now();
    let seen = inspector(&server).look(&scope(), ARN, Wants { policy: true, ..Wants::NOTHING }).await;
    assert_eq!(seen.policy, Part::Known("{}".to_owned()));
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_key_that_is_gone_and_a_call_that_is_unknown_are_said() {
    let server = Server::start(|request, _| match request.operation.as_str() {
        "DescribeKey" if request.body["KeyId"].as_str().unwrap().ends_with("aaaa") => {
            Reply::error(400, "NotFoundException", "no such key")
        }
        "GetKeyLastUsage" => Reply::error(400, "UnknownOperationException", ""),
        _ => generous(request),
    })
    .await;
    let inspector = inspector(&server);
    let gone = inspector.look(&scope(), &ARN.replace("1234567890ab", "aaaa"), Wants::ALL).await;
    assert!(gone.is_gone() && gone.tags == Part::NotAsked);
    for _ in 0..2 {
        let seen = inspector.look(&scope(), ARN, Wants { last_usage: true, ..Wants::NOTHING }).await;
        assert_eq!(seen.last_usage.gap(), Some("KMS does not know this call here"));
    }
    assert_eq!(server.count("GetKeyLastUsage"), 1);
}

#[tokio::test]
async fn what_is_no_arn_of_a_key_is_not_asked_for() {
    let server = Server::start(|request, _| generous(request)).await;
    let seen = inspector(&server).look(&scope(), "arn:aws:kms:$(id):1:key/x", Wants::ALL).await;
    assert!(seen.details.gap().is_some() && server.requests().is_empty());
}

#[tokio::test]
async fn a_page_does_not_wait_behind_a_sweep() {
    let server = Server::start(|request, _| match request.operation.as_str() {
        "DescribeKey" if request.body["KeyId"] != ARN => metadata(request, &json!({})).after(Duration::from_mins(1)),
        _ => generous(request),
    })
    .await;
    let inspector = inspector(&server);
    let mut sweep = tokio::task::JoinSet::new();
    for number in 0..KEYS_MAX * 3 {
        let (inspector, other) = (inspector.clone(), ARN.replace("1234567890ab", &format!("{number:012}")));
        sweep.spawn(async move { inspector.look(&scope(), &other, Wants::NOTHING).await });
    }
    while server.requests().len() < KEYS_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let key = KeyRef { arn: Some(ARN.to_owned()), region: Some("eu-central-1".to_owned()), ..KeyRef::default() };
    let until = Instant::now() + crate::keys::RECORDED_WITHIN;
    let recorded = crate::keys::recorded_use(&inspector, &key, until).await.unwrap();
    assert!(recorded.last_usage.known().is_some() && recorded.grants.known().is_some(), "{recorded:?}");
    let asked = server.requests().iter().filter(|request| request.operation == "DescribeKey").count();
    assert_eq!(asked, KEYS_MAX + 1, "the sweep keeps to its turns");
}

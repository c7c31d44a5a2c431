use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::base::aws::Access;
use crate::base::aws::fake::{Reply, Request, Server};
use crate::base::clock::ManualClock;
use crate::core::enrich::KeyDetails;

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn key(account: &str, id: &str) -> KeyRef {
    KeyRef { arn: Some(format!("arn:aws:kms:eu-central-1:{account}:key/{id}")), ..KeyRef::default() }
}

fn lookups(server: &Server, toml: &str) -> Lookups {
    let config: Config = toml::from_str(&format!("endpoint = \"{}\"\n{toml}", server.url)).unwrap();
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    Lookups::new(&config, &Access::unchecked(), Arc::new(clock), vec!["111122223333".to_owned()])
}

/// What a KMS that allows everything answers.
fn generous(request: &Request) -> Reply {
    let arn = request.body["KeyId"].as_str().unwrap();
    match request.operation.as_str() {
        "DescribeKey" => Reply::ok(&json!({"KeyMetadata": {
            "Arn": arn, "KeyId": arn.rsplit('/').next(), "KeyState": "PendingDeletion", "KeyManager": "CUSTOMER",
            "Origin": "EXTERNAL", "MultiRegion": true, "DeletionDate": 1_800_000_000.5}})),
        "ListAliases" if request.body["Marker"].is_null() => Reply::ok(&json!({
            "Aliases": [{"AliasName": "alias/z"}], "Truncated": true, "NextMarker": "2"})),
        "ListAliases" => Reply::ok(&json!({"Aliases": [{"AliasName": "alias/a"}], "Truncated": false})),
        "ListResourceTags" => Reply::ok(&json!({"Tags": [{"TagKey": "team", "TagValue": "pay"}], "Truncated": false})),
        other => panic!("unexpected: {other}"),
    }
}

fn known(lookup: Lookup) -> KeyDetails {
    match lookup {
        Lookup::Known(details) => *details,
        other => panic!("not known: {other:?}"),
    }
}

#[tokio::test]
async fn a_key_is_read_whole_and_once() {
    let server = Server::start(|request, _| generous(request)).await;
    let lookups = lookups(&server, "");
    let details = known(lookups.describe(&key("111122223333", ID)).await);
    assert_eq!(details.id.as_deref(), Some(ID));
    assert_eq!(details.aliases, ["alias/a", "alias/z"], "both pages, sorted");
    assert_eq!(details.tags["team"], "pay");
    assert_eq!((details.state.as_deref(), details.manager.as_deref()), (Some("PendingDeletion"), Some("CUSTOMER")));
    assert_eq!((details.origin.as_deref(), details.multi_region), (Some("EXTERNAL"), Some(true)));
    assert_eq!(details.deletion_date.unwrap().as_millisecond(), 1_800_000_000_500);
    assert_eq!(details.read_at.to_string(), "2026-11-23T12:00:00Z");
    assert!(details.unread.is_empty());
    // By its parts it is the same key.
    let parts = KeyRef {
        id: Some(ID.to_owned()),
        account: Some("111122223333".to_owned()),
        region: Some("eu-central-1".to_owned()),
        ..KeyRef::default()
    };
    assert_eq!(known(lookups.describe(&parts).await), details);
    assert_eq!(server.requests().len(), 4, "the second answer came out of the cache");
}

#[tokio::test]
async fn many_questions_at_once_are_one_read() {
    let server = Server::start(|request, _| generous(request).after(Duration::from_millis(100))).await;
    let lookups = lookups(&server, "");
    let answers = futures_util::future::join_all((0..50).map(|_| {
        let lookups = lookups.clone();
        tokio::spawn(async move { lookups.describe(&key("111122223333", ID)).await })
    }))
    .await;
    for answer in answers {
        known(answer.unwrap());
    }
    assert_eq!(server.count("DescribeKey"), 1);
}

#[tokio::test]
async fn a_denied_part_leaves_the_rest() {
    let server = Server::start(|request, _| match request.operation.as_str() {
        "ListResourceTags" => Reply::error(400, "AccessDeniedException", "no tags for you"),
        _ => generous(request),
    })
    .await;
    let details = known(lookups(&server, "").describe(&key("111122223333", ID)).await);
    assert_eq!(details.aliases.len(), 2);
    assert_eq!(details.unread.into_iter().collect::<Vec<_>>(), [("tags".to_owned(), "denied".to_owned())]);
}

#[tokio::test]
async fn parts_that_are_switched_off_are_not_asked_for() {
    let server = Server::start(|request, _| generous(request)).await;
    let details = known(lookups(&server, "aliases = false\ntags = false").describe(&key("111122223333", ID)).await);
    assert!(details.unread.is_empty() && details.aliases.is_empty());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_key_of_another_account_is_only_described() {
    let server = Server::start(|request, _| generous(request)).await;
    let details = known(lookups(&server, "").describe(&key("444455556666", ID)).await);
    assert_eq!(details.unread.len(), 2, "{:?}", details.unread);
    assert_eq!((server.count("DescribeKey"), server.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_slow_lookup_meets_its_deadline_and_fills_the_cache_later() {
    let server = Server::start(|request, _| match request.operation.as_str() {
        "DescribeKey" => generous(request).after(Duration::from_millis(500)),
        _ => generous(request),
    })
    .await;
    let lookups = lookups(&server, "deadline = \"200ms\"");
    let start = std::time::Instant::now();
    assert_eq!(lookups.describe(&key("111122223333", ID)).await, Lookup::TimedOut);
    assert!(start.elapsed() < Duration::from_millis(450), "{:?}", start.elapsed());
    // The deadline runs from the start of the read: the next event of the key is not delayed again.
    let again = std::time::Instant::now();
    assert_eq!(lookups.describe(&key("111122223333", ID)).await, Lookup::TimedOut);
    assert!(again.elapsed() < Duration::from_millis(150), "{:?}", again.elapsed());
    tokio::time::sleep(Duration::from_millis(600)).await;
    known(lookups.describe(&key("111122223333", ID)).await);
    assert_eq!(server.count("DescribeKey"), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_remembered_for_a_while() {
    let server = Server::start(|request, _| {
        let kind = match request.body["KeyId"].as_str().unwrap().rsplit('/').next().unwrap() {
            "gone" => "NotFoundException",
            "denied" => "AccessDeniedException",
            _ => "InvalidArnException",
        };
        Reply::error(400, kind, "no")
    })
    .await;
    let lookups = lookups(&server, "negative_ttl = \"1s\"");
    for _ in 0..3 {
        assert_eq!(lookups.describe(&key("111122223333", "gone")).await, Lookup::NotFound);
        assert_eq!(lookups.describe(&key("111122223333", "denied")).await, Lookup::Denied);
        let odd = lookups.describe(&key("111122223333", "odd")).await;
        assert_eq!(odd, Lookup::Failed("InvalidArnException: no".to_owned()));
    }
    assert_eq!(server.count("DescribeKey"), 3);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(lookups.describe(&key("111122223333", "gone")).await, Lookup::NotFound);
    assert_eq!(server.count("DescribeKey"), 4);
}

#[tokio::test]
async fn a_changed_key_is_read_anew_even_while_it_is_being_read() {
    let server = Server::start(|request, n| {
        let state = if n == 0 { "Enabled" } else { "Disabled" };
        Reply::ok(&json!({"KeyMetadata": {"Arn": request.body["KeyId"], "KeyId": ID, "KeyState": state}}))
            .after(Duration::from_millis(150))
    })
    .await;
    let lookups = lookups(&server, "aliases = false\ntags = false");
    let first = tokio::spawn({
        let lookups = lookups.clone();
        async move { lookups.describe(&key("111122223333", ID)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let arn = key("111122223333", ID).arn.unwrap();
    lookups.invalidate(&arn).await;
    assert_eq!(known(first.await.unwrap()).state.as_deref(), Some("Disabled"), "the read began before the change");
    known(lookups.describe(&key("111122223333", ID)).await);
    assert_eq!(server.requests().len(), 2, "the second answer is kept");
    lookups.invalidate(&arn).await;
    known(lookups.describe(&key("111122223333", ID)).await);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn names_that_no_key_has_reach_nobody() {
    let server = Server::start(|request, _| generous(request)).await;
    let lookups = lookups(&server, "");
    for arn in [
        "arn:aws:kms:evil.example.com/:111122223333:key/x",
        "arn:aws:kms:eu-central-1:1111:key/x",
        "arn:aws:kms:eu-central-1:111122223333:alias/x",
        "arn:aws:kms:eu-central-1:111122223333:key/a b",
        "arn:aws-cn:kms:eu-central-1:111122223333:key/x",
        "arn:aws:s3:eu-central-1:111122223333:key/x",
        "",
    ] {
        let key = KeyRef { arn: Some(arn.to_owned()), ..KeyRef::default() };
        assert!(matches!(lookups.describe(&key).await, Lookup::Failed(_)), "{arn}");
    }
    assert!(matches!(
        lookups.describe(&KeyRef { id: Some(ID.to_owned()), ..KeyRef::default() }).await,
        Lookup::Failed(_)
    ));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn lookups_are_off_where_nobody_wants_them() {
    let server = Server::start(|request, _| generous(request)).await;
    assert_eq!(lookups(&server, "enabled = false").describe(&key("111122223333", ID)).await, Lookup::Off);
    assert_eq!(lookups(&server, "regions = [\"eu-west-1\"]").describe(&key("111122223333", ID)).await, Lookup::Off);
    assert_eq!(NoLookups.describe(&key("111122223333", ID)).await, Lookup::Off);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_flood_of_keys_is_bounded() {
    let server = Server::start(|request, _| generous(request).after(Duration::from_mins(1))).await;
    let lookups = lookups(&server, "deadline = \"100ms\"\naliases = false\ntags = false");
    let answers = futures_util::future::join_all((0..300).map(|n| {
        let lookups = lookups.clone();
        async move { lookups.describe(&key("111122223333", &format!("key-{n}"))).await }
    }))
    .await;
    let refused =
        answers.iter().filter(|answer| matches!(answer, Lookup::Failed(why) if why.contains("too many"))).count();
    assert_eq!(refused, 300 - 256);
    assert!(answers.iter().filter(|answer| **answer == Lookup::TimedOut).count() == 256);
    assert!(server.requests().len() <= 8, "{} reads at once", server.requests().len());
}

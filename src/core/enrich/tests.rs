use serde_json::json;

use super::*;
use crate::core::decode::decode;

const DISABLE: &str = include_str!("../../../tests/data/events/disable-key.json");
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn event() -> Event {
    decode(DISABLE).events.remove(0)
}

fn details() -> KeyDetails {
    KeyDetails {
        arn: Some(KEY.to_owned()),
        aliases: vec!["alias/orders-db".to_owned(), "alias/prod-orders".to_owned()],
        state: Some("Enabled".to_owned()),
        manager: Some("CUSTOMER".to_owned()),
        origin: Some("AWS_KMS".to_owned()),
        multi_region: Some(false),
        tags: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        ..KeyDetails::default()
    }
}

/// `production` for keys with an alias that begins with `alias/prod-`, `from_tag` with every value of the tag `env`.
fn labels(document: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let key = &document["key"];
    if key["aliases"].as_array().is_some_and(|a| a.iter().any(|a| a.as_str().unwrap().starts_with("alias/prod-"))) {
        found.insert("environment".to_owned(), "production".to_owned());
    }
    if let Some(env) = key["tags"].get("env") {
        found.insert("from_tag".to_owned(), env.to_string());
    }
    found
}

#[test]
fn the_event_comes_first_and_the_lookup_second() {
    let mut event = event();
    assert_eq!(enrich(&mut event, Some(&Lookup::Known(Box::new(details()))), None, labels), Vec::<String>::new());
    let key = event.key.as_ref().unwrap();
    assert_eq!(key.state.as_deref(), Some("Disabled"), "the state after the event, not that of the lookup");
    assert_eq!(
        (key.manager.as_deref(), key.origin.as_deref(), key.multi_region),
        (Some("CUSTOMER"), Some("AWS_KMS"), Some(false))
    );
    assert_eq!(key.aliases, ["alias/orders-db", "alias/prod-orders"]);
    assert_eq!(event.document["key"], serde_json::to_value(key).unwrap(), "rules see the same");
    assert_eq!(event.document["key"]["labels"]["environment"], "production");
    assert_eq!(event.document["detail"]["eventName"], "DisableKey");
}

#[test]
fn losing_an_alias_or_a_tag_never_lowers_labels() {
    let mut before = event();
    enrich(&mut before, Some(&Lookup::Known(Box::new(details()))), None, labels);
    let memory = remember(&before, None).unwrap();
    assert_eq!((memory.state.as_deref(), memory.labels.len()), (None, 0));

    let stripped = KeyDetails { aliases: vec![], tags: BTreeMap::new(), ..details() };
    let mut after = event();
    enrich(&mut after, Some(&Lookup::Known(Box::new(stripped))), Some(&memory), labels);
    assert_eq!(after.key.as_ref().unwrap().labels, before.key.as_ref().unwrap().labels);
    assert_eq!(after.key.as_ref().unwrap().aliases, ["alias/orders-db"], "shown is what is true now");
    assert!(after.key.as_ref().unwrap().tags.is_empty());
    assert_eq!(remember(&after, Some(&memory)).unwrap(), memory, "and it is still remembered the next time");
}

#[test]
fn a_changed_tag_matches_by_both_values() {
    let memory = KeyRef { tags: BTreeMap::from([("env".to_owned(), "prod".to_owned())]), ..KeyRef::default() };
    let changed = KeyDetails { tags: BTreeMap::from([("env".to_owned(), "dev".to_owned())]), ..details() };
    let mut event = event();
    enrich(&mut event, Some(&Lookup::Known(Box::new(changed))), Some(&memory), labels);
    assert_eq!(event.key.as_ref().unwrap().labels["from_tag"], json!(["dev", "prod"]).to_string());
    assert_eq!(event.document["key"]["tags"], json!({ "env": "dev" }));
}

#[test]
fn without_a_lookup_the_last_known_stands_in() {
    let mut known = event();
    enrich(&mut known, Some(&Lookup::Known(Box::new(details()))), None, labels);
    let memory = remember(&known, None).unwrap();
    for (lookup, mark) in [
        (Lookup::Denied, Some("access denied")),
        (Lookup::TimedOut, Some("no answer in time")),
        (Lookup::NotFound, Some("KMS knows no such key")),
        (Lookup::Failed("dns\u{202e}\nbroke".to_owned()), Some("dns broke")),
        (Lookup::Off, None),
    ] {
        let mut event = event();
        let marks = enrich(&mut event, Some(&lookup), Some(&memory), labels);
        let expected: Vec<String> =
            mark.iter().map(|why| format!("key details could not be looked up: {why}")).collect();
        assert_eq!(marks, expected);
        let key = event.key.unwrap();
        assert_eq!(key.aliases, ["alias/orders-db", "alias/prod-orders"]);
        assert_eq!(key.labels.get("environment").map(String::as_str), Some("production"));
    }
}

#[test]
fn a_part_that_could_not_be_read_is_marked_and_remembered() {
    let partial = KeyDetails {
        aliases: vec![],
        unread: BTreeMap::from([("aliases".to_owned(), "access denied".to_owned())]),
        ..details()
    };
    let memory = KeyRef { aliases: vec!["alias/prod-orders".to_owned()], ..KeyRef::default() };
    let mut event = event();
    let marks = enrich(&mut event, Some(&Lookup::Known(Box::new(partial))), Some(&memory), labels);
    assert_eq!(marks, ["the key's aliases could not be looked up: access denied"]);
    assert_eq!(event.key.unwrap().aliases, ["alias/orders-db", "alias/prod-orders"]);
}

#[test]
fn a_missing_key_confirms_its_deletion() {
    let body = include_str!("../../../tests/data/events/native-deletion.json");
    let mut event = decode(body).events.remove(0);
    assert!(enrich(&mut event, Some(&Lookup::NotFound), None, labels).is_empty());
}

#[test]
fn an_event_without_a_key_stays_without() {
    let mut event = event();
    event.key = None;
    let before = event.clone();
    assert!(enrich(&mut event, Some(&Lookup::Denied), None, labels).is_empty());
    assert_eq!(event, before);
}

#[test]
fn a_key_known_by_alias_alone_is_completed() {
    let mut event = event();
    event.key = Some(KeyRef { aliases: vec!["alias/orders-db".to_owned()], ..KeyRef::default() });
    assert_eq!(remember(&event, None), None);
    enrich(&mut event, Some(&Lookup::Known(Box::new(details()))), None, labels);
    let key = event.key.unwrap();
    assert_eq!(
        (key.arn.as_deref(), key.account.as_deref(), key.region.as_deref()),
        (Some(KEY), Some("111122223333"), Some("eu-central-1"))
    );
}

#[test]
fn memory_is_bounded_and_keeps_the_old() {
    let memory = KeyRef {
        aliases: vec!["alias/prod-orders".to_owned()],
        tags: BTreeMap::from([("zzz".to_owned(), "1".to_owned())]),
        ..KeyRef::default()
    };
    let mut event = event();
    let key = event.key.as_mut().unwrap();
    key.aliases = (0..500).map(|n| format!("alias/flood-{n:03}")).collect();
    key.tags = (0..500).map(|n| (format!("flood-{n:03}"), String::new())).collect();
    let kept = remember(&event, Some(&memory)).unwrap();
    assert_eq!((kept.aliases.len(), kept.tags.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    assert!(kept.aliases.contains(&"alias/prod-orders".to_owned()) && kept.tags.contains_key("zzz"));
}

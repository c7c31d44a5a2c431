use serde_json::{Value, json};

use super::*;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const SECOND: &str = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
const HOME: Home<'static> = Home { account: Some("111122223333"), region: Some("eu-central-1") };

fn keys(name: &str, outcome: Outcome, detail: &Value) -> Keys {
    of_kms(detail.as_object().unwrap(), name, outcome, HOME)
}

fn arn(name: &str, detail: &Value) -> Option<String> {
    keys(name, Outcome::Success, detail).main.and_then(|k| k.arn)
}

fn refused(message: &str) -> Option<String> {
    let detail = json!({ "requestParameters": null, "responseElements": null, "errorMessage": message });
    keys("Decrypt", Outcome::Denied, &detail).main.and_then(|k| k.arn)
}

#[test]
fn the_sources_are_asked_in_order_of_trust() {
    let mut detail = json!({
        "resources": [{ "ARN": KEY, "type": "AWS::KMS::Key" }],
        "responseElements": { "keyId": "aaaa1111" },
        "serviceEventDetails": { "keyId": "bbbb2222" },
        "requestParameters": { "keyId": "cccc3333", "targetKeyId": "dddd4444" },
    });
    let id = |detail: &Value| keys("DisableKey", Outcome::Success, detail).main.and_then(|k| k.id).unwrap();
    assert_eq!(id(&detail), ID);
    detail["resources"] = json!(null);
    assert_eq!(id(&detail), "aaaa1111");
    detail["responseElements"] = json!({ "keyMetadata": { "arn": SECOND } });
    assert_eq!(id(&detail), "0987dcba-09fe-87dc-65ba-ab0987654321");
    detail["responseElements"] = json!(null);
    assert_eq!(id(&detail), "bbbb2222");
    detail["serviceEventDetails"] = json!("odd");
    assert_eq!(id(&detail), "cccc3333");
    detail["requestParameters"]["keyId"] = json!(17);
    assert_eq!(id(&detail), "dddd4444");
}

#[test]
fn alias_events_list_key_and_alias_in_either_order() {
    for turned in [false, true] {
        let mut resources = vec![
            json!({ "ARN": "arn:aws:kms:eu-central-1:111122223333:alias/app", "type": "AWS::KMS::Key" }),
            json!({ "arn": KEY, "type": "AWS::KMS::Key" }),
        ];
        if turned {
            resources.reverse();
        }
        let detail = json!({ "resources": resources, "requestParameters": { "aliasName": "alias/app" } });
        let found = keys("DeleteAlias", Outcome::Success, &detail);
        let key = found.main.unwrap();
        assert_eq!((key.arn.as_deref(), key.aliases.as_slice()), (Some(KEY), &["alias/app".to_owned()][..]));
        assert!(found.others.is_empty());
    }
}

#[test]
fn reencrypt_names_the_source_and_keeps_the_destination() {
    let detail = json!({ "resources": [{ "ARN": KEY }, { "ARN": SECOND }], "requestParameters": { "destinationKeyId": SECOND } });
    let found = keys("ReEncrypt", Outcome::Success, &detail);
    assert_eq!(found.main.unwrap().arn.as_deref(), Some(KEY));
    assert_eq!(found.others.iter().map(|k| k.arn.as_deref()).collect::<Vec<_>>(), [Some(SECOND)]);
}

#[test]
fn a_bare_id_is_completed_and_an_alias_is_kept() {
    let detail = json!({ "requestParameters": { "keyId": ID } });
    assert_eq!(arn("DisableKey", &detail).as_deref(), Some(KEY));

    let by_alias =
        keys("Encrypt", Outcome::Success, &json!({ "requestParameters": { "keyId": "alias/aws/ebs" } })).main.unwrap();
    assert_eq!((by_alias.arn, by_alias.id, by_alias.manager.as_deref()), (None, None, Some("AWS")));
    assert_eq!(by_alias.aliases, ["alias/aws/ebs"]);
    assert_eq!(by_alias.account.as_deref(), Some("111122223333"));

    let homeless =
        of_kms(detail.as_object().unwrap(), "DisableKey", Outcome::Success, Home { account: None, region: None });
    let key = homeless.main.unwrap();
    assert_eq!((key.arn, key.id.as_deref()), (None, Some(ID)));
}

#[test]
fn other_regions_and_partitions_are_believed() {
    let far = "arn:aws-cn:kms:cn-north-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let key = keys("Decrypt", Outcome::Success, &json!({ "resources": [{ "ARN": far }] })).main.unwrap();
    assert_eq!((key.arn.as_deref(), key.multi_region), (Some(far), Some(true)));
    assert_eq!((key.region.as_deref(), key.account.as_deref()), (Some("cn-north-1"), Some("444455556666")));
}

#[test]
fn the_key_of_a_denied_call_is_in_its_text() {
    for message in [
        format!(
            "User: arn:aws:sts::111122223333:assumed-role/app/i-1 is not authorized to perform: kms:Decrypt on resource: {KEY} because no identity-based policy allows the kms:Decrypt action"
        ),
        format!("Key '{KEY}' does not exist"),
        format!("{KEY} is disabled."),
        format!("{KEY} is pending deletion."),
    ] {
        assert_eq!(refused(&message).as_deref(), Some(KEY), "{message}");
    }
    for message in [
        "User: arn:aws:iam::111122223333:user/a is not authorized to perform: kms:ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
        "User: arn:aws:iam::111122223333:user/a is not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region",
        "",
    ] {
        assert_eq!(refused(message), None, "{message}");
    }
}

#[test]
fn a_users_path_cannot_name_the_key() {
    let user = format!("arn:aws:iam::111122223333:user/x,'{SECOND}',/mallory");
    let message = format!("User: {user} is not authorized to perform: kms:DisableKey on resource: {KEY} because no");
    assert_eq!(refused(&message).as_deref(), Some(KEY));
    assert_eq!(refused(&format!("User: {user} is not authorized to perform: kms:ListKeys")), None);
    assert_eq!(
        refused(&format!("User: {SECOND} is not authorized to perform: kms:ListKeys on resource: * because no")),
        None
    );
    assert_eq!(refused(&format!("Something about {user} went wrong")), None);
}

#[test]
fn a_cut_message_gives_no_half_key() {
    let mut long = format!("{} on resource: {KEY}", "x".repeat(1000));
    assert_eq!(refused(&long), None);
    long.push_str(" because");
    assert_eq!(refused(&long).as_deref(), Some(KEY));
}

#[test]
fn an_alias_in_the_text_is_kept_as_one() {
    let message = "User: x is not authorized to perform: kms:Encrypt on resource: arn:aws:kms:eu-central-1:444455556666:alias/app because no";
    let key = keys("Encrypt", Outcome::Denied, &json!({ "errorMessage": message })).main.unwrap();
    assert_eq!(
        (key.arn, key.aliases, key.account.as_deref()),
        (None, vec!["alias/app".to_owned()], Some("444455556666"))
    );
}

#[test]
fn the_state_is_what_the_event_says_or_implies() {
    let state = |name: &str, outcome, detail: &Value| keys(name, outcome, detail).main.and_then(|k| k.state);
    let plain = json!({ "requestParameters": { "keyId": KEY } });
    for (name, expected) in [
        ("DisableKey", Some("Disabled")),
        ("CancelKeyDeletion", Some("Disabled")),
        ("EnableKey", Some("Enabled")),
        ("ScheduleKeyDeletion", Some("PendingDeletion")),
        ("DeleteImportedKeyMaterial", Some("PendingImport")),
        ("TagResource", None),
    ] {
        assert_eq!(state(name, Outcome::Success, &plain).as_deref(), expected, "{name}");
        assert_eq!(state(name, Outcome::Denied, &plain), None, "a denied {name} changes nothing");
    }
    let replicas =
        json!({ "requestParameters": { "keyId": KEY }, "responseElements": { "keyState": "PendingReplicaDeletion" } });
    assert_eq!(state("ScheduleKeyDeletion", Outcome::Success, &replicas).as_deref(), Some("PendingReplicaDeletion"));
    for (words, expected) in [
        ("is disabled.", Some("Disabled")),
        ("is pending deletion (or pending replica deletion).", Some("PendingDeletion")),
        ("is not pending deletion.", None),
        ("is pending import because no key material has ever been imported.", Some("PendingImport")),
    ] {
        let detail = json!({ "errorMessage": format!("{KEY} {words}") });
        assert_eq!(state("Decrypt", Outcome::Failed, &detail).as_deref(), expected, "{words}");
    }
}

#[test]
fn a_created_key_brings_its_nature_and_tags() {
    let detail = json!({
        "requestParameters": { "origin": "EXTERNAL", "tags": [{ "tagKey": "team", "tagValue": "data" }, { "tagKey": "empty" }, 7] },
        "responseElements": { "keyMetadata": { "arn": KEY, "aWSAccountId": "111122223333", "keyState": "PendingImport", "keyManager": "CUSTOMER", "multiRegion": false } },
    });
    let key = keys("CreateKey", Outcome::Success, &detail).main.unwrap();
    assert_eq!(key.arn.as_deref(), Some(KEY));
    assert_eq!((key.state.as_deref(), key.manager.as_deref()), (Some("PendingImport"), Some("CUSTOMER")));
    assert_eq!((key.origin.as_deref(), key.multi_region), (Some("EXTERNAL"), Some(false)));
    assert_eq!(key.tags.get("team").map(String::as_str), Some("data"));
}

#[test]
fn native_events_have_it_in_resources_or_by_id() {
    let envelope = json!({ "resources": ["junk", KEY] });
    let detail = json!({ "key-id": ID });
    let key = of_native(envelope.as_object().unwrap(), detail.as_object().unwrap(), HOME).unwrap();
    assert_eq!(key.arn.as_deref(), Some(KEY));
    let key = of_native(&Object::new(), detail.as_object().unwrap(), HOME).unwrap();
    assert_eq!(key.arn.as_deref(), Some(KEY), "completed");
    assert_eq!(of_native(&Object::new(), &Object::new(), HOME), None);
}

#[test]
fn other_services_name_keys_in_known_members_only() {
    let of = |detail: &Value| of_other(detail.as_object().unwrap(), HOME).main.and_then(|k| k.arn);
    assert_eq!(of(&json!({ "cause": format!("{KEY} is disabled.") })).as_deref(), Some(KEY));
    assert_eq!(of(&json!({ "requestParameters": { "kmsKeyId": SECOND } })).as_deref(), Some(SECOND));
    assert_eq!(of(&json!({ "requestParameters": { "kmsKeyId": "alias/app", "note": KEY } })), None);
}

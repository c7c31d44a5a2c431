//! What changed, and against what.

use super::*;

fn version(lesson: &Lesson) -> &Version {
    match &lesson.taught {
        Taught::Policy(version) => version,
        Taught::Period(_) => panic!("it is about a policy"),
    }
}

#[test]
fn gains_and_losses_are_named_by_ability() {
    let admin = |actions: Value| allow(json!({ "AWS": ADMIN }), actions);
    let change = change(
        &[root(), admin(json!(["kms:CancelKeyDeletion", "kms:PutKeyPolicy"]))],
        &[
            root(),
            admin(json!("kms:PutKeyPolicy")),
            allow(json!({ "AWS": "arn:aws:iam::444455556666:root" }), json!(["kms:Decrypt", "kms:CreateGrant"])),
        ],
    );
    assert_eq!(change.gained, ["account 444455556666 (external) gained use (Decrypt), grant"]);
    assert_eq!(change.lost, [format!("{ADMIN} lost cancel deletion")]);
}

#[test]
fn the_account_that_is_left_out_is_named() {
    let change = change(&[root()], &[allow(json!({ "AWS": STRANGER }), json!("kms:*"))]);
    assert_eq!(change.gained, ["account 444455556666 (external) gained everything"]);
    assert_eq!(change.lost, ["the account itself lost everything"]);
}

#[test]
fn another_way_to_say_the_same_is_no_change() {
    let mut first = allow(json!({ "AWS": [HOME, APP] }), json!(["kms:Encrypt", "kms:Decrypt"]));
    first["Sid"] = json!("one");
    let again = [
        allow(json!({ "AWS": APP }), json!("kms:?ecrypt")),
        allow(json!({ "AWS": ["arn:aws:iam::111122223333:root", APP] }), json!("kms:encrypt")),
        allow(json!({ "AWS": HOME }), json!(["kms:Decrypt"])),
    ];
    assert_eq!(change(&[first], &again), Change::default());
}

#[test]
fn conditions_are_part_of_what_is_had() {
    let via = |service: &str| {
        let condition =
            if service.is_empty() { Value::Null } else { json!({ "StringEquals": { "kms:ViaService": service } }) };
        [root(), statement("Allow", json!({ "AWS": APP }), json!("kms:Decrypt"), condition)]
    };
    let narrower = change(&via(""), &via("s3.eu-central-1.amazonaws.com"));
    assert_eq!(narrower.gained, [""; 0]);
    assert_eq!(narrower.lost, [format!("{APP} lost use (Decrypt) (and keeps it on conditions)")]);
    let wider = change(&via("s3.eu-central-1.amazonaws.com"), &via(""));
    assert_eq!(wider.gained, [format!("{APP} gained use (Decrypt) (so far on conditions)")]);
    assert_eq!(wider.lost, [""; 0]);
    let other = change(&via("s3.eu-central-1.amazonaws.com"), &via("ec2.eu-central-1.amazonaws.com"));
    assert_eq!(
        other.gained,
        [format!("{APP} gained use (Decrypt) if kms:viaservice = ec2.eu-central-1.amazonaws.com")]
    );
    assert_eq!(other.lost, [format!("{APP} lost use (Decrypt) if kms:viaservice = s3.eu-central-1.amazonaws.com")]);
}

#[test]
fn what_is_had_on_more_conditions_is_no_gain() {
    let on = |conditions: Value| [root(), statement("Allow", json!({ "AWS": APP }), json!("kms:Decrypt"), conditions)];
    let one = json!({ "StringEquals": { "kms:ViaService": "s3.eu-central-1.amazonaws.com" } });
    let mut two = one.clone();
    two["Bool"] = json!({ "aws:MultiFactorAuthPresent": "true" });
    let narrower = change(&on(one.clone()), &on(two.clone()));
    assert_eq!((narrower.gained.len(), narrower.lost.len()), (0, 1), "{narrower:?}");
    let wider = change(&on(two), &on(one));
    assert_eq!((wider.gained.len(), wider.lost.len()), (1, 0), "{wider:?}");
}

#[test]
fn a_stranger_who_was_there_before_and_may_do_more_is_named() {
    let view = View { trust: &Trust::default(), home: Some(HOME) };
    let rights = |statements: &[Value]| Rights::of(&parse(&policy(statements)).unwrap(), Some(KEY), view);
    let told = |before: &[Value], after: &[Value]| {
        let access = describe(&rights(after), Some(&rights(before)), view);
        (access.stronger_external, access.external_gained)
    };
    let to = |who: &str, what: Value| allow(json!({ "AWS": who }), what);
    let nothing = (vec![], vec![]);
    let more = told(
        &[root(), to(STRANGER, json!("kms:Verify"))],
        &[root(), to(STRANGER, json!(["kms:Verify", "kms:CreateGrant", "kms:GetKeyPolicy"]))],
    );
    assert_eq!(more, (vec![STRANGER.to_owned()], vec!["grant".to_owned(), "read".to_owned()]));
    assert_eq!(told(&[root()], &[root(), to(STRANGER, json!("kms:*"))]), nothing, "a new one is `new_external`");
    assert_eq!(
        told(&[root(), to(APP, json!("kms:Sign"))], &[root(), to(APP, json!("kms:*"))]),
        nothing,
        "ours are no strangers"
    );
    let denied = statement("Deny", json!({ "AWS": STRANGER }), json!("kms:Sign"), Value::Null);
    let (both, use_it) = (to(STRANGER, json!(["kms:Sign", "kms:Verify"])), vec!["use".to_owned()]);
    assert_eq!(told(&[both.clone(), denied], &[both]).1, use_it, "a Deny that is taken back is a gain");
    let bound = json!({ "StringEquals": { "aws:PrincipalAccount": HOME } });
    let for_ours = statement("Allow", json!({ "AWS": STRANGER }), json!("kms:*"), bound);
    let verify = to(STRANGER, json!("kms:Verify"));
    assert_eq!(told(std::slice::from_ref(&verify), &[verify.clone(), for_ours]), nothing, "nobody but ours meets it");
}

#[test]
fn a_new_deny_is_a_loss_and_its_end_a_gain() {
    let deny = statement("Deny", json!({ "AWS": APP }), json!("kms:Decrypt"), Value::Null);
    let denied = change(&[root()], &[root(), deny.clone()]);
    assert_eq!((denied.gained.len(), denied.lost), (0, vec![format!("{APP} is now denied use (Decrypt)")]));
    let freed = change(&[root(), deny], &[root()]);
    assert_eq!((freed.gained, freed.lost.len()), (vec![format!("{APP} is no longer denied use (Decrypt)")], 0));
}

#[test]
fn a_line_is_plain_text_whatever_the_policy_says() {
    let hostile = format!("arn:aws:iam::444455556666:role/x\n\u{202e}<!channel>{}", "y".repeat(5000));
    let change = change(&[root()], &[root(), allow(json!({ "AWS": hostile }), json!("kms:Decrypt"))]);
    let line = &change.gained[0];
    assert!(!line.contains('\n') && !line.contains('\u{202e}') && line.chars().count() < 700, "{line}");
}

#[test]
fn an_event_is_compared_with_what_was_before_it() {
    let mut history = History::default();
    let (first, second) = (
        put_policy(10, &policy(&[root()])),
        put_policy(20, &policy(&[allow(json!({ "AWS": STRANGER }), json!("kms:*"))])),
    );
    let access = |event: &Event, history: &History| {
        let mut event = event.clone();
        assess(&mut event, &Trust::default(), Some(history));
        event.document["access"].clone()
    };
    assert_eq!(wants(&first).as_deref(), Some(KEY));
    assert_eq!(access(&first, &history)["compared"], false);
    assert_eq!(access(&first, &history).get("gained"), None);
    for event in [&first, &second, &first, &second] {
        history.learn(&lesson(event).unwrap().taught);
    }
    assert_eq!(history.versions.len(), 2);
    // It is already learnt, and still compared with what was before it.
    let late = access(&second, &history);
    assert_eq!(late["gained"], json!(["account 444455556666 (external) gained everything"]));
    assert_eq!((&late["compared"], &late["new_external"]), (&json!(true), &json!([STRANGER])));
    assert_eq!(access(&first, &history)["compared"], false, "what came later is no past");
    let third = put_policy(30, &policy(&[allow(json!({ "AWS": STRANGER }), json!("kms:Decrypt"))]));
    let access = access(&third, &history);
    assert_eq!(access["external"], json!([STRANGER]));
    assert_eq!(access.get("new_external"), None);
}

#[test]
fn what_kms_says_is_compared_with_too() {
    let at = |second: u32| put_policy(second, &json!({})).time;
    let text = |statements: &[Value]| policy(statements).to_string();
    let mut history = History::default();
    let first = history.reading(KEY, at(1), &text(&[root()])).unwrap();
    assert_eq!((first.arn.as_str(), version(&first).at), (KEY, at(1)));
    history.learn(&first.taught);
    let spaced = serde_json::to_string_pretty(&policy(&[root()])).unwrap();
    assert_eq!(history.reading(KEY, at(5), &spaced), None, "the same in other words");
    assert_eq!(history.reading(KEY, at(0), "{}"), None, "what is known is newer");
    assert_eq!(history.reading(KEY, at(5), &"x".repeat(40_000)), None, "it is none of KMS's policies");
    let mut opened = put_policy(10, &policy(&[root(), allow(json!({ "AWS": STRANGER }), json!("kms:Decrypt"))]));
    history.learn(&lesson(&opened).unwrap().taught);
    assess(&mut opened, &Trust::default(), Some(&history));
    let access = &opened.document["access"];
    assert_eq!((&access["compared"], &access["new_external"]), (&json!(true), &json!([STRANGER])));

    // KMS answers with what was before the event.
    history.learn(&history.reading(KEY, at(12), &text(&[root()])).unwrap().taught);
    let after = put_policy(20, &policy(&[]));
    assert!(history.before(&after).unwrap().contains(STRANGER), "an event has just told otherwise");
    let mut late = after.clone();
    late.time += jiff::SignedDuration::from_mins(10);
    let mut settled = History { versions: history.versions[1..].to_vec(), ..History::default() };
    let read_at = at(12) + jiff::SignedDuration::from_mins(6);
    settled.learn(&settled.reading(KEY, read_at, &text(&[root()])).unwrap().taught);
    assert!(!settled.before(&late).unwrap().contains(STRANGER), "KMS says so long after the event");
}

#[test]
fn a_history_does_not_depend_on_the_order_of_arrival() {
    let events: Vec<Event> = [5, 3, 9, 1, 7].map(|second| put_policy(second, &policy(&[]))).into();
    let learnt = |order: &[usize]| {
        let mut history = History::default();
        for at in order {
            history.learn(&lesson(&events[*at]).unwrap().taught);
        }
        history
    };
    let history = learnt(&[0, 1, 2, 3, 4]);
    assert_eq!(history.versions.len(), 3);
    assert_eq!(history, learnt(&[4, 3, 2, 1, 0]));
    assert_eq!(history, learnt(&[1, 1, 3, 2, 0, 2, 4, 3]));
    let mut same = history.clone();
    assert!(
        !same.learn(&Taught::Policy(history.versions[1].clone())) && !same.learn(&lesson(&events[3]).unwrap().taught)
    );
    assert!(history.bytes() > 3 * 40);
}

#[test]
fn only_what_took_effect_is_learnt() {
    let mut failed = put_policy(1, &policy(&[]));
    failed.outcome = crate::core::event::Outcome::Failed;
    assert_eq!(lesson(&failed), None);
    assert_eq!(lesson(&call("DisableKey", 1, &json!({ "keyId": KEY }), &Value::Null)), None);

    let response = json!({ "keyMetadata": { "arn": KEY, "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "keyManager": "CUSTOMER" } });
    let created = lesson(&call("CreateKey", 1, &json!({ "description": "x" }), &response)).unwrap();
    assert_eq!(created.arn, KEY);
    assert!(version(&created).text.as_ref().unwrap().contains("arn:aws:iam::111122223333:root"), "the default policy");
    let omitted = lesson(&call("CreateKey", 1, &Value::Null, &response));
    assert_eq!(omitted, None, "what was asked for is not known");

    let replica = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let response = json!({ "replicaKeyMetadata": { "arn": replica }, "replicaPolicy": "{\"Statement\":[]}" });
    let replicated =
        lesson(&call("ReplicateKey", 1, &json!({ "keyId": KEY, "replicaRegion": "us-east-1" }), &response)).unwrap();
    assert_eq!((replicated.arn.as_str(), version(&replicated).text.as_deref()), (replica, Some("{\"Statement\":[]}")));

    let long = put_policy(1, &json!({ "Id": "x".repeat(40_000) }));
    assert_eq!(version(&lesson(&long).unwrap()).text, None, "that it was there is kept");
}

#[test]
fn a_key_that_was_just_made_has_no_past() {
    let response = json!({ "keyMetadata": { "arn": KEY, "keyManager": "CUSTOMER" } });
    let mut created = call("CreateKey", 9, &json!({ "policy": policy(&[root()]).to_string() }), &response);
    assert_eq!(wants(&created), None);
    let mut history = History::default();
    history.learn(&lesson(&put_policy(1, &policy(&[]))).unwrap().taught);
    assess(&mut created, &Trust::default(), Some(&history));
    assert_eq!(created.document["access"]["compared"], false);
    assert_eq!(created.document["access"]["given"], json!(["the account itself has everything"]));
}

#[test]
fn conditions_of_a_large_policy_are_shared() {
    let values: Vec<String> = (0..2400).map(|n| format!("service-{n}.amazonaws.com")).collect();
    let crowd: Vec<String> = (0..2400).map(|n| format!("arn:aws:iam::444455556666:role/{n}")).collect();
    let via = json!({ "StringEquals": { "kms:ViaService": values } });
    let large = [statement("Allow", json!({ "AWS": crowd }), json!("kms:Decrypt"), via)];
    assert_eq!(change(&large, &large), Change::default());
    assert_eq!(change(&[], &large).gained.last().unwrap(), "and 2350 more");
}

#[test]
fn events_one_after_the_other_need_no_store() {
    let mut histories = Histories::default();
    let mut told = |second: u32, who: &str| {
        let mut event = put_policy(second, &policy(&[allow(json!({ "AWS": who }), json!("kms:*"))]));
        histories.assess(&mut event, &Trust::default());
        event.document["access"].clone()
    };
    assert_eq!(told(1, HOME)["compared"], false);
    assert_eq!(told(2, STRANGER)["gained"], json!(["account 444455556666 (external) gained everything"]));
    assert_eq!(told(2, STRANGER)["gained"], json!(["account 444455556666 (external) gained everything"]), "told again");
    assert_eq!(told(3, STRANGER).get("gained"), None);
}

#[test]
fn a_region_is_judged_where_somebody_says_which_are_ours() {
    let allowed = |name: &str, region: &str, trusted: &str| {
        let mut event = call(name, 1, &json!({ "keyId": KEY, "replicaRegion": region }), &Value::Null);
        assess(&mut event, &trust(trusted), None);
        event.document.get("replica").map(|replica| replica["allowed"].clone())
    };
    let ours = "regions = ['eu-central-1', 'eu-west-1']";
    assert_eq!(allowed("ReplicateKey", "eu-west-1", ours), Some(json!(true)));
    assert_eq!(allowed("ReplicateKey", "af-south-1", ours), Some(json!(false)));
    assert_eq!(allowed("ReplicateKey", "", ours), Some(json!(false)));
    assert_eq!(allowed("ReplicateKey", "af-south-1", ""), None);
    assert_eq!(allowed("PutKeyPolicy", "af-south-1", ours), None);
}

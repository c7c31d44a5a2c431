use serde_json::json;

use super::*;
use crate::core::decode::decode;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROLE: &str = "arn:aws:iam::111122223333:role/team/kmswatch";

fn canary() -> Canary {
    Canary {
        name: "main".to_owned(),
        queue: "prod".to_owned(),
        key: KEY.to_owned(),
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        call: CallKind::Tag,
        every: SignedDuration::from_mins(15),
        slo: SignedDuration::from_mins(10),
        role: Some(ROLE.to_owned()),
    }
}

/// So many minutes into the story.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
}

fn call(minutes: i64, returned: Option<i64>) -> Call {
    let mut call = Call::new(&canary(), at(minutes));
    call.request = Some(format!("request-{minutes}"));
    call.returned = returned.map(at);
    call
}

fn failed(minutes: i64) -> Call {
    Call { request: None, failed: Some("AccessDenied: no".to_owned()), ..call(minutes, None) }
}

/// Receiving since long, and again and again.
fn ears(now: i64) -> Ears {
    Ears {
        since: Some(at(-1000)),
        last_answer: Some(at(now)),
        last_empty: Some(at(now)),
        last_message: Some(at(-5)),
        visibility: SignedDuration::from_mins(1),
    }
}

fn verdict(calls: &[Call], now: i64) -> Verdict {
    judge(&canary(), calls, &ears(now), at(now))
}

fn why(verdict: &Verdict) -> Option<Why> {
    match verdict {
        Verdict::Blind(blind) => Some(blind.why),
        _ => None,
    }
}

#[test]
fn a_call_that_comes_back_proves_the_way_until_the_next_should_have() {
    assert_eq!(verdict(&[], 0), Verdict::Waiting);
    assert_eq!(verdict(&[call(0, None)], 9), Verdict::Waiting);
    let well = Verdict::Well { at: at(0), took: SignedDuration::from_mins(2) };
    assert_eq!(verdict(&[call(0, Some(2))], 3), well);
    assert_eq!(verdict(&[call(0, Some(2)), call(15, None)], 24), well);
    assert_eq!(verdict(&[call(0, Some(2))], 26), Verdict::Waiting, "a proof grows old");
}

#[test]
fn what_does_not_come_is_missed_from_its_slo_on() {
    let calls = [call(0, Some(2)), call(15, None)];
    assert_eq!(why(&verdict(&calls, 24)), None);
    let Verdict::Blind(blind) = verdict(&calls, 25) else { panic!("not blind") };
    assert_eq!(blind.why, Why::NothingCame);
    for part in
        ["TagResource", KEY, "request-15", "Last link known good: the call to KMS", "within 10m", "Last return: "]
    {
        assert!(blind.detail.contains(part), "{part}: {}", blind.detail);
    }
    assert!(blind.detail.contains("the last message of any kind came at"), "{}", blind.detail);
    assert!(blind.detail.chars().count() <= 500, "{}", blind.detail.len());
    let other = Ears { last_message: Some(at(20)), ..ears(25) };
    let Verdict::Blind(blind) = judge(&canary(), &calls, &other, at(25)) else { panic!("not blind") };
    assert!(blind.detail.contains("Other messages still come"), "{}", blind.detail);
    assert!(blind.detail.chars().count() <= 500, "{}", blind.detail.len());
}

#[test]
fn only_a_return_in_time_ends_it() {
    let still = [call(0, None), call(15, None)];
    assert_eq!(why(&verdict(&still, 16)), Some(Why::NothingCame));
    let late = [call(0, Some(14)), call(15, None)];
    let Verdict::Blind(blind) = verdict(&late, 16) else { panic!("not blind") };
    assert!(blind.why == Why::CameLate && blind.detail.contains("after 14m, not within 10m"), "{}", blind.detail);
    assert!(matches!(verdict(&[call(0, Some(14)), call(15, Some(16))], 17), Verdict::Well { .. }));
    // A gap between two good ones is past.
    assert!(matches!(verdict(&[call(0, None), call(15, Some(16))], 17), Verdict::Well { .. }));
    // The queue's clock is behind ours.
    assert_eq!(verdict(&[call(0, Some(-1))], 1), Verdict::Well { at: at(0), took: SignedDuration::ZERO });
}

#[test]
fn a_call_that_fails_is_no_trouble_until_it_has_failed_for_the_slo() {
    let calls = [call(0, Some(1)), failed(15), failed(16), failed(24)];
    assert!(matches!(verdict(&calls, 24), Verdict::Well { .. }));
    let Verdict::Blind(blind) = verdict(&calls, 25) else { panic!("not blind") };
    assert_eq!(blind.why, Why::CallFails);
    assert!(blind.detail.contains("AccessDenied: no") && blind.detail.contains("known good: none"), "{}", blind.detail);
    // Its answer was lost on the way, and yet it came back: that is a proof.
    let cut = Call { failed: Some("no answer in time".to_owned()), ..call(15, Some(16)) };
    assert!(matches!(verdict(&[call(0, Some(1)), cut], 26), Verdict::Well { .. }));
    // It works again: now the answer has its time.
    let calls = [failed(0), failed(1), call(11, None)];
    assert_eq!(verdict(&calls, 12), Verdict::Waiting);
    assert_eq!(why(&verdict(&calls, 21)), Some(Why::NothingCame));
    assert_eq!(due(&canary(), &calls[..2], at(1)), at(2), "soon again");
    assert_eq!(due(&canary(), &calls, at(12)), at(26));
    assert_eq!(due(&canary(), &[], at(12)), at(12));
    assert_eq!(due(&canary(), &[call(60, None)], at(0)), at(0), "the clock was set back");
}

#[test]
fn nothing_is_overdue_that_we_could_not_hear() {
    let calls = [call(0, None)];
    let judged = |ears: Ears, now: i64| why(&judge(&canary(), &calls, &ears, at(now)));
    // Deaf: that has its own report.
    assert_eq!(judged(Ears { since: None, ..ears(30) }, 30), None);
    // No receive has ended since it became overdue.
    assert_eq!(judged(Ears { last_answer: Some(at(9)), ..ears(30) }, 30), None);
    // Started again after a break: what waits is worked off first, and what a killed daemon had in hand comes back.
    let again = |since: i64, empty: Option<i64>, now: i64| {
        judged(Ears { since: Some(at(since)), last_empty: empty.map(at), ..ears(now) }, now)
    };
    assert_eq!(again(200, None, 201), None);
    assert_eq!(again(200, Some(200), 202), None, "it may be invisible still");
    assert_eq!(again(200, Some(201), 202), Some(Why::NothingCame));
    // Meanwhile an older proof proves nothing, and takes nothing back.
    let older = [call(-15, Some(-14)), call(0, None)];
    let restarted = Ears { since: Some(at(10)), last_empty: None, ..ears(11) };
    assert_eq!(judge(&canary(), &older, &restarted, at(11)), Verdict::Waiting);
    // A queue that is never empty is not waited for for ever.
    assert_eq!(again(200, None, 210), Some(Why::NothingCame));
}

fn event(name: &str, request: &str, change: impl FnOnce(&mut Value)) -> Event {
    let mut body = json!({
        "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": at(0).to_string(),
        "account": "111122223333", "region": "eu-central-1", "id": "e",
        "detail": {
            "eventSource": "kms.amazonaws.com", "eventName": name, "eventID": "e", "eventVersion": "1.11",
            "eventTime": at(0).to_string(), "awsRegion": "eu-central-1", "eventType": "AwsApiCall", "requestID": request,
            "userIdentity": {
                "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/kmswatch/kmswatch",
                "accountId": "111122223333",
                "sessionContext": { "sessionIssuer": { "type": "Role", "arn": ROLE } }
            },
            "requestParameters": { "keyId": KEY, "tags": [{ "tagKey": TAG, "tagValue": "x" }] },
            "resources": [{ "type": "AWS::KMS::Key", "ARN": KEY }]
        }
    });
    change(&mut body);
    decode(&body.to_string()).events.remove(0)
}

#[test]
fn only_what_was_called_is_expected() {
    let calls = [call(0, None), call(15, None)];
    let found = |event: &Event| expected(&canary(), &calls, event).map(|call| call.id.clone());
    let ours = event("TagResource", "request-0", |_| {});
    assert_eq!(found(&ours), Some(calls[0].id.clone()));
    assert_eq!(found(&event("TagResource", "request-15", |_| {})), Some(calls[1].id.clone()));
    // Any other call of our own role is as loud as the rules make it.
    assert_eq!(found(&event("TagResource", "request-7", |_| {})), None);
    assert_eq!(found(&event("DisableKey", "request-0", |_| {})), None);
    let role = |body: &mut Value, arn: &str| {
        body["detail"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!(arn);
    };
    let other_key = event("TagResource", "request-0", |body| {
        body["detail"]["resources"][0]["ARN"] = json!(KEY.replace("1234abcd", "9999abcd"));
    });
    assert_eq!(found(&other_key), None);
    for arn in ["arn:aws:iam::111122223333:role/admin", "arn:aws:iam::444455556666:role/kmswatch"] {
        assert_eq!(found(&event("TagResource", "request-0", |body| role(body, arn))), None, "{arn}");
    }
    let short = event("TagResource", "request-0", |body| role(body, "arn:aws:iam::111122223333:role/kmswatch"));
    assert!(found(&short).is_some(), "the path is lost in some events");
    // Whoever made the call is known better than what the configuration says.
    let by = |arn: &str| {
        let calls = [Call { by: Some(arn.to_owned()), ..call(0, None) }];
        expected(&canary(), &calls, &ours).is_some()
    };
    assert!(by("arn:aws:sts::111122223333:assumed-role/kmswatch/i-0123456789abcdef0"));
    assert!(!by("arn:aws:sts::111122223333:assumed-role/other/kmswatch"));
    assert!(!by("arn:aws:iam::111122223333:user/i-0123456789abcdef0"));
    // What KMS refused names no key outside of its text.
    let refused = event("TagResource", "request-0", |body| {
        let detail = body["detail"].as_object_mut().unwrap();
        detail.remove("resources");
        detail.insert("requestParameters".to_owned(), Value::Null);
        detail.insert("errorCode".to_owned(), json!("AccessDenied"));
        detail.insert("errorMessage".to_owned(), json!("no"));
    });
    assert!(found(&refused).is_some());
    // Where nobody knows who we are, the request id alone tells.
    let nameless = Canary { role: None, ..canary() };
    assert!(expected(&nameless, &calls, &ours).is_some());
}

#[test]
fn a_call_whose_answer_never_came_is_known_by_what_it_left() {
    let cut = Call { request: None, failed: Some("no answer in time".to_owned()), ..call(0, None) };
    let with_tag = |value: &str| {
        event("TagResource", "unheard-of", |body| {
            body["detail"]["requestParameters"]["tags"][0]["tagValue"] = json!(value);
        })
    };
    let calls = [cut.clone()];
    assert!(expected(&canary(), &calls, &with_tag(&cut.id)).is_some());
    assert!(expected(&canary(), &calls, &with_tag("main-1")).is_none());

    let reader = Canary { call: CallKind::Describe, ..canary() };
    let read = |seconds: i64| {
        let time = at(0).checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string();
        event("DescribeKey", "unheard-of", |body| body["detail"]["eventTime"] = json!(time))
    };
    assert!(expected(&reader, &calls, &read(8)).is_some());
    assert!(expected(&reader, &calls, &read(40)).is_none(), "that is another call");
    let back = [Call { returned: Some(at(1)), ..cut }];
    assert!(expected(&reader, &back, &read(8)).is_none(), "once is enough");
}

#[test]
fn hints_find_what_is_expected_in_any_wrapper() {
    let canary = canary();
    let id = "0f6e1f1c-1d2b-4c3d-8e4f-5a6b7c8d9e0f";
    let known = Call { request: Some(id.to_owned()), ..call(0, None) };
    let hints = |calls: &[Call]| Hints::new([(&canary, calls)], at(1));
    let body = json!({ "detail": { "requestID": id, "keyId": KEY } }).to_string();
    let pretty = serde_json::to_string_pretty(&json!({ "requestID": id })).unwrap();
    let twice = json!({ "Message": json!({ "Message": body }).to_string() }).to_string();
    for text in [&body, &pretty, &twice] {
        assert!(hints(std::slice::from_ref(&known)).may_hold(text), "{text}");
        assert!(!hints(&[]).may_hold(text), "{text}");
        assert!(!Hints::default().may_hold(text), "{text}");
    }
    let other = body.replace("0f6e1f1c", "0f6e1f1d");
    assert!(!hints(std::slice::from_ref(&known)).may_hold(&other), "another call on the same key");
    let cut = [call(0, None), Call { request: None, ..call(0, None) }];
    assert!(hints(&cut).may_hold(&other), "one of ours may be it");
    assert!(!Hints::new([(&canary, &cut[..])], at(60 * 25)).may_hold(&other), "not for ever");
    for odd in ["", "requestID", "\"requestID\":", "\"requestID\": null", "requestIDrequestID\u{e9}"] {
        assert!(!hints(std::slice::from_ref(&known)).may_hold(odd), "{odd}");
    }
}

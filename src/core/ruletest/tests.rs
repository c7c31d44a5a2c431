use std::sync::Arc;

use super::*;
use crate::base::diagnostic::Problem;
use crate::core::decide::Policy;
use crate::core::rule::{BUILTIN, Rule, RuleFile, RuleSpec, compile};

fn specs(text: &str) -> Vec<RuleSpec> {
    toml::from_str::<RuleFile>(text).unwrap_or_else(|error| panic!("{error}")).rule
}

const RULE: &str = r#"
[[rule]]
id = "a"
title = "Key disabled"
severity = "high"
match = { source = ["aws.kms"], detail.eventName = ["DisableKey"], outcome = ["success"] }
except = [{ actor.principal = [{ wildcard = "arn:aws:iam::*:role/terraform-*" }] }, { key.labels.environment = ["test"] }]
resolve = { detail.eventName = ["EnableKey"], outcome = ["success"] }
resolve_after = "2h"
"#;

/// Runs the one test of the rule, given as the lines below `[[rule.test]]`.
fn ran(test: &str) -> Vec<Failure> {
    let spec = specs(&format!("{RULE}\n[[rule.test]]\nname = \"x\"\n{test}")).remove(0);
    let rule = Arc::new(compile(&spec).unwrap());
    let test = spec.test.first().unwrap();
    assert_eq!(problems(test), Vec::<String>::new());
    run(test, &rule, &[], &Policy::default()).failures
}

fn problems(test: &TestSpec) -> Vec<String> {
    let mut found = Vec::new();
    check(test, true, &mut found);
    found
        .into_iter()
        .map(|Problem { level, message, hint, .. }| {
            format!("{}: {message} ({})", level.as_str(), hint.unwrap_or_default())
        })
        .collect()
}

/// What is wrong with a test, given as the lines below `[[rule.test]]`.
fn wrong(test: &str) -> Vec<String> {
    let spec = specs(&format!("{RULE}\n[[rule.test]]\nname = \"x\"\n{test}")).remove(0);
    problems(spec.test.first().unwrap())
}

fn passes(test: &str) {
    assert_eq!(ran(test), [], "{test}");
}

fn fails(test: &str) -> String {
    let failures = ran(test);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    let Failure { what, expected, got, why } = &failures[0];
    format!("{what}: expected {expected}; got {got}; {}", why.join(" | "))
}

#[test]
fn every_built_in_rule_is_proven() {
    for (file, text) in BUILTIN {
        let all = specs(text);
        let rules: Vec<Arc<Rule>> = all.iter().map(|spec| Arc::new(compile(spec).unwrap())).collect();
        for (spec, rule) in all.iter().zip(&rules) {
            let id = &rule.id;
            assert!(spec.test.len() >= 3, "{file}: {id} has fewer than three tests");
            let shows: Vec<_> = spec.test.iter().map(TestSpec::positive).collect();
            assert!(shows.contains(&Some(true)) && shows.contains(&Some(false)), "{file}: {id}: {shows:?}");
            for test in &spec.test {
                assert_eq!(problems(test), Vec::<String>::new(), "{file}: {id}: {}", test.name.get_ref());
                let with: Vec<Arc<Rule>> = test
                    .with
                    .iter()
                    .map(|id| Arc::clone(rules.iter().find(|rule| rule.id == *id.get_ref()).unwrap()))
                    .collect();
                assert_eq!(
                    run(test, rule, &with, &Policy::default()).failures,
                    [],
                    "{file}: {id}: {}",
                    test.name.get_ref()
                );
            }
        }
    }
}

#[test]
fn what_matters_is_said_and_the_rest_is_real() {
    passes(
        "event = { detail.eventName = \"DisableKey\" }\nexpect = { alert = true, severity = \"high\", text = [\"was disabled\", \"203.0.113.7\"] }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\", outcome = \"denied\" }\nexpect = { alerts = 0, incident = \"none\" }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\", detail.errorCode = \"ThrottlingException\" }\nexpect = { alert = false }",
    );
    passes("event = { detail.eventName = \"DisableKey\", source = \"aws.s3\" }\nexpect = { alert = false }");
    passes(
        "event = { detail.eventName = \"DisableKey\", key.labels.environment = \"test\" }\nexpect = { alert = false }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\", actor.principal = \"arn:aws:iam::111122223333:role/terraform-ci\" }\nexpect = { alert = false }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\", without = [\"detail.eventName\"] }\nexpect = { alert = false }",
    );
}

#[test]
fn an_exemption_that_reads_what_is_not_known_does_not_exempt() {
    passes(
        "event = { detail.eventName = \"DisableKey\", lookup = \"denied\" }\nexpect = { alert = true, text = \"could not be looked up\" }",
    );
}

#[test]
fn time_is_virtual() {
    passes(
        "event = { detail.eventName = \"DisableKey\" }\nafter = \"3h\"\nexpect = { incident = \"resolved\", notification = [\"trigger\", \"resolve\"] }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\" }\nafter = \"1h\"\nexpect = { incident = \"open\", notification = \"trigger\" }",
    );
    passes(
        "events = [{ detail.eventName = \"DisableKey\" }, { at = \"1h\", detail.eventName = \"EnableKey\" }]\nexpect = { incident = \"resolved\" }",
    );
    passes(
        "events = [{ detail.eventName = \"DisableKey\", repeat = 3, every = \"1m\" }, { at = \"30h\", detail.eventName = \"DisableKey\" }]\nexpect = { alerts = 4, incidents = 2 }",
    );
    passes(
        "event = { detail.eventName = \"DisableKey\", late = \"5h\" }\nexpect = { alerts = 1, incident = \"resolved\", notification = \"notice\", text = \"late by 5 h\" }",
    );
}

#[test]
fn a_failure_says_which_operator_said_no_and_what_it_saw() {
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"EnableKey\" }\nexpect = { alert = true }"),
        @r#"alert: expected an alert; got no alert; EnableKey: detail.eventName wants ["DisableKey"] and saw "EnableKey""#
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\", outcome = \"denied\" }\nexpect = { alerts = 1 }"),
        @r#"alerts: expected 1; got 0; DisableKey: outcome wants ["success"] and saw "denied""#
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\", actor.principal = \"arn:aws:iam::111122223333:role/terraform-ci\" }\nexpect = { alert = true }"),
        @r#"alert: expected an alert; got no alert; DisableKey: `except` 1 takes it: actor.principal wants [{"wildcard":"arn:aws:iam::*:role/terraform-*"}] and saw "arn:aws:iam::111122223333:role/terraform-ci""#
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\" }\nexpect = { alert = false }"),
        @r#"alert: expected no alert; got 1 alert; DisableKey: `match` takes it; `except` 1 does not: actor.principal wants [{"wildcard":"arn:aws:iam::*:role/terraform-*"}] and saw "arn:aws:iam::111122223333:role/platform-admin""#
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\" }\nexpect = { severity = \"critical\" }"),
        @"severity: expected critical; got high; "
    );
    insta::assert_snapshot!(
        fails("events = [{ detail.eventName = \"DisableKey\" }, { at = \"1h\", detail.eventName = \"EnableKey\", outcome = \"failed\" }]\nexpect = { incident = \"resolved\" }"),
        @r#"incident: expected resolved; got open; EnableKey does not resolve: outcome wants ["success"] and saw "failed" | it ends 2h after the newest alert: let that much time pass with `after`"#
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\" }\nexpect = { incidents = 2 }"),
        @r#"incidents: expected 2; got 1; DisableKey: key.arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab""#
    );
    insta::assert_snapshot!(
        fails("events = [{ detail.eventName = \"DisableKey\", repeat = 2 }]\nexpect = { notification = [\"trigger\", \"update\"] }"),
        @"notification: expected trigger, update; got trigger; trigger (opened) at 2026-11-02T09:00:00Z | not told: nothing_new"
    );
    insta::assert_snapshot!(
        fails("event = { detail.eventName = \"DisableKey\" }\nexpect = { text = \"alias/prod\" }"),
        @r#"text: expected "alias/prod"; got "1234abcd-12ab-34cd-56ef-1234567890ab was disabled by role/platform-admin (alice@example.org) from 203.0.113.7 (111122223333 eu-central-1)"; "#
    );
}

#[test]
fn mistakes_of_a_test_are_found() {
    let all = |tests: &[&str]| tests.iter().flat_map(|test| wrong(test)).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(all(&[
        "expect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\" }\nexpect = {}",
        "event = { detail.eventName = \"DisableKey\" }\nevents = [{ detail.eventName = \"DisableKey\" }]\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\" }\nexpect = { alert = true, alerts = 0 }",
        "event = { detail.eventName = \"DisableKey\" }\nexpect = { alert = false, severity = \"high\" }",
        "event = { detail.eventName = \"DisableKey\" }\nexpect = { notification = \"page\" }",
        "event = { detail.eventName = \"DisableKey\" }\nexpect = { text = \"\" }",
        "event = { key.aliases = [\"alias/x\"] }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", outcome = \"deny\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", key.aliases = \"alias/x\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", key.arn = \"1234\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", at = 5, every = \"1m\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", repeat = 0 }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", lookup = \"enabled\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", outcom = \"denied\", key.alias = [\"x\"], actor.name = \"x\" }\nexpect = { alert = true }",
        "event = { detail.eventName = \"DisableKey\", detail.sourceIpAdress = \"x\", detail.zzz = 1 }\nexpect = { alert = true }",
        "event = { detail.eventName = \"CreateGrant\", detail.requestParameters.granteePrinciple = \"x\", detail.requestParameters.brandNew = 1 }\nexpect = { alert = true }",
        "event = { detail.eventName = \"disableKey\" }\nexpect = { alert = false }",
        "event = { detail.eventName = \"DisableKey\", repeat = 9000, duplicate = true }\nexpect = { alert = true }",
    ]), @r#"
    error: the test has no event (write event = { detail.eventName = "DisableKey" })
    error: the test expects nothing, so it cannot fail (write expect = { alert = true }, or alert = false)
    error: a test has either `event` or `events` (put all of them into `events`)
    error: `alert` and `alerts` contradict each other (leave one of them out)
    error: where no alert is expected there is no severity (leave `severity` out, or expect an alert)
    error: there is no notification `page` (write `trigger`, `update`, `resolve`, `notice`, or `none` alone)
    error: an empty text says nothing (leave it out)
    error: nothing says which event it is (write detail.eventName = "DisableKey", or detail-type = "KMS CMK Rotation")
    error: there is no outcome `deny` (outcomes: `success`, `denied`, `failed`)
    error: `key` has a value of the wrong kind: invalid type: string "alias/x", expected a sequence (docs/rules.md lists the fields and what they hold)
    error: `1234` is no key's ARN (write arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab)
    error: a length of time is a text (write "0s", "30s", "2m" or "1h 30m")
    error: `every` says the time between repeats, and there are none (add repeat = 5)
    error: `repeat` is a number from 1 to 10000 (write repeat = 5)
    error: KMS does not answer `enabled` (did you mean `Enabled`?)
    warning: no event has a member `actor.name` (did you mean `actor.type`?)
    warning: no event has a member `key.alias` (did you mean `key.aliases`?)
    warning: no event has a member `outcom` (did you mean `outcome`?)
    warning: no event has a member `detail.sourceIpAdress` (did you mean `sourceIPAddress`?)
    warning: no event has a member `detail.zzz` (CloudTrail's records have no such member)
    warning: no event has a member `detail.requestParameters.granteePrinciple` (did you mean `granteePrincipal`?)
    note: no event is called `disableKey` (if `DisableKey` is meant: names are case-sensitive; else a plain call of this name is played)
    error: the test plays 18000 events (play at most 10000)
    "#);
}

#[test]
fn what_tests_show_is_told_apart() {
    let shows = |expect: &str| {
        let text = format!(
            "{RULE}\n[[rule.test]]\nname = \"x\"\nevent = {{ detail.eventName = \"DisableKey\" }}\nexpect = {expect}"
        );
        specs(&text).remove(0).test.remove(0).positive()
    };
    for (expect, positive) in [
        ("{ alert = true }", Some(true)),
        ("{ alerts = 0 }", Some(false)),
        ("{ severity = \"high\" }", Some(true)),
        ("{ incident = \"none\" }", Some(false)),
        ("{ notification = \"none\" }", Some(false)),
        ("{ notification = \"trigger\" }", Some(true)),
        ("{ incidents = 2 }", Some(true)),
    ] {
        assert_eq!(shows(expect), positive, "{expect}");
    }
}

mod events {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::event::Event;

    fn one(partial: &str) -> Event {
        let spec =
            specs(&format!("{RULE}\n[[rule.test]]\nname = \"x\"\nevent = {partial}\nexpect = {{ alert = true }}"));
        let test = &spec[0].test[0];
        let mut played = event::played([&test.event.as_ref().unwrap().0], Timestamp::UNIX_EPOCH, &Policy::default());
        assert_eq!(played.len(), 1);
        played.remove(0).event.unwrap()
    }

    fn at<'v>(event: &'v Event, pointer: &str) -> &'v Value {
        event.document.pointer(pointer).unwrap_or(&Value::Null)
    }

    #[test]
    fn a_denied_call_carries_its_key_in_the_text_alone() {
        let event = one("{ detail.eventName = \"Decrypt\", outcome = \"denied\", denied_by = \"resource_policy\" }");
        assert_eq!(at(&event, "/detail/requestParameters"), &Value::Null);
        assert_eq!(event.document.pointer("/detail/resources"), None);
        assert_eq!(at(&event, "/detail/errorCode"), "AccessDenied");
        assert_eq!(event.key.as_ref().and_then(|key| key.id.as_deref()), Some("1234abcd-12ab-34cd-56ef-1234567890ab"));
        assert_eq!(at(&event, "/denied_by"), "resource_policy");
    }

    #[test]
    fn a_failed_call_says_the_state_of_its_key() {
        let event = one("{ detail.eventName = \"Decrypt\", outcome = \"failed\", key.state = \"PendingDeletion\" }");
        assert_eq!(at(&event, "/detail/errorCode"), "KMSInvalidStateException");
        assert!(at(&event, "/detail/errorMessage").as_str().unwrap().ends_with("is pending deletion."));
        assert!(at(&event, "/detail/resources").is_array(), "state errors keep their resources");
        let volume = one("{ detail-type = \"EBS Volume Notification\", outcome = \"failed\" }");
        assert_eq!(at(&volume, "/detail/result"), "failed");
        assert_eq!(volume.key.and_then(|key| key.arn).as_deref(), at(&event, "/key/arn").as_str());
    }

    #[test]
    fn an_actor_has_the_identity_that_cloudtrail_would_write() {
        let service = one("{ detail.eventName = \"CreateGrant\", actor.service = \"lambda.amazonaws.com\" }");
        assert_eq!(at(&service, "/detail/userIdentity/invokedBy"), "lambda.amazonaws.com");
        let user = one(
            "{ detail.eventName = \"DisableKey\", actor.principal = \"arn:aws:iam::444455556666:user/ops/bo\", actor.mfa = false }",
        );
        assert_eq!(at(&user, "/detail/userIdentity/type"), "IAMUser");
        assert_eq!((at(&user, "/actor/account"), at(&user, "/actor/mfa")), (&json!("444455556666"), &json!(false)));
        let root = one("{ detail.eventName = \"DisableKey\", actor.principal = \"arn:aws:iam::111122223333:root\" }");
        assert_eq!(at(&root, "/detail/userIdentity/type"), "Root");
        for principal in
            ["dynamodb.amazonaws.com", "444455556666", "AWS Internal", "arn:aws:iam::111122223333:role/a/b"]
        {
            let event = one(&format!("{{ detail.eventName = \"Decrypt\", actor.principal = \"{principal}\" }}"));
            assert_eq!(at(&event, "/actor/principal"), principal, "{}", event.document);
        }
        let session =
            one("{ detail.eventName = \"DisableKey\", actor.session = \"bo@example.org\", actor.ip = \"192.0.2.1\" }");
        assert_eq!(
            at(&session, "/detail/userIdentity/arn"),
            "arn:aws:sts::111122223333:assumed-role/platform-admin/bo@example.org"
        );
        assert_eq!(at(&session, "/detail/sourceIPAddress"), "192.0.2.1");
    }

    #[test]
    fn what_is_said_is_laid_over_deeply() {
        let event = one(
            "{ account = \"444455556666\", region = \"us-west-2\", detail.eventName = \"CreateGrant\", detail.requestParameters = { granteePrincipal = \"arn:aws:iam::444455556666:root\", name = { is-null = true } }, key.tags.team = \"payments\" }",
        );
        assert_eq!(at(&event, "/detail/requestParameters/granteePrincipal"), "arn:aws:iam::444455556666:root");
        assert!(at(&event, "/detail/requestParameters/operations").is_array(), "the rest stays");
        assert_eq!(event.document.pointer("/detail/requestParameters/name"), Some(&Value::Null));
        assert_eq!(
            at(&event, "/key/arn"),
            "arn:aws:kms:us-west-2:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        );
        assert_eq!(event.key.as_ref().unwrap().tags.get("team").map(String::as_str), Some("payments"));
        assert_eq!(at(&event, "/detail/recipientAccountId"), "444455556666");
    }

    #[test]
    fn what_policies_and_grants_mean_is_worked_out_as_in_the_daemon() {
        let grant = one(
            "{ detail.eventName = \"CreateGrant\", detail.requestParameters.granteePrincipal = \"arn:aws:iam::444455556666:root\" }",
        );
        assert_eq!(at(&grant, "/grant/external"), true);
        let said = one("{ detail.eventName = \"PutKeyPolicy\", access.public = true }");
        assert_eq!((at(&said, "/access/public"), at(&said, "/access/root")), (&json!(true), &json!(true)));
    }

    #[test]
    fn an_event_that_nobody_knows_is_what_the_test_says() {
        let event = one("{ source = \"aws.health\", detail-type = \"AWS Health Event\", detail.service = \"KMS\" }");
        assert_eq!(at(&event, "/detail"), &json!({ "service": "KMS" }));
        let call = one("{ source = \"aws.config\", detail.eventName = \"StopConfigurationRecorder\" }");
        assert_eq!(at(&call, "/detail/eventSource"), "config.amazonaws.com");
    }
}

#[test]
fn a_text_that_does_not_print_fails_its_test() {
    let text = r#"
[[rule]]
id = "a"
title = "Key to be deleted"
summary = "in {{ detail.requestParameters.pendingWindowInDays + 1 if detail.requestParameters.pendingWindowInDays }} days"
severity = "high"
match = { source = ["aws.kms"], detail.eventName = ["ScheduleKeyDeletion"] }
resolve_after = "2h"
[[rule.test]]
name = "x"
event = { detail.eventName = "ScheduleKeyDeletion", detail.requestParameters.pendingWindowInDays = "soon" }
expect = { alert = true }
[[rule.test]]
name = "y"
event = { detail.eventName = "ScheduleKeyDeletion" }
expect = { alert = true, text = "in 31 days" }
"#;
    let spec = specs(text).remove(0);
    let rule = Arc::new(compile(&spec).unwrap());
    let played = |at: usize| run(&spec.test[at], &rule, &[], &Policy::default()).failures;
    let failures = played(0);
    assert_eq!((failures.len(), failures[0].what), (1, "text"));
    assert!(failures[0].why[0].starts_with("ScheduleKeyDeletion: `summary` does not print in line 1"), "{failures:?}");
    assert_eq!(played(1), []);
}

//! `explain` as the shell sees it: above all the events that raise no alert although somebody expected one.

#![cfg(test)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use kmswatch::core::catalog::{self, Scene};
use kmswatch::core::decide::{Evaluation, Prepared, decide, evaluate};
use kmswatch::core::decode::decode;
use program::text;
use serde_json::{Value, json};

fn kmswatch(folder: &Path, arguments: &[&str], input: &str) -> Output {
    program::run(folder, arguments, input.as_bytes())
}

fn scene(minutes: i64) -> Scene {
    let start: Timestamp = "2026-11-02T09:00:00Z".parse().unwrap();
    let mut scene = Scene::new(start.checked_add(SignedDuration::from_mins(minutes)).unwrap());
    scene.number = 100 + minutes.unsigned_abs();
    scene
}

/// An event as EventBridge sends it.
fn event(name: &str, minutes: i64) -> Value {
    let known = catalog::known(name);
    catalog::envelope(name, known.map_or("aws.kms", |known| known.source), known, &scene(minutes))
}

fn denied(name: &str) -> Value {
    let mut event = event(name, 0);
    let detail = event["detail"].as_object_mut().unwrap();
    detail.remove("resources");
    detail["requestParameters"] = Value::Null;
    detail["responseElements"] = Value::Null;
    detail.insert("errorCode".into(), json!("AccessDenied"));
    let message = format!(
        "User: arn:aws:sts::111122223333:assumed-role/platform-admin/alice@example.org is not authorized to perform: kms:{name} on resource: {} because no resource-based policy allows the kms:{name} action",
        scene(0).key
    );
    detail.insert("errorMessage".into(), json!(message));
    event
}

/// What `explain` says of these events, in their order.
fn said(events: &[Value], arguments: &[&str], code: i32) -> String {
    said_in(tempfile::tempdir().unwrap().path(), events, arguments, code)
}

fn said_in(folder: &Path, events: &[Value], arguments: &[&str], code: i32) -> String {
    let input: Vec<String> = events.iter().map(Value::to_string).collect();
    let all: Vec<&str> = ["explain", "-"].into_iter().chain(arguments.iter().copied()).collect();
    let output = kmswatch(folder, &all, &input.join("\n"));
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

#[test]
fn a_denied_call_changed_nothing() {
    insta::assert_snapshot!("denied_disable_key", said(&[denied("DisableKey")], &["--rule", "kms.key-disabled"], 0));
}

#[test]
fn names_are_case_sensitive() {
    insta::assert_snapshot!("lower_case_name", said(&[event("disablekey", 0)], &["--rule", "kms.key-disabled"], 0));
    let near = said(&[event("disablekey", 0)], &[], 0);
    assert!(near.contains("\nkms.key-disabled (critical"), "{near}");
}

#[test]
fn keys_that_aws_manages_rotate_by_themselves() {
    let mut rotated = event("RotateKey", 0);
    let alias = json!({ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": "arn:aws:kms:eu-central-1:111122223333:alias/aws/ebs" });
    rotated["detail"]["resources"].as_array_mut().unwrap().push(alias);
    insta::assert_snapshot!("aws_managed_key_rotated", said(&[rotated], &["--rule", "kms.key-rotated"], 0));
}

#[test]
fn the_recorder_of_aws_config_is_exempt() {
    let mut event = denied("Decrypt");
    event["detail"]["userIdentity"]["invokedBy"] = json!("config.amazonaws.com");
    insta::assert_snapshot!("config_recorder", said(&[event], &["--rule", "kms.access-denied"], 0));
}

#[test]
fn an_exemption_of_ones_own_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), RULE).unwrap();
    let arguments = ["--rules", "rules.toml"];
    insta::assert_snapshot!("excepted", said_in(folder.path(), &[event("PutKeyPolicy", 0)], &arguments, 0));
}

const RULE: &str = r#"
[[rule]]
id = "team.policy"
title = "Key policy changed"
severity = "high"
match = { source = ["aws.kms"], detail.eventName = ["PutKeyPolicy"], outcome = ["success"] }
except = [{ actor.principal = [{ wildcard = "*:role/platform-*" }], actor.mfa = [true] }]
resolve_after = "1d"

[[rule]]
id = "team.production"
title = "Production alias moved"
severity = "critical"
match = { detail.eventName = ["TagResource"], key.aliases = [{ prefix = "alias/prod-" }] }
resolve_after = "1d"
"#;

#[test]
fn what_only_a_lookup_knows_is_not_there_without_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), RULE).unwrap();
    let arguments = ["--rules", "rules.toml"];
    insta::assert_snapshot!("alias_not_known", said_in(folder.path(), &[event("TagResource", 0)], &arguments, 0));
}

#[test]
fn an_envelope_without_source_is_no_event() {
    let mut event = event("KMS CMK Deletion", 0);
    event.as_object_mut().unwrap().remove("source");
    insta::assert_snapshot!("no_source", said(&[event], &[], 1));
}

#[test]
fn a_read_may_never_have_reached_the_queue() {
    insta::assert_snapshot!("read_event", said(&[event("GetKeyPolicy", 0)], &["--rule", "kms.access-denied"], 0));
}

#[test]
fn enabling_before_disabling_is_remembered() {
    let events = [event("EnableKey", 10), event("DisableKey", 0)];
    insta::assert_snapshot!("enabled_before_disabled", said(&events, &["--rule", "kms.key-disabled"], 0));
}

#[test]
fn a_duplicate_does_nothing() {
    let events = [event("DisableKey", 0), event("DisableKey", 0)];
    insta::assert_snapshot!("duplicate", said(&events, &["--rule", "kms.key-disabled"], 0));
}

#[test]
fn a_late_event_is_older_than_what_is_known() {
    let events = [event("DisableKey", 5), event("EnableKey", 10), event("DisableKey", 1)];
    insta::assert_snapshot!("late_and_outdated", said(&events, &["--rule", "kms.key-disabled"], 0));
}

const CONFIGURATION: &str = r#"
[queues.main]
url = "https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch"

[sinks.security.stdout]
[sinks.oncall.file]
path = "/tmp/oncall.jsonl"

[[keys]]
match = { key.id = [{ prefix = "1234abcd" }] }
labels = { environment = "production" }

[[routes]]
match = { severity = ["critical"], key.labels.environment = ["test"] }
sinks = ["oncall"]

[[routes]]
match = { severity = ["critical", "high"] }
sinks = ["security"]
stop = true

[[routes]]
sinks = ["oncall"]

[rules]
disable = ["kms.key-rotated"]
"#;

#[test]
fn a_rule_that_is_switched_off_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kmswatch.toml"), CONFIGURATION).unwrap();
    insta::assert_snapshot!(
        "rule_off",
        said_in(folder.path(), &[event("RotateKey", 0)], &["--rule", "kms.key-rotated"], 0)
    );
}

#[test]
fn routes_say_who_is_told_and_who_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kmswatch.toml"), CONFIGURATION).unwrap();
    insta::assert_snapshot!(
        "routes",
        said_in(folder.path(), &[event("DisableKey", 0)], &["--rule", "kms.key-disabled"], 0)
    );
}

#[test]
fn one_of_several_is_remembered() {
    let rule = r#"
[[rule]]
id = "team.burst"
title = "Keys disabled in a burst"
severity = "high"
match = { detail.eventName = ["DisableKey"], outcome = ["success"] }
threshold = { count = 3, within = "10m" }
resolve_after = "1d"
"#;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), rule).unwrap();
    let events = [0, 1, 2].map(|minute| event("DisableKey", minute));
    let arguments = ["--rules", "rules.toml"];
    insta::assert_snapshot!("one_of_several", said_in(folder.path(), &events[..2], &arguments, 0));
    let all = said_in(folder.path(), &events, &arguments, 0);
    let last = all.split("It raises an alert.").nth(1).unwrap();
    assert!(last.contains("3 remembered, 3 of them told") && last.contains("a page goes"), "{last}");
}

/// A rule on trial, and one whose incidents are held by another that is open.
const HOLDING: &str = r#"
[rules.override."kms.key-disabled"]
mode = "shadow"

[[inhibit]]
source = { incident = ["key-unusable"] }
target = { rule = ["kms.access-denied"] }
equal = ["key.arn"]
"#;

#[test]
fn a_rule_on_trial_tells_nobody() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kmswatch.toml"), format!("{CONFIGURATION}{HOLDING}")).unwrap();
    let arguments = ["--rule", "kms.key-disabled"];
    insta::assert_snapshot!("on_trial", said_in(folder.path(), &[event("DisableKey", 0)], &arguments, 0));
}

#[test]
fn another_open_incident_holds_it_back() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kmswatch.toml"), format!("{CONFIGURATION}{HOLDING}")).unwrap();
    let mut later = denied("Decrypt");
    later["time"] = json!("2026-11-02T09:05:00Z");
    later["detail"]["eventTime"] = json!("2026-11-02T09:05:00Z");
    later["detail"]["eventID"] = json!("00000002-0000-4000-8000-000000000999");
    let events = [event("ScheduleKeyDeletion", 0), later];
    let arguments = ["--rule", "kms.access-denied"];
    let said = said_in(folder.path(), &events, &arguments, 0);
    let second = said.split("\n\nDecrypt on").nth(1).map(|rest| format!("Decrypt on{rest}")).unwrap_or(said);
    insta::assert_snapshot!("inhibited", second);
}

#[test]
fn a_log_file_is_explained_event_by_event_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Value> = (0..3).map(|minute| event("DisableKey", minute)["detail"].take()).collect();
    fs::write(folder.path().join("log.json"), json!({ "Records": records }).to_string()).unwrap();
    let output = kmswatch(folder.path(), &["explain", "log.json", "--limit", "2", "--format", "json"], "");
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["kind"], &lines[0]["verdict"]), (&"event".into(), &"alert".into()));
    assert_eq!(lines[0]["rules"][0]["fields"][0]["path"], "detail.eventName");
    let summary = &lines[2];
    assert_eq!((&summary["events"], &summary["left_out"], &summary["alerts"]), (&2.into(), &1.into(), &2.into()));
}

#[test]
fn rule_files_that_are_named_win_over_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), RULE).unwrap();
    fs::write(folder.path().join("event.json"), event("TagResource", 0).to_string()).unwrap();
    for arguments in
        [["explain", "event.json", "--rules", "rules.toml"], ["test", "--filter", "kms.", "--rules=rules.toml"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_kmswatch"))
            .args(arguments)
            .current_dir(folder.path())
            .env("KMSWATCH_CONFIG", "absent.toml")
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(!said.contains("absent.toml") && !said.contains("cannot be used"), "{said}");
        assert!(output.status.code() < Some(2), "{said}");
    }
}

#[test]
fn wrong_usage_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let unknown =
        kmswatch(folder.path(), &["explain", "-", "--rule", "kms.key-disable"], &event("DisableKey", 0).to_string());
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean `kms.key-disabled`?"), "{}", text(&unknown.stderr));
    assert_eq!(kmswatch(folder.path(), &["explain"], "").status.code(), Some(2));
    assert_eq!(kmswatch(folder.path(), &["explain", "none.json"], "").status.code(), Some(1));
    let garbage = kmswatch(folder.path(), &["explain", "-"], "not\njson\n");
    assert_eq!(garbage.status.code(), Some(1));
    assert_eq!(text(&garbage.stdout).matches("This is no event").count(), 1, "one broken thing, not two");
    fs::write(folder.path().join("bad.toml"), "[[rule]]\nid = 1\n").unwrap();
    assert_eq!(kmswatch(folder.path(), &["explain", "-", "--rules", "bad.toml"], "{}").status.code(), Some(78));
}

/// Two key events through the real store: the first told, the second joins.
async fn stored(configuration: &Path) {
    let loaded = kmswatch::config::load(configuration, []).unwrap();
    let store = kmswatch::store::open(&loaded.config.store).await.unwrap();
    for minutes in [0, 5] {
        let event = decode(&event("DisableKey", minutes).to_string()).events.remove(0);
        let now = event.time;
        let prepared = Prepared { event, marks: vec![], looked_up: None };
        let evaluations = [evaluate(&loaded.policy, &prepared, now)];
        let reads = Evaluation::reads(&evaluations);
        store.apply(&reads, &|snapshot| decide(&loaded.policy, &evaluations, snapshot, now)).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn an_incident_says_who_was_told_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kmswatch.toml");
    fs::write(&path, format!("{CONFIGURATION}\n[store.sqlite]\npath = \"{}\"\n", folder.path().join("s.db").display()))
        .unwrap();
    stored(&path).await;
    let list = kmswatch(folder.path(), &["incidents"], "");
    let id = text(&list.stdout).split_whitespace().next().unwrap().to_owned();
    let output = kmswatch(folder.path(), &["explain", "--incident", &id], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!("incident", text(&output.stdout).replace(&id, "INCIDENT"));
    let output = kmswatch(folder.path(), &["explain", "--incident", &id, "--format", "json"], "");
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!((&first["kind"], &first["severity"]), (&"incident".into(), &"critical".into()));
    let shadow = folder.path().join("shadow.toml");
    let store = folder.path().join("t.db");
    fs::write(&shadow, format!("{CONFIGURATION}{HOLDING}\n[store.sqlite]\npath = \"{}\"\n", store.display())).unwrap();
    stored(&shadow).await;
    let list = kmswatch(folder.path(), &["incidents", "--config", "shadow.toml"], "");
    let held = text(&list.stdout).split_whitespace().next().unwrap().to_owned();
    let output = kmswatch(folder.path(), &["explain", "--config", "shadow.toml", "--incident", &held], "");
    insta::assert_snapshot!("incident_held", text(&output.stdout).replace(&held, "INCIDENT"));
    let none = kmswatch(folder.path(), &["explain", "--incident", "zzz"], "");
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("there is no incident `zzz`"));
}

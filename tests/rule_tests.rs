//! `test` as the shell sees it: exit codes, what is printed, `JUnit`.

#![cfg(test)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Output;

use program::text;
use serde_json::Value;

fn kmswatch(folder: &Path, arguments: &[&str]) -> Output {
    program::run(folder, arguments, b"")
}

const RULE: &str = r#"
[[rule]]
id = "team.key-policy"
title = "Key policy changed"
severity = "high"
match = { source = ["aws.kms"], detail.eventName = ["PutKeyPolicy"], outcome = ["success"] }
resolve_after = "1d"

[[rule.test]]
name = "a person changes a policy"
event = { detail.eventName = "PutKeyPolicy" }
expect = { alert = true, severity = "high" }

[[rule.test]]
name = "an attempt that <fails> & is denied"
event = { detail.eventName = "PutKeyPolicy", outcome = "denied" }
expect = { alert = true }
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), RULE).unwrap();
    folder
}

#[test]
fn without_a_configuration_the_built_in_rules_are_tested() {
    let output = kmswatch(folder().path(), &["test", "--require-coverage"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("kms.key-disabled") && said.contains(" 0 failed"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colour where there is no terminal");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_failing_test_says_what_was_expected_what_came_and_why() {
    for arguments in [&["test", "rules.toml"][..], &["test", "--rules", "rules.toml"]] {
        let output = kmswatch(folder().path(), arguments);
        assert_eq!(output.status.code(), Some(1));
        insta::assert_snapshot!("failing", text(&output.stdout));
    }
}

#[test]
fn a_filter_takes_rules_and_names() {
    let folder = folder();
    let output = kmswatch(folder.path(), &["test", "rules.toml", "--filter", "a person"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 test "), "{}", text(&output.stdout));
    let none = kmswatch(folder.path(), &["test", "rules.toml", "--filter", "zzz"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no test is called so"));
}

#[test]
fn what_is_not_proven_is_named_and_may_fail() {
    let folder = folder();
    let arguments = ["test", "rules.toml", "--filter", "a person", "--require-coverage"];
    assert_eq!(kmswatch(folder.path(), &arguments).status.code(), Some(0), "a part of the tests says nothing of all");
    fs::write(folder.path().join("few.toml"), RULE.split("[[rule.test]]\nname = \"an").next().unwrap()).unwrap();
    let output = kmswatch(folder.path(), &["test", "few.toml"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.contains("team.key-policy: none in which it must not fire, only 1 of 3 tests"), "{said}");
    assert_eq!(kmswatch(folder.path(), &["test", "few.toml", "--require-coverage"]).status.code(), Some(1));
}

#[test]
fn programs_read_json_lines() {
    let output = kmswatch(folder().path(), &["test", "rules.toml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["kind"], &lines[0]["ok"]), (&"test".into(), &true.into()));
    let failed = &lines[1];
    assert_eq!((&failed["line"], &failed["failures"][0]["what"]), (&15.into(), &"alert".into()));
    assert_eq!(lines[2]["kind"], "coverage");
    let last = lines.last().unwrap();
    assert_eq!((&last["kind"], &last["tests"], &last["failed"]), (&"summary".into(), &2.into(), &1.into()));
}

#[test]
fn build_servers_read_junit() {
    let folder = folder();
    let output = kmswatch(folder.path(), &["test", "rules.toml", "--junit", "out.xml"]);
    assert_eq!(output.status.code(), Some(1));
    let xml = fs::read_to_string(folder.path().join("out.xml")).unwrap();
    // Times differ from run to run.
    let xml: Vec<String> = xml
        .lines()
        .map(|line| match line.split_once(" time=\"") {
            Some((head, tail)) => format!("{head} time=\"…\"{}", tail.split_once('"').map_or("", |(_, rest)| rest)),
            None => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!("junit", xml.join("\n"));
    let nowhere = kmswatch(folder.path(), &["test", "rules.toml", "--junit", "none/out.xml"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot be written"));
}

#[test]
fn a_configuration_is_tested_with_the_rules_it_names() {
    let folder = folder();
    let configuration = "[rules]\nfiles = [\"rules.toml\"]\ndisable = [\"kms.key-rotated\"]\n[rules.override.\"kms.key-disabled\"]\nseverity = \"high\"\n[queues.main]\nurl = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\"\n[sinks.log.stdout]\n[[routes]]\nsinks = [\"log\"]\n";
    fs::write(folder.path().join("kmswatch.toml"), configuration).unwrap();
    let output = kmswatch(folder.path(), &["test", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("team.key-policy") && said.contains("kms.key-rotated"),
        "rules are tested as they are written"
    );
    assert_eq!(said.matches("\"ok\":false").count(), 1, "{said}");
}

#[test]
fn a_mistake_in_a_test_has_its_place_also_in_check() {
    let folder = folder();
    let broken = RULE
        .replace("outcome = \"denied\" }", "outcome = \"deny\" }")
        .replace("alert = true, severity", "alrt = true, severity");
    fs::write(folder.path().join("rules.toml"), broken).unwrap();
    for command in ["test", "check"] {
        let output = kmswatch(folder.path(), &[command, "rules.toml"]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = text(&output.stderr);
        assert!(said.contains("rules.toml:12:12") && said.contains("did you mean `alert`?"), "{command}: {said}");
        assert!(said.contains("rules.toml:16:46") && said.contains("there is no outcome `deny`"), "{command}: {said}");
    }
    assert_eq!(kmswatch(folder.path(), &["test", "--format", "xml"]).status.code(), Some(2));
    assert_eq!(kmswatch(folder.path(), &["test", "none.toml"]).status.code(), Some(78));
}

/// A queue and a rule before it that are called as the team likes.
const OTHER_NAMES: &str = r#"
[queues.main]
url = "https://sqs.eu-central-1.amazonaws.com/111122223333/security-events"
delivers = "full"
eventbridge_rules = ["audit"]

[sinks.log.stdout]

[[routes]]
sinks = ["log"]

[[rule]]
id = "team.queue"
title = "Somebody touches our queue"
severity = "high"
match = { source = ["aws.sqs"], outcome = ["success"], pipeline.ours = [true] }
notice = true

[[rule.test]]
name = "ours, by the old endpoint"
event = { detail.eventName = "DeleteQueue", detail.requestParameters.queueUrl = "https://eu-central-1.queue.amazonaws.com/111122223333/security-events" }
expect = { alert = true }

[[rule.test]]
name = "its namesake in another account"
event = { detail.eventName = "DeleteQueue", account = "444455556666", detail.requestParameters.queueUrl = "https://sqs.eu-central-1.amazonaws.com/444455556666/orders" }
expect = { alert = false }
"#;

#[test]
fn every_command_knows_what_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kmswatch.toml"), OTHER_NAMES).unwrap();
    let ran = |arguments: &[&str], input: &str| {
        let output = program::run(folder.path(), arguments, input.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    ran(&["check", "--strict"], "");
    let tested = ran(&["test", "kmswatch.toml"], "");
    assert!(tested.contains("team.queue") && tested.contains(" 0 failed"), "the built-in rules' too: {tested}");
    let event = |name: &str, source: &str, request: Value| {
        serde_json::json!({
            "source": source, "detail-type": "AWS API Call via CloudTrail", "time": "2026-03-02T10:00:00Z",
            "account": "111122223333", "region": "eu-central-1", "id": name,
            "detail": { "eventName": name, "eventTime": "2026-03-02T10:00:00Z", "eventID": name, "requestParameters": request },
        })
    };
    let url = "https://sqs.eu-central-1.amazonaws.com/111122223333/security-events";
    let deleted = event("DeleteQueue", "aws.sqs", serde_json::json!({ "queueUrl": url })).to_string();
    let disabled = event("DisableRule", "aws.events", serde_json::json!({ "name": "Audit" })).to_string();
    for (event, rule) in [(&deleted, "pipeline.queue-cut"), (&disabled, "pipeline.rule-disabled")] {
        let explained = ran(&["explain", "-", "--format", "json", "--rule", rule], event);
        assert!(explained.contains(r#""verdict":"alert""#), "{explained}");
        fs::write(folder.path().join("event.json"), event).unwrap();
        let replayed = ran(&["replay", "--config", "kmswatch.toml", "--format", "json", "event.json"], "");
        let lines = replayed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let alerts: Vec<Value> =
            lines.filter(|line| line["kind"] == "alert").map(|line| line["rule"].clone()).collect();
        assert!(alerts.contains(&Value::from(rule)), "{replayed}");
    }
}

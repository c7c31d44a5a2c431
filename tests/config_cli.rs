//! `check`, `schema` and a failing `demo` as the shell sees them: exit code, what goes to stdout, what to stderr.

#![cfg(test)]

#[path = "support/program.rs"]
mod program;

use std::path::Path;
use std::process::Output;

use program::text;
use serde_json::Value;

fn kmswatch(arguments: &[&str]) -> Output {
    program::run(Path::new("."), arguments, b"")
}

#[test]
fn a_good_configuration_is_fine() {
    let output = kmswatch(&["check", "config/kmswatch.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.starts_with("config/kmswatch.toml: fine: ") && said.contains(" 2 queues"), "{said}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_bad_one_is_78_with_the_findings_on_stderr() {
    let output = kmswatch(&["check", "tests/broken/several_at_once.toml", "config/kmswatch.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("--> tests/broken/several_at_once.toml:22:1"), "{said}");
    assert!(said.contains("= help: did you mean `settle`?"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colour where there is no terminal");
    assert!(text(&output.stdout).contains("config/kmswatch.toml: fine"), "the other file is checked all the same");
}

#[test]
fn programs_read_json_lines() {
    let output = kmswatch(&["check", "--format", "json", "tests/broken/unknown_key.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["line"], &lines[0]["column"]),
        (&"diagnostic".into(), &5.into(), &1.into())
    );
    assert_eq!((&lines[0]["level"], &lines[0]["hint"]), (&"error".into(), &"did you mean `max_per_minute`?".into()));
    let last = lines.last().unwrap();
    assert_eq!((&last["kind"], &last["ok"], &last["errors"]), (&"summary".into(), &false.into(), &1.into()));
}

#[test]
fn a_rule_file_is_checked_alone() {
    let output = kmswatch(&["check", "tests/broken/rules/own.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("own.toml:5:12"), "{}", text(&output.stderr));
    assert_eq!(kmswatch(&["check", "config/rules/key-use.toml"]).status.code(), Some(0));
}

#[test]
fn the_schema_is_data() {
    let output = kmswatch(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "kmswatch configuration");
    assert!(schema["properties"]["sinks"]["description"].as_str().unwrap().contains("Who is told"));
}

#[test]
fn wrong_usage_is_2() {
    assert_eq!(kmswatch(&["check", "--fromat", "json"]).status.code(), Some(2));
}

#[test]
fn a_demo_without_a_folder_says_which_one_it_wants() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kmswatch"))
        .args(["demo", "--fast", "--exit", "--port", "0"])
        .env("TMPDIR", "/nowhere/at/all")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("/nowhere/at/all/kmswatch-demo-") && said.contains("TMPDIR="), "{said}");
}

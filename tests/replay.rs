//! `kmswatch replay` as the shell sees it: answers, exit codes, and what it says of what it could not read.

#![cfg(test)]

#[path = "support/program.rs"]
mod program;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use program::text;
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn record(id: &str, name: &str, time: &str) -> Value {
    json!({
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/erin", "userName": "erin"},
        "eventTime": time, "eventSource": "kms.amazonaws.com", "eventName": name, "awsRegion": "eu-central-1",
        "requestParameters": {"keyId": KEY}, "responseElements": null, "eventID": id, "readOnly": false,
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        "eventType": "AwsApiCall", "recipientAccountId": "111122223333",
    })
}

fn log(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn replay(arguments: &[&str], input: Option<&[u8]>) -> Output {
    program::run(Path::new("."), &[&["replay"], arguments].concat(), input.unwrap_or_default())
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A quarter's worth of trouble, in the folders of a bucket.
fn bucket(folder: &Path) {
    let place = folder.join("AWSLogs/111122223333/CloudTrail/eu-central-1/2026/03/02");
    std::fs::create_dir_all(&place).unwrap();
    let first = [record("e1", "DisableKey", "2026-03-02T10:00:00Z"), record("e2", "ListKeys", "2026-03-02T10:01:00Z")];
    let second =
        [record("e3", "EnableKey", "2026-03-02T12:00:00Z"), record("e4", "DisableKey", "2026-03-10T12:00:00Z")];
    std::fs::write(place.join("b.json.gz"), packed(&log(&first))).unwrap();
    std::fs::write(place.join("a.json.gz"), packed(&log(&second))).unwrap();
    let digests = folder.join("AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/03/02");
    std::fs::create_dir_all(&digests).unwrap();
    std::fs::write(digests.join("d.json.gz"), packed("{}")).unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
}

#[test]
fn a_bucket_is_replayed_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let path = folder.path().to_str().unwrap();
    let output = replay(&[path, "--format", "json"], None);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let mut all = lines(&output);
    let summary = all.pop().unwrap();
    assert!(summary["seconds"].as_f64().is_some_and(|seconds| seconds < 30.0));
    let rest = summary.as_object().unwrap().iter().filter(|(name, _)| *name != "seconds");
    let rest: serde_json::Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    let wanted = json!({"kind": "summary", "files": 2, "events": 4, "alerts": 2, "incidents": 2, "undecodable": 0});
    assert_eq!(Value::Object(rest), wanted);
    assert_eq!(all.iter().filter(|line| line["kind"] == "alert").count(), 2);
    let reasons: Vec<&str> =
        all.iter().filter(|line| line["kind"] == "notification").map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["opened", "resolved", "opened"]);

    let output = replay(&[path], None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let (head, rest) = said.split_once("; read and decided in ").unwrap();
    let (_, rest) = rest.split_once(" s\n").unwrap();
    // What rules there are is another test's matter.
    let kept = rest.lines().filter(|line| !line.contains("never matched") && !line.contains("built in"));
    let kept: Vec<&str> = kept.take_while(|line| !line.starts_with("  kms.")).collect();
    insta::assert_snapshot!(format!("{head}\n{}", kept.join("\n")));
}

#[test]
fn standard_input_is_read_packed_or_plain() {
    let text = log(&[record("e1", "DisableKey", "2026-03-02T10:00:00Z")]);
    for input in [text.as_bytes(), &packed(&text)] {
        let output = replay(&["-", "--format", "json"], Some(input));
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(lines(&output).last().unwrap()["alerts"], 1);
    }
    assert_eq!(replay(&["-", "-"], Some(b"")).status.code(), Some(2));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let mut cut = packed(&log(&[record("e9", "DisableKey", "2026-03-03T10:00:00Z")]));
    cut.truncate(cut.len() / 2);
    std::fs::write(folder.path().join("cut.json.gz"), cut).unwrap();
    std::fs::write(folder.path().join("torn.jsonl"), "{\"eventName\":\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = replay(&[path, "--format", "json"], None);
    assert_eq!(output.status.code(), Some(1));
    let summary = lines(&output).pop().unwrap();
    assert_eq!((&summary["alerts"], &summary["files"], &summary["undecodable"]), (&json!(2), &json!(3), &json!(1)));
    let said = text(&output.stderr);
    assert!(said.contains("cut.json.gz: is damaged: the packed data ends too early"), "{said}");
    assert!(said.contains("torn.jsonl, part 1: the text ends in the middle of a value"), "{said}");

    let said = text(&replay(&[path], None).stdout);
    assert!(said.contains("INCOMPLETE: 1 file not read, 1 part not decoded; see the end"), "{said}");
    assert!(said.contains("cut.json.gz: is damaged"), "{said}");

    let nothing = tempfile::tempdir().unwrap();
    let output = replay(&[nothing.path().to_str().unwrap()], None);
    assert_eq!(output.status.code(), Some(1), "an empty folder is no all-clear");
    assert!(text(&output.stderr).contains("no archive file was found"));
    assert_eq!(replay(&["/nowhere/at/all"], None).status.code(), Some(1));
}

#[test]
fn a_configuration_or_rules_alone_say_what_is_told() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let (config, own, bad) =
        (folder.path().join("k.toml"), folder.path().join("own.toml"), folder.path().join("bad.toml"));
    std::fs::write(
        &config,
        "[queues.main]\nurl = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kms\"\n[store.memory]\n\
         [sinks.out.stdout]\n[[routes]]\nsinks = [\"out\"]\n",
    )
    .unwrap();
    std::fs::write(
        &own,
        "[[rule]]\nid = \"mine\"\ntitle = \"Keys are listed\"\nseverity = \"low\"\nmatch = { detail.eventName = [\"ListKeys\"] }\n\
         group_by = [\"actor.principal\"]\nresolve_after = \"1h\"\n",
    )
    .unwrap();
    std::fs::write(&bad, "[[rule]]\nid = 7\n").unwrap();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let (path, config, own, bad) = (name(&folder.path().join("AWSLogs")), name(&config), name(&own), name(&bad));

    let output = replay(&[&path, "--config", &config, "--format", "json"], None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(lines(&output).iter().filter(|line| line["kind"] == "notification").all(|line| line["sink"] == "out"));

    let output = replay(&[&path, "--rules", &own, "--format", "json"], None);
    let all = lines(&output);
    let rules: Vec<&Value> = all.iter().filter(|l| l["kind"] == "alert").map(|l| &l["rule"]).collect();
    assert_eq!(rules, ["mine"]);

    let output = replay(&[&path, "--against", &own, "--format", "json"], None);
    let changes: Vec<String> = lines(&output)
        .iter()
        .filter(|line| line["kind"] == "change")
        .map(|line| format!("{} {}", line["change"].as_str().unwrap(), line["rule"].as_str().unwrap()))
        .collect();
    assert_eq!(changes, ["lost kms.key-disabled", "gained mine", "lost kms.key-disabled"]);
    let said = text(&replay(&[&path, "--against", &own], None).stdout);
    assert!(said.contains("1 gained, 2 lost, 0 changed, 0 the same"), "{said}");

    for arguments in [[&path, "--rules", &bad], [&path, "--config", &bad], [&path, "--against", &bad]] {
        let output = replay(&arguments.map(AsRef::as_ref), None);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{}", text(&output.stderr));
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        vec![],
        vec!["x", "--format", "yaml"],
        vec!["x", "--threads", "0"],
        vec!["x", "--from", "yesterday"],
        vec!["x", "--from", "2026-03-02", "--to", "2026-03-01"],
    ] {
        assert_eq!(replay(&arguments, None).status.code(), Some(2), "{arguments:?}");
    }
}

/// Many files, and one that is larger than all memory that a replay may use.
#[cfg(target_os = "linux")]
#[test]
fn memory_depends_neither_on_the_number_of_files_nor_on_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Value> = (0..200).map(|n| record(&format!("f{n}"), "Decrypt", "2026-03-02T10:00:00Z")).collect();
    for n in 0..300 {
        std::fs::write(folder.path().join(format!("{n}.json.gz")), packed(&log(&records))).unwrap();
    }
    let line = format!("{}\n", record("g", "Decrypt", "2026-03-02T10:00:00Z"));
    let mut large = std::io::BufWriter::new(std::fs::File::create(folder.path().join("large.jsonl")).unwrap());
    let lines = 120_000_000 / line.len();
    for _ in 0..lines {
        large.write_all(line.as_bytes()).unwrap();
    }
    drop(large);
    let mut child = Command::new(env!("CARGO_BIN_EXE_kmswatch"))
        .args(["replay", "--format", "json", "--threads", "2"])
        .arg(folder.path())
        .env_remove("KMSWATCH_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The kernel keeps the peak, so that nothing between two looks is missed but what comes after the last.
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(peak > 0 && peak < 100 * 1024, "{peak} KiB");
    let summary: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(summary["events"], json!(300 * 200 + lines));
}

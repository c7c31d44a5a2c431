//! Audits the keys of a KMS-compatible server that somebody else wrote, within KMS's quotas, interrupted, and with permissions missing.

#![cfg(test)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/program.rs"]
mod program;
#[path = "support/venv.rs"]
mod venv;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use emulator::Emulator;
use kms_proxy::Proxy;
use serde_json::{Value, json};

/// KMS behind a proxy, and a folder with a configuration that names it.
struct Stage {
    server: Emulator,
    proxy: Proxy,
    folder: PathBuf,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn start(test: &str) -> Option<Self> {
        let venv = venv::venv(test)?;
        let server = Emulator::start(&venv, "moto");
        let proxy = Proxy::start(&server.url);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "[queues.main]\nurl = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\"\n\
             [sinks.out.stdout]\n[[routes]]\nsinks = [\"out\"]\n[store.memory]\n[lookups]\nendpoint = \"{}\"\nregions = [\"eu-central-1\"]\n",
            proxy.url
        );
        fs::write(folder.join("kmswatch.toml"), config).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Self { server, proxy, folder, client, runtime })
    }

    /// Calls KMS behind the proxy's back.
    fn kms(&self, call: &str, body: &Value) -> Value {
        let signature =
            "AWS4-HMAC-SHA256 Credential=test/20261123/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0";
        let request = self
            .client
            .post(&self.server.url)
            .header("x-amz-target", format!("TrentService.{call}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", signature)
            .body(body.to_string());
        self.runtime
            .block_on(async { serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()) })
            .unwrap()
    }

    fn keys(&self, number: usize) -> Vec<String> {
        (0..number)
            .map(|number| {
                let made = self.kms("CreateKey", &json!({}));
                let id = made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
                if number.is_multiple_of(2) {
                    self.kms("CreateAlias", &json!({"AliasName": format!("alias/key-{number}"), "TargetKeyId": id}));
                }
                id
            })
            .collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmswatch"));
        command.arg("audit").args(arguments).current_dir(&self.folder).env_remove("KMSWATCH_CONFIG");
        command.envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn lines(output: &Output) -> Vec<Value> {
    program::text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn five_hundred_keys_are_read_within_the_quotas_and_an_interrupted_audit_goes_on() {
    let Some(stage) = Stage::start("five-hundred-keys") else { return };
    let keys = stage.keys(500);
    stage.kms("ScheduleKeyDeletion", &json!({"KeyId": keys[7], "PendingWindowInDays": 10}));
    stage.kms("EnableKeyRotation", &json!({"KeyId": keys[8]}));
    let arguments = ["--format", "json", "--without", "last-usage", "--resume", "audit.state", "--fail-on", "critical"];
    let mut first = stage.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while stage.proxy.calls("ListGrants") < 150 {
        assert!(Instant::now() < deadline && first.try_wait().unwrap().is_none(), "it ended, or it is stuck");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: nothing is tidied up.
    first.kill().unwrap();
    first.wait().unwrap();
    let before = stage.proxy.calls("DescribeKey");
    assert!(before < 400, "interrupted too late to see anything: {before}");

    let output = stage.audit(&arguments);
    let talk = program::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "a critical finding: {talk}");
    assert!(talk.contains("keys were read already"), "{talk}");
    let seen = stage.proxy.take();
    assert_eq!(seen.throttled, 0, "{:?}", seen.busiest);
    // What was under way when it was killed is read again; no more.
    assert!((500..=530).contains(&seen.calls["DescribeKey"]), "{:?}", seen.calls);
    assert!(seen.calls["ListAliases"] <= 10, "a page for a hundred aliases: {:?}", seen.calls);
    assert!(!stage.folder.join("audit.state").exists(), "it is whole");

    let lines = lines(&output);
    let summary = lines.last().unwrap();
    assert_eq!((summary["kind"].as_str(), summary["keys"].as_u64()), (Some("summary"), Some(500)));
    assert_eq!(summary["findings"]["critical"], 1);
    let found = of_kind(&lines, "finding");
    let critical = found.iter().find(|finding| finding["severity"] == "critical").unwrap();
    assert!(
        critical["key_arn"].as_str().unwrap().ends_with(&keys[7]) && critical["check"] == "pending-deletion",
        "{critical}"
    );
    assert_eq!(found.iter().filter(|finding| finding["check"] == "no-alias").count(), 250);
    assert_eq!(found.iter().filter(|finding| finding["check"] == "rotation-off").count(), 498);
    let row = of_kind(&lines, "key").into_iter().find(|row| row["key"]["id"] == json!(keys[7])).unwrap();
    let told = stage.kms("DescribeKey", &json!({"KeyId": keys[7]}))["KeyMetadata"]["DeletionDate"].as_f64().unwrap();
    let ours: jiff::Timestamp = row["deadlines"][0]["at"].as_str().unwrap().parse().unwrap();
    assert!((ours.as_duration().as_secs_f64() - told).abs() < 0.002, "{ours} is not {told}");
}

#[test]
fn each_permission_may_be_missing_and_is_said_in_one_line() {
    let Some(stage) = Stage::start("missing-permissions") else { return };
    stage.keys(6);
    let parts = [
        "DescribeKey",
        "ListAliases",
        "ListResourceTags",
        "GetKeyRotationStatus",
        "ListKeyRotations",
        "GetKeyPolicy",
        "ListGrants",
        "GetKeyLastUsage",
    ];
    for denied in parts {
        stage.proxy.deny(Some(denied));
        let output = stage.audit(&["--format", "json"]);
        let talk = program::text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{denied}: {talk}");
        let told: Vec<&str> = talk.lines().filter(|line| line.contains(denied)).collect();
        assert_eq!(told.len(), 1, "{denied}: {talk}");
        assert!(told[0].starts_with("left out in") && told[0].contains("identity-based policy"), "{told:?}");
        let lines = lines(&output);
        let gaps = of_kind(&lines, "gap");
        assert_eq!(gaps.len(), 1, "{denied}: {gaps:?}");
        assert_eq!(
            (gaps[0]["permission"].as_str().unwrap(), gaps[0]["keys"].as_u64()),
            (format!("kms:{denied}").as_str(), Some(6))
        );
        assert_eq!(of_kind(&lines, "key").len(), 6);
        let summary = lines.last().unwrap();
        let unknown = denied == "DescribeKey";
        assert_eq!(summary["whole"], !unknown, "{denied}");
        assert_eq!(summary["not_judged"], if unknown { 6 } else { 0 }, "{denied}");
        // Those under way at that moment, and then no more.
        assert!(stage.proxy.take().calls[denied] <= 6);
    }
    stage.proxy.deny(Some("ListKeys"));
    let output = stage.audit(&["--format", "json"]);
    let talk = program::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("not read: our own account, eu-central-1: kms:ListKeys: denied"), "{talk}");
    assert_eq!(lines(&output).last().unwrap()["whole"], false);
}

#[test]
fn the_smallest_quota_is_kept_and_every_report_comes_out() {
    let Some(stage) = Stage::start("smallest-quota") else { return };
    stage.keys(12);
    let begun = Instant::now();
    let output = stage.audit(&["--html", "page.html", "--who"]);
    assert!(output.status.success(), "{}", program::text(&output.stderr));
    assert!(begun.elapsed() > Duration::from_secs(3), "twelve at three a second: {:?}", begun.elapsed());
    let seen = stage.proxy.take();
    assert_eq!((seen.throttled, seen.calls["GetKeyLastUsage"]), (0, 12), "{:?}", seen.busiest);
    let text = program::text(&output.stdout);
    assert!(
        text.starts_with("12 keys in 1 place") && text.contains("no successful use is recorded since 2025-10-09"),
        "{text}"
    );
    assert!(text.contains("and whoever IAM policies of the account allow it"), "{text}");
    let page = fs::read_to_string(stage.folder.join("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("alias/key-4"));
    let csv = stage.audit(&["--format", "csv", "--without", "last-usage", "--region", "eu-central-1"]);
    assert!(program::text(&csv.stdout).starts_with("severity,check,key,"), "{}", program::text(&csv.stderr));
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-wrong");
    fs::create_dir_all(&folder).unwrap();
    for (arguments, expected) in [
        (vec!["audit", "--region", "Frankfurt"], "`Frankfurt` is not a Region"),
        (vec!["audit", "--region", "eu-central-1", "--account", "444455556666"], "has no role"),
        (vec!["audit", "--region", "eu-central-1", "--role", "auditor"], "is not the ARN of a role"),
    ] {
        let output = program::run(&folder, &arguments, b"");
        let talk = program::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(talk.contains(expected), "{talk}");
    }
}

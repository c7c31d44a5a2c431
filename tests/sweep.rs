//! The daemon beside a KMS-compatible server that somebody else wrote: what is done to a key behind its back, it finds.

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
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use emulator::Emulator;
use kms_proxy::Proxy;
use serde_json::{Value, json};

/// A daemon that ends with its value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Calls a service of the server as one of its SDKs would.
fn call(server: &Emulator, service: &str, target: &str, body: &Value) -> Value {
    let credential = format!("Credential=test/20261123/eu-central-1/{service}/aws4_request");
    let request = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(&server.url)
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"))
        .body(body.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async { request.send().await.unwrap().text().await.unwrap() });
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{target}: {error}: {text}"))
}

fn kms(server: &Emulator, name: &str, body: &Value) -> Value {
    call(server, "kms", &format!("TrentService.{name}"), body)
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sweep-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn wait_until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_deletion_behind_our_back_is_found_with_the_date_that_kms_says() {
    let Some(venv) = venv::venv("a sweep of another KMS") else { return };
    let server = Emulator::start(&venv, "moto");
    let proxy = Proxy::start(&server.url);
    // A permission that is missing takes its part away, and no more.
    proxy.deny(Some("ListGrants"));
    let queue = call(&server, "sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": "kmswatch"}));
    let path = queue["QueueUrl"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
    let keys: Vec<String> = (0..4)
        .map(|_| kms(&server, "CreateKey", &json!({}))["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned())
        .collect();
    kms(&server, "CreateAlias", &json!({"AliasName": "alias/prod-ledger", "TargetKeyId": keys[2]}));
    kms(&server, "DisableKey", &json!({"KeyId": keys[3]}));

    let folder = folder();
    let config = format!(
        "[queues.main]\nurl = \"{}/{path}\"\nregion = \"eu-central-1\"\nwait = \"1s\"\n[store.sqlite]\npath = \"state.db\"\n\
         [sinks.out.stdout]\n[[routes]]\nsinks = [\"out\"]\n[admin]\nenabled = false\n[lookups]\nendpoint = \"{}\"\n[sweep]\nevery = \"1m\"\n",
        server.url, proxy.url
    );
    fs::write(folder.join("kmswatch.toml"), config).unwrap();
    let daemon = Command::new(env!("CARGO_BIN_EXE_kmswatch"))
        .args(["run", "--config", "kmswatch.toml"])
        .current_dir(&folder)
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .env_remove("KMSWATCH_CONFIG")
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.join("out")).unwrap())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    let daemon = Daemon(daemon);
    let log = || fs::read_to_string(folder.join("log")).unwrap();
    wait_until("the first sweep", 60, || log().contains("KMS was asked about all keys"));
    assert_eq!((proxy.calls("ListKeys"), proxy.calls("DescribeKey"), proxy.calls("GetKeyPolicy")), (1, 4, 4));
    assert_eq!(log().matches("kms:ListGrants action").count(), 1, "{}", log());
    proxy.take();

    kms(&server, "ScheduleKeyDeletion", &json!({"KeyId": keys[2], "PendingWindowInDays": 12}));
    let told = || fs::read_to_string(folder.join("out")).unwrap();
    wait_until("the page", 100, || told().contains("trigger"));
    let second = proxy.take();
    assert_eq!(second.calls.get("GetKeyPolicy"), None, "a state costs one request a key: {:?}", second.calls);
    assert_eq!(second.calls["ListKeys"], 1);
    let incidents = program::run(&folder, &["incidents", "--config", "kmswatch.toml", "--format", "json"], b"");
    let incidents: Vec<Value> =
        program::text(&incidents.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(incidents.len(), 1, "the key that was disabled at the first look is held against nobody: {incidents:?}");
    let incident = &incidents[0];
    assert!(incident["key"]["arn"].as_str().unwrap().ends_with(&keys[2]), "{incident}");
    assert_eq!(incident["key"]["aliases"], json!(["alias/prod-ledger"]));
    assert_eq!(
        (incident["severity"].as_str(), incident["key"]["state"].as_str()),
        (Some("critical"), Some("PendingDeletion"))
    );
    let date = kms(&server, "DescribeKey", &json!({"KeyId": keys[2]}))["KeyMetadata"]["DeletionDate"].as_f64().unwrap();
    let ours: jiff::Timestamp = incident["deadline"]["at"].as_str().unwrap().parse().unwrap();
    assert!((ours.as_duration().as_secs_f64() - date).abs() < 0.002, "{ours} is not {date}");
    drop(daemon);
    fs::remove_dir_all(&folder).ok();
}

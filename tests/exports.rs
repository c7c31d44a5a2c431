//! What the export sinks write, held to validators, parsers and servers that other people made.

#![cfg(test)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/venv.rs"]
mod venv;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmswatch::base::aws::Access;
use kmswatch::base::clock::{Clock, SystemClock};
use kmswatch::core::event::{Actor, Outcome};
use kmswatch::core::incident::{State, Taken};
use kmswatch::core::notification::{Notification, Reason};
use kmswatch::sink::sample::{Sample, sample_notification};
use kmswatch::sink::{Dispatch, Sink, SinkContext, SinkTable};
use kmswatch::spool::{Reporter, Spool};
use serde_json::{Value, json};

use emulator::Emulator;
use venv::venv;

/// Every sample, and the corners of what a notification can be.
fn notifications() -> Vec<Notification> {
    let now = SystemClock.now();
    let mut all: Vec<Notification> = Sample::ALL.into_iter().map(|sample| sample_notification(sample, now)).collect();

    let mut taken = sample_notification(Sample::Escalated, now);
    taken.reason = Reason::AcknowledgedByHand;
    taken.incident.state = State::Acknowledged;
    taken.incident.taken = Some(Taken { by: "jo".into(), why: "on it".into(), at: now });
    all.push(taken);

    // Nothing is known of the key and of who it was.
    let mut bare = sample_notification(Sample::DeniedUse, now);
    bare.key = None;
    bare.event.actor = Actor::default();
    (bare.event.account, bare.event.region) = (None, None);
    bare.incident.tags = vec![];
    (bare.meaning, bare.action, bare.undo, bare.incident.runbook) = (None, None, None, None);
    bare.links = vec![];
    all.push(bare);

    // KMS by itself, and kmswatch about itself.
    for (source, name) in [("aws.kms", "KMS CMK Rotation"), ("kmswatch", "kmswatch is deaf")] {
        let mut own = sample_notification(Sample::KeyRotated, now);
        own.event.source = source.into();
        own.event.name = name.into();
        own.event.actor = Actor::default();
        all.push(own);
    }

    // A service on somebody's behalf; a key of which only an alias is known; techniques and tags of all sorts.
    let mut service = sample_notification(Sample::KeyDisabled, now);
    service.event.actor.ip = Some("cloudformation.amazonaws.com".into());
    service.event.actor.service = Some("cloudformation.amazonaws.com".into());
    let key = service.key.as_mut().unwrap();
    (key.arn, key.id) = (None, None);
    key.tags.insert("cost-center".into(), String::new());
    (key.multi_region, key.origin) = (Some(true), Some("AWS_KMS".into()));
    service.incident.tags = ["attack.t1555.006", "attack.impact", "attack.T1098", ""].map(str::to_owned).to_vec();
    service.banner = Some("TEST".into());
    all.push(service);

    // What an attacker would like to break out of.
    let nasty = "]\" \\ é😀\u{202E}\n\r\0\u{1b}[31m <a&b> {{x}} ".repeat(3_000);
    let mut hostile = sample_notification(Sample::DeniedUse, now);
    hostile.summary.clone_from(&nasty);
    hostile.event.error_message = Some(nasty.clone());
    hostile.event.outcome = Outcome::Failed;
    hostile.event.actor.session = Some(nasty.clone());
    hostile.event.actor.user_agent = Some(nasty.clone());
    hostile.event.actor.ip = Some("2001:db8::1".into());
    hostile.event.details = BTreeMap::from([(nasty.chars().take(50).collect(), nasty.clone())]);
    hostile.marks = vec![nasty; 5];
    all.push(hostile);
    all
}

fn sink(table: &str) -> Arc<dyn Sink> {
    let context = SinkContext { clock: Arc::new(SystemClock), aws: Access::unchecked() };
    toml::from_str::<SinkTable>(table).unwrap().build(&context).unwrap()
}

/// Tells everything; each under its own key.
async fn tell(sink: &dyn Sink, told: &[Notification]) {
    for (at, notification) in told.iter().enumerate() {
        let key = format!("delivery-{at}");
        let dispatch =
            Dispatch { notification, idempotency_key: &key, attempt: 1, memory: None, outcome_unknown: false };
        sink.deliver(&dispatch).await.unwrap_or_else(|error| panic!("{at} ({}): {error}", notification.event.name));
    }
}

fn python(venv: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(venv.join("bin/python"));
    command.arg(format!("tests/exports/{script}")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs a validator over a file of lines; its last line, which counts.
fn validated(venv: &Path, script: &str, file: &Path) -> Value {
    let output = python(venv, script, &[file.to_str().unwrap()]).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{script}:\n{said}");
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// A validator that accepts everything proves nothing: spoils the first line, and wants it refused.
fn refuses(venv: &Path, script: &str, file: &Path, spoil: impl Fn(&mut Value)) {
    let text = fs::read_to_string(file).unwrap();
    let mut first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    spoil(&mut first);
    let spoilt = file.with_extension("spoilt");
    fs::write(&spoilt, format!("{first}\n")).unwrap();
    let output = python(venv, script, &[spoilt.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{script} accepts {first}:\n{}", said(&output));
}

/// A receiver that keeps whole requests and gives one answer.
async fn recorder(answer: Value) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(Mutex::new(vec![]));
    let (kept, base) = (Arc::clone(&calls), url.clone());
    let take = async move |request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let headers: BTreeMap<&str, &str> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        kept.lock().unwrap().push(json!({
            "method": parts.method.as_str(),
            "url": format!("{base}{}", parts.uri),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
            "bytes": STANDARD.encode(&body),
        }));
        answer.to_string()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
    (url, calls)
}

fn lines(folder: &Path, values: &[Value]) -> PathBuf {
    let path = folder.join("lines.jsonl");
    let text: Vec<String> = values.iter().map(Value::to_string).collect();
    fs::write(&path, text.join("\n")).unwrap();
    path
}

#[tokio::test]
async fn ocsf_documents_fit_the_schema() {
    let Some(venv) = venv("validating OCSF documents") else { return };
    let all = notifications();
    let folder = tempfile::tempdir().unwrap();
    for (format, findings, activities) in [("ocsf", all.len(), 0), ("ocsf_activity", 2, all.len() - 2)] {
        let path = folder.path().join(format);
        tell(sink(&format!("[file]\npath = {path:?}\nformat = '{format}'")).as_ref(), &all).await;
        let counted = validated(&venv, "ocsf.py", &path);
        let number = |class: &str| counted["documents"][class].as_u64().unwrap_or(0);
        assert_eq!(
            (number("detection_finding"), number("api_activity")),
            (findings as u64, activities as u64),
            "{counted}"
        );
        refuses(&venv, "ocsf.py", &path, |document| document["severity_id"] = json!(17));
        refuses(&venv, "ocsf.py", &path, |document| document["surplus"] = json!(1));
        refuses(&venv, "ocsf.py", &path, |document| drop(document.as_object_mut().unwrap().remove("cloud")));
    }
}

#[tokio::test]
async fn splunks_events_are_what_its_collector_takes() {
    let Some(venv) = venv("validating Splunk's events") else { return };
    let (url, calls) = recorder(json!({"text": "Success", "code": 0})).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "made-up").unwrap();
    for more in ["", "format = 'ocsf'\nindex = 'main'\nhost = 'h'\nsource = 's'\nsourcetype = 't'"] {
        tell(
            sink(&format!("[splunk]\nurl = '{url}'\ntoken = {{ file = {token:?} }}\n{more}")).as_ref(),
            &notifications(),
        )
        .await;
    }
    let calls = calls.lock().unwrap().clone();
    let events: Vec<Value> =
        calls.iter().map(|call| serde_json::from_str(call["body"].as_str().unwrap()).unwrap()).collect();
    assert!(calls.iter().all(|call| call["url"] == format!("{url}/services/collector/event")));
    let file = lines(folder.path(), &events);
    assert_eq!(validated(&venv, "splunk.py", &file)["events"], events.len());
    refuses(&venv, "splunk.py", &file, |event| event["time"] = json!("soon"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_is_understood_by_a_receiver_that_others_wrote() {
    let Some(venv) = venv("parsing syslog messages") else { return };
    let all = notifications();
    let formats = ["text", "kmswatch", "cloudevents", "ocsf"];
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let count = (all.len() * formats.len()).to_string();
    let mut receiver = python(&venv, "syslog.py", &[cert.to_str().unwrap(), key.to_str().unwrap(), &count])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let port = said.next().unwrap().unwrap();
    for format in formats {
        let table = format!("[syslog]\naddress = 'localhost:{port}'\nformat = '{format}'\ntls.ca_file = {cert:?}");
        tell(sink(&table).as_ref(), &all).await;
    }
    let understood: Vec<Value> = said.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(receiver.wait().unwrap().success());
    assert_eq!(understood.len(), all.len() * formats.len());
    for (at, message) in understood.iter().enumerate() {
        let n = &all[at % all.len()];
        assert_eq!((&message["facility"], &message["appname"]), (&json!("auth"), &json!("kmswatch")), "{message}");
        assert_eq!(message["msgid"], n.kind.as_str());
        assert!(message["size"].as_u64().unwrap() <= 8_192);
        let data = &message["sd"]["kmswatch@32473"];
        assert_eq!(data["incident"], json!(n.incident.id));
        assert_eq!(data["delivery"], format!("delivery-{}", at % all.len()));
        // The longest one does not fit as JSON and goes out as text.
        let hostile = at % all.len() == all.len() - 1;
        let json: Option<Value> = serde_json::from_str(message["msg"].as_str().unwrap()).ok();
        assert!(hostile || json.is_some() == (at >= all.len()), "{message}");
    }
}

#[tokio::test]
async fn security_hubs_findings_fit_its_model_and_are_signed() {
    let Some(venv) = venv("validating findings of Security Hub") else { return };
    let (url, calls) = recorder(json!({"FailedCount": 0, "SuccessCount": 1, "FailedFindings": []})).await;
    let table = format!("[security_hub]\nregion = 'eu-central-1'\naccount = '111122223333'\nendpoint = '{url}'");
    let all = notifications();
    tell(sink(&table).as_ref(), &all).await;
    let folder = tempfile::tempdir().unwrap();
    let file = lines(folder.path(), &calls.lock().unwrap());
    assert_eq!(validated(&venv, "security_hub.py", &file)["calls"], all.len());
    refuses(&venv, "security_hub.py", &file, |call| {
        call["body"] = json!(call["body"].as_str().unwrap().replace("HIGH", "HUGE"));
    });
    refuses(&venv, "security_hub.py", &file, |call| call["headers"]["x-amz-date"] = json!("20261123T091445Z"));
}

#[tokio::test]
async fn a_security_hub_keeps_one_finding_for_an_incident() {
    let Some(venv) = venv("importing findings into a Security Hub") else { return };
    let moto = Emulator::start(&venv, "moto");
    let table = format!("[security_hub]\nregion = 'eu-central-1'\naccount = '111122223333'\nendpoint = '{}'", moto.url);
    let sink = sink(&table);
    let at = SystemClock.now();
    let findings = || {
        let output = Command::new(venv.join("bin/aws"))
            .args(["--endpoint-url", &moto.url, "securityhub", "get-findings"])
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        found["Findings"].as_array().unwrap().clone()
    };
    tell(sink.as_ref(), &[sample_notification(Sample::KeyDisabled, at)]).await;
    let open = findings();
    assert_eq!((open.len(), &open[0]["RecordState"]), (1, &json!("ACTIVE")));
    tell(sink.as_ref(), &[sample_notification(Sample::Escalated, at), sample_notification(Sample::Resolved, at)]).await;
    let closed = findings();
    assert_eq!((closed.len(), &closed[0]["RecordState"]), (1, &json!("ARCHIVED")), "{closed:?}");
    assert_eq!(closed[0]["Id"], "kmswatch/sample-key-disabled-1");
}

/// Hears nothing but good.
struct Fine;

impl Reporter for Fine {
    fn archive_failing(&self, detail: &str) {
        panic!("{detail}");
    }

    fn archive_works(&self) {}
}

/// Lets these messages be archived.
async fn archived(url: &str, bodies: &[&str]) {
    let spool = tempfile::tempdir().unwrap();
    let more = "kms_key = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'";
    let config = format!(
        "bucket = 'events'\nregion = 'eu-central-1'\nendpoint = '{url}'\nspool = {:?}\nprefix = 'a/year=b'\n{more}",
        spool.path()
    );
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let archive =
        Spool::start(&toml::from_str(&config).unwrap(), &Access::unchecked(), &clock, Arc::new(Fine)).unwrap();
    archive.take("main", bodies.iter().copied());
    archive.stop(Duration::from_secs(20)).await;
    let left: Vec<_> = fs::read_dir(spool.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "everything is in the bucket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archives_uploads_are_signed() {
    let Some(venv) = venv("checking the signature of uploads") else { return };
    let (url, calls) = recorder(json!({})).await;
    archived(&url, &["{\"a\": 1}", "{\"b\": 2}"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = lines(folder.path(), &calls.lock().unwrap());
    assert_eq!(validated(&venv, "s3.py", &file)["calls"], 1);
    refuses(&venv, "s3.py", &file, |call| call["url"] = json!(format!("{}x", call["url"].as_str().unwrap())));
    refuses(&venv, "s3.py", &file, |call| call["bytes"] = json!(STANDARD.encode([0x1f])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_in_a_bucket_is_replayed() {
    let Some(venv) = venv("archiving into a bucket") else { return };
    let moto = Emulator::start(&venv, "moto");
    let aws = |arguments: &[&str]| {
        let output = Command::new(venv.join("bin/aws"))
            .args(["--endpoint-url", &moto.url])
            .args(arguments)
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    };
    let place = "LocationConstraint=eu-central-1";
    aws(&["s3api", "create-bucket", "--bucket", "events", "--create-bucket-configuration", place]);
    let files = ["disable-key.json", "decrypt-denied.json", "native-deletion.json", "rotate-key-service-event.json"];
    let bodies = files.map(|file| fs::read_to_string(format!("tests/data/events/{file}")).unwrap());
    archived(&moto.url, &bodies.each_ref().map(String::as_str)).await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    aws(&["s3", "sync", "s3://events", path]);
    let replayed = Command::new(env!("CARGO_BIN_EXE_kmswatch"))
        .args(["replay", "--format", "json", path])
        .env_remove("KMSWATCH_CONFIG")
        .output()
        .unwrap();
    let text = String::from_utf8(replayed.stdout.clone()).unwrap();
    let summary: Value =
        serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("{}", said(&replayed)))).unwrap();
    assert_eq!(
        (&summary["files"], &summary["events"], &summary["undecodable"]),
        (&json!(1), &json!(4), &json!(0)),
        "{summary}"
    );
    assert!(text.contains("\"kind\":\"alert\""), "{text}");
}

//! A key policy is compared with the one seen before it, also by a daemon that was killed in between.

use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::{Daemon, Setup};
use super::events;
use super::queue::TestQueue;
use super::receivers::Receivers;

const LIMIT: Duration = Duration::from_secs(30);

const MORE: &str = r#"
[trust]
organizations = ["o-a1b2c3d4e5"]

[[rule]]
id = "team.opened"
title = "Key opened to strangers"
severity = "critical"
match = { detail.eventName = ["PutKeyPolicy"], outcome = ["success"], access.new_external = [{ exists = true }] }
resolve_after = "1h"

[[routes]]
sinks = ["hook"]
"#;

/// The default key policy, and somebody else beside the account.
fn policy(other: Option<Value>) -> String {
    let allow = |who: Value, what: &str| json!({ "Effect": "Allow", "Principal": { "AWS": who }, "Action": what, "Resource": "*" });
    let root = allow(json!(format!("arn:aws:iam::{}:root", events::ACCOUNT)), "kms:*");
    let other = other.map(|who| allow(who, "kms:Decrypt"));
    let statements: Vec<Value> = [Some(root), other].into_iter().flatten().collect();
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn put(key: &str, id: &str, time: &str, policy: &str) -> String {
    let mut detail = events::detail("PutKeyPolicy", key, id, time);
    detail["requestParameters"] = json!({ "keyId": key, "policyName": "default", "policy": policy });
    detail["responseElements"] = Value::Null;
    events::envelope(&detail).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_compared_with_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(1).await;
    let setup =
        Setup { folder: folder.path(), queue_url: &queue.url, receivers: &receivers, more: MORE, queue: "", store: "" };
    let (config, _) = setup.write();
    let (created, never_seen) = (events::key(1), events::key(2));
    let stranger = Some(json!("arn:aws:iam::444455556666:role/x"));

    let mut daemon = Daemon::start(&config);
    let mut detail = events::detail("CreateKey", &created, "e-1", &events::now());
    detail["requestParameters"] = json!({ "description": "no policy: the default one" });
    detail["responseElements"] =
        json!({ "keyMetadata": { "arn": created, "keyManager": "CUSTOMER", "keyState": "Enabled" } });
    queue.send(&events::envelope(&detail).to_string()).await;
    // No rule reads these two.
    queue.send(&put(&created, "e-2", &events::soon(), &policy(None))).await;
    queue.until_empty(LIMIT).await;
    daemon.kill();

    let mut daemon = Daemon::start(&config);
    tokio::time::sleep(Duration::from_secs(2)).await;
    queue.send(&put(&created, "e-3", &events::soon(), &policy(stranger.clone()))).await;
    queue.send(&put(&never_seen, "e-4", &events::soon(), &policy(stranger))).await;
    receivers.until(LIMIT, "both", |all| all.iter().filter(|a| a.door.starts_with("hook/")).count() >= 2).await;
    let hooks = receivers.at("hook/");
    let details = |key: &str| {
        let hook = hooks.iter().find(|hook| hook.body["data"]["key"]["arn"] == key).expect("told of this key");
        hook.body["data"]["event"]["details"].clone()
    };
    let compared = details(&created);
    assert_eq!(compared["access gained"], "arn:aws:iam::444455556666:role/x (external) gained use (Decrypt)");
    assert_eq!(compared.get("access lost"), None, "{compared}");
    let absolute = details(&never_seen);
    assert_eq!(
        absolute["access given"],
        "the account itself has everything; arn:aws:iam::444455556666:role/x (external) has use (Decrypt)"
    );
    assert_eq!(absolute["access warning"], "strangers are let in");
    queue.until_empty(LIMIT).await;
    assert_eq!(daemon.terminate(Duration::from_secs(40)).0, Some(0));
}

//! The whole way, with the parts that other people wrote: EventBridge's delivery through the deployed template into a real
//! SQS-compatible server, the daemon, and receivers shaped like Slack, PagerDuty and a webhook.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName::{
    ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed, ApproximateNumberOfMessagesNotVisible,
};
use serde_json::{Value, json};

use super::daemon::{Daemon, Setup};
use super::events;
use super::receivers::{Accepted, Receivers};
use super::stack::{EventBridge, Stack};
use super::venv::venv;

/// That server is slow, and shares the machine with the other tests.
const LIMIT: Duration = Duration::from_secs(90);

const CALL: &str = "AWS API Call via CloudTrail";
const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";
const ROTATION: &str = "KMS CMK Rotation";

/// Lets a call or a service event happen.
async fn happen(bus: &EventBridge, detail: &Value) {
    let kind = if detail["eventType"] == "AwsServiceEvent" { SERVICE_EVENT } else { CALL };
    bus.put("aws.kms", kind, &[], detail).await;
}

/// KMS's own word of a rotation.
async fn happen_natively(bus: &EventBridge, key: &str) {
    bus.put("aws.kms", ROTATION, &[key], &json!({ "key-id": id_of(key) })).await;
}

/// A successful decryption: noise.
fn decrypt(key: &str, id: &str) -> Value {
    let mut detail = events::detail("Decrypt", key, id, &events::now());
    detail["readOnly"] = json!(true);
    detail["responseElements"] = Value::Null;
    detail
}

fn id_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap()
}

/// What one key's story was at the doors that start so.
fn about<'a>(all: &'a [Accepted], door: &str, key: &str) -> Vec<&'a Accepted> {
    all.iter().filter(|a| a.door.starts_with(door) && a.raw.contains(id_of(key))).collect()
}

/// The kinds of the webhooks about a key, in the order of their arrival.
fn kinds(all: &[Accepted], key: &str) -> Vec<String> {
    about(all, "hook/", key).iter().map(|hook| hook.body["data"]["kind"].as_str().unwrap().to_owned()).collect()
}

/// What PagerDuty was asked to do about a key, in the order of arrival.
fn pages(all: &[Accepted], trigger_of: &str) -> Vec<String> {
    let triggers = about(all, "pagerduty/enqueue", trigger_of);
    let Some(trigger) = triggers.first() else { return vec![] };
    let same = all.iter().filter(|a| a.door == "pagerduty/enqueue" && a.body["dedup_key"] == trigger.body["dedup_key"]);
    same.map(|page| page.body["event_action"].as_str().unwrap().to_owned()).collect()
}

/// The answers in the thread of a key's card, which is known by its edit.
fn replies<'a>(all: &'a [Accepted], key: &str) -> Vec<&'a Accepted> {
    let edits = about(all, "slack/chat.update", key);
    let Some(edit) = edits.first() else { return vec![] };
    let posts = all.iter().filter(|a| a.door == "slack/chat.postMessage");
    posts.filter(|post| post.body["thread_ts"] == edit.body["ts"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_eventbridge_delivers_reaches_everybody_complete_and_in_order() {
    let Some(venv) = venv("the daemon behind real EventBridge delivery") else { return };
    // `full`: the noise reaches the daemon too.
    let stack = tokio::task::spawn_blocking(|| Stack::deploy(venv, &[("Pattern", "full")])).await.unwrap();
    let bus = stack.event_bridge();
    let queues = Queues::of(&stack).await;
    let folder = tempfile::tempdir().unwrap();
    let receivers = Receivers::start(6).await;
    let (config, _) =
        Setup { folder: folder.path(), queue_url: &queues.main, receivers: &receivers, more: "", queue: "", store: "" }
            .write();
    let mut daemon = Daemon::start(&config);

    let [disabled, scheduled, denied, rotated, natively, quiet] = [1, 2, 3, 4, 5, 9].map(events::key);
    let time = events::now();
    happen(&bus, &decrypt(&quiet, "eb-noise-1")).await;
    happen(&bus, &events::detail("DisableKey", &disabled, "eb-1", &time)).await;
    happen(&bus, &events::detail("ScheduleKeyDeletion", &scheduled, "eb-2", &time)).await;
    happen(&bus, &decrypt(&disabled, "eb-noise-2")).await;
    happen(&bus, &events::denied(&denied, "eb-3", &time)).await;
    // One rotation that both event families tell, and one of which only KMS itself tells.
    happen(&bus, &events::rotated(&rotated, "eb-4", &time)).await;
    happen_natively(&bus, &rotated).await;
    happen_natively(&bus, &natively).await;
    happen(&bus, &decrypt(&quiet, "eb-noise-3")).await;
    let told = [&disabled, &scheduled, &denied, &rotated, &natively];
    receivers
        .until(LIMIT, "every case at three receivers", |all| {
            let everywhere = |key: &&String| {
                ["slack/chat.postMessage", "pagerduty/", "hook/"].iter().all(|door| !about(all, door, key).is_empty())
            };
            told.iter().all(everywhere)
        })
        .await;
    check_the_four_cases(&receivers.accepted(), [&disabled, &scheduled, &denied]);

    // A later second: events of one second have no order.
    let later = events::soon();
    happen(&bus, &events::detail("EnableKey", &disabled, "eb-5", &later)).await;
    happen(&bus, &events::detail("CancelKeyDeletion", &scheduled, "eb-6", &later)).await;
    happen(&bus, &events::detail("EnableKey", &scheduled, "eb-7", &later)).await;
    receivers
        .until(LIMIT, "the resolves at three receivers", |all| {
            let resolved = |key: &str| {
                kinds(all, key).contains(&"resolve".to_owned())
                    && pages(all, key).contains(&"resolve".to_owned())
                    && replies(all, key).iter().any(|reply| reply.raw.contains("Resolved"))
            };
            resolved(&disabled) && resolved(&scheduled)
        })
        .await;
    queues.until_empty(&daemon).await;
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());

    // Everything told once, and in its order.
    let all = receivers.accepted();
    for key in [&disabled, &scheduled] {
        // That it is saved and still disabled is told too, if the one event is heard of before the other.
        let updates = kinds(&all, key).iter().filter(|kind| *kind == "update").count();
        assert!(updates <= usize::from(*key == scheduled), "{key}");
        let news = vec!["update".to_owned(); updates];
        assert_eq!(kinds(&all, key), [vec!["trigger".to_owned()], news, vec!["resolve".to_owned()]].concat(), "{key}");
        let last = pages(&all, key);
        assert_eq!((last.len(), last.last().map(String::as_str)), (2 + updates, Some("resolve")), "{key}");
        let (cards, replies) = (about(&all, "slack/chat.postMessage", key), replies(&all, key));
        let of_their_own = cards.iter().filter(|card| card.body["thread_ts"].is_null()).count();
        assert_eq!(of_their_own, 1, "{key}: one card, and what changed in its thread");
        assert_eq!(replies.len(), 1 + updates, "{key}");
        assert!(cards[0].body["thread_ts"].is_null() && cards[0].at < replies[0].at, "{key}");
        assert!(replies[updates].raw.contains("Resolved"), "{key}: {}", replies[updates].raw);
    }
    assert_eq!((kinds(&all, &denied), pages(&all, &denied)), (vec!["trigger".to_owned()], vec!["trigger".to_owned()]));
    for key in [&rotated, &natively] {
        assert_eq!(kinds(&all, key), ["notice"], "{key}: a rotation is told once, whoever tells it");
        assert_eq!(about(&all, "pagerduty/", key).len(), 1, "{key}");
        assert_eq!(about(&all, "pagerduty/change", key).len(), 1, "{key}: good news is a change event, not a page");
        assert_eq!(about(&all, "slack/", key).len(), 1, "{key}");
    }
    assert!(!all.iter().any(|a| a.raw.contains(id_of(&quiet))), "somebody was told of noise");
    assert_eq!(queues.dead().await, 0, "something went to the DLQ or was not delivered by EventBridge");
}

/// What the cards say of [disabled, scheduled, denied].
fn check_the_four_cases(all: &[Accepted], [disabled, scheduled, denied]: [&str; 3]) {
    let role = format!("arn:aws:iam::{}:role/Admin", events::ACCOUNT);
    for (key, event, rule, severity) in [
        (disabled, "DisableKey", "kms.key-disabled", "critical"),
        (scheduled, "ScheduleKeyDeletion", "kms.key-deletion-scheduled", "critical"),
        (denied, "Decrypt", "kms.access-denied", "warning"),
    ] {
        let hook = &about(all, "hook/", key)[0].body["data"];
        assert_eq!(hook["event"]["name"], event);
        assert_eq!(hook["incident"]["rule"], rule);
        assert_eq!(hook["key"]["arn"], *key, "{event}");
        assert_eq!(hook["event"]["actor"]["principal"], *role, "{event}");
        assert_eq!(hook["event"]["account"], events::ACCOUNT, "{event}: this server's envelopes name no account");
        assert_eq!(hook["event"]["region"], events::REGION, "{event}");
        let page = &about(all, "pagerduty/enqueue", key)[0].body;
        assert_eq!((&page["event_action"], &page["payload"]["severity"]), (&json!("trigger"), &json!(severity)));
        assert_eq!(page["payload"]["source"], *key, "{event}");
        let card = &about(all, "slack/chat.postMessage", key)[0].raw;
        for part in [event, "203.0.113.7", "Admin", id_of(key)] {
            assert!(card.contains(part), "{event}: the Slack card does not say {part}: {card}");
        }
    }
    let hook = &about(all, "hook/", denied)[0].body["data"];
    assert_eq!((&hook["event"]["outcome"], &hook["event"]["denied_by"]), (&json!("denied"), &json!("resource_policy")));
}

/// The stack's queues.
struct Queues {
    sqs: aws_sdk_sqs::Client,
    main: String,
    /// The DLQ, and what EventBridge could not deliver.
    others: [String; 2],
}

impl Queues {
    async fn of(stack: &Stack) -> Self {
        let sqs = stack.sqs();
        let others = ["DeadLetterQueueUrl", "UndeliveredQueueUrl"].map(|name| stack.output(name));
        // The stack's own output names a host of AWS; this one names the local server.
        let main = sqs.get_queue_url().queue_name("kmswatch").send().await.unwrap().queue_url.unwrap();
        Self { sqs, main, others }
    }

    /// Messages in a queue, those in somebody's hand included.
    async fn messages(&self, url: &str) -> u64 {
        let names =
            [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible, ApproximateNumberOfMessagesDelayed];
        let asked = self.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let answer = asked.send().await.unwrap();
        let attributes = answer.attributes.unwrap();
        names.iter().map(|name| attributes[name].parse::<u64>().unwrap()).sum()
    }

    async fn until_empty(&self, daemon: &Daemon) {
        let started = Instant::now();
        while self.messages(&self.main).await > 0 {
            assert!(started.elapsed() < LIMIT, "messages are left after {LIMIT:?}:\n{}", daemon.tail());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn dead(&self) -> u64 {
        self.messages(&self.others[0]).await + self.messages(&self.others[1]).await
    }
}

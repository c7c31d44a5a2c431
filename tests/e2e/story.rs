//! The four classic cases reach three kinds of receivers, complete and in order; `EnableKey` resolves.

use std::time::Duration;

use serde_json::Value;

use super::daemon::{Daemon, Setup, WEBHOOK_SECRET};
use super::events;
use super::queue::TestQueue;
use super::receivers::{Accepted, Receivers};

const LIMIT: Duration = Duration::from_secs(30);

fn is(accepted: &Accepted, action: &str, part: &str) -> bool {
    accepted.body["event_action"] == action && accepted.body.to_string().contains(part)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_cases_reach_everybody_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(1).await;
    let (config, _) =
        Setup { folder: folder.path(), queue_url: &queue.url, receivers: &receivers, more: "", queue: "", store: "" }
            .write();
    let mut daemon = Daemon::start(&config);
    let (disabled, scheduled, denied, rotated) = (events::key(1), events::key(2), events::key(3), events::key(4));
    let time = events::now();
    queue.send(&events::call("DisableKey", &disabled, "e-1")).await;
    queue.send(&events::call("ScheduleKeyDeletion", &scheduled, "e-2")).await;
    queue.send(&events::envelope(&events::denied(&denied, "e-3", &time)).to_string()).await;
    queue.send(&events::envelope(&events::rotated(&rotated, "e-4", &time)).to_string()).await;
    receivers
        .until(LIMIT, "the four cases at three receivers", |all| {
            let at = |door: &str| all.iter().filter(|a| a.door.starts_with(door)).count();
            at("slack/chat.postMessage") >= 4 && at("pagerduty/") >= 4 && at("hook/") >= 4
        })
        .await;

    let pages = receivers.at("pagerduty/enqueue");
    assert_eq!(pages.len(), 3, "a rotation is no page");
    assert!(pages.iter().any(|p| is(p, "trigger", &disabled) && p.body["payload"]["severity"] == "critical"));
    assert!(pages.iter().any(|p| is(p, "trigger", &scheduled)));
    assert!(pages.iter().any(|p| is(p, "trigger", &denied)), "the key is found in the error's text");
    let changes = receivers.at("pagerduty/change");
    assert_eq!(changes.len(), 1);
    assert!(changes[0].body.to_string().contains(&rotated));

    let enabled = events::detail("EnableKey", &disabled, "e-5", &events::soon());
    queue.send(&events::envelope(&enabled).to_string()).await;
    receivers
        .until(LIMIT, "the resolve", |all| {
            let resolved = all.iter().any(|a| a.door == "pagerduty/enqueue" && a.body["event_action"] == "resolve");
            let hooks = all.iter().filter(|a| a.door.starts_with("hook/")).count();
            resolved && hooks >= 5 && all.iter().any(|a| a.door == "slack/chat.update")
        })
        .await;
    let pages = receivers.at("pagerduty/enqueue");
    let trigger = pages.iter().find(|p| is(p, "trigger", &disabled)).unwrap();
    let resolve = pages.iter().find(|p| p.body["event_action"] == "resolve").unwrap();
    assert_eq!(trigger.body["dedup_key"], resolve.body["dedup_key"]);
    assert!(trigger.at < resolve.at);

    // One Slack message per incident: it is edited in place and answered in its thread.
    let posted = receivers.at("slack/chat.postMessage");
    let updated = receivers.at("slack/chat.update");
    assert!(updated.iter().any(|u| u.body.to_string().contains("1234abcd-12ab-34cd-56ef-000000000001")));
    assert!(posted.iter().any(|p| !p.body["thread_ts"].is_null()), "the resolve is told in the thread");

    // Somebody else's verifier accepts every webhook.
    let verifier = standardwebhooks::Webhook::new(WEBHOOK_SECRET).unwrap();
    let hooks = receivers.at("hook/");
    for hook in &hooks {
        verifier.verify(hook.raw.as_bytes(), &hook.headers).expect("a signed webhook");
    }
    let kinds: Vec<&Value> = hooks.iter().map(|h| &h.body["type"]).collect();
    assert!(kinds.iter().all(|k| k.is_string()), "{kinds:?}");

    queue.until_empty(LIMIT).await;
    let (code, took) = daemon.terminate(Duration::from_secs(40));
    assert_eq!(code, Some(0), "{}", daemon.tail());
    assert!(took < Duration::from_secs(10), "an idle daemon stops quickly: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_and_a_bad_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(2).await;
    let setup = |more: &'static str| Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        more,
        queue: "",
        store: "",
    };
    let (config, _) = setup("[[routes]]\nsinks = ['hook']\n[rules]\ndisable = ['kms.key-disabled']").write();
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "r-1")).await;
    queue.send(&events::call("ScheduleKeyDeletion", &events::key(2), "r-2")).await;
    receivers.until(LIMIT, "the deletion", |all| all.len() == 1).await;

    // A file that does not load changes nothing, and says so.
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{good}\n[[routes]]\nsinks = ['nowhere']")).unwrap();
    daemon.hang_up();
    receivers
        .until(LIMIT, "word of the rejected configuration", |all| {
            all.iter().any(|a| a.body.to_string().contains("configuration does not load"))
        })
        .await;
    queue.send(&events::call("DisableKey", &events::key(3), "r-3")).await;
    queue.until_empty(LIMIT).await;
    assert!(!receivers.accepted().iter().any(|a| a.body.to_string().contains("000000000003")));

    std::fs::write(&config, good.replace("disable = ['kms.key-disabled']", "disable = []")).unwrap();
    daemon.hang_up();
    receivers
        .until(LIMIT, "word of the mended configuration", |all| {
            all.iter().filter(|a| a.body.to_string().contains("configuration does not load")).count() >= 2
        })
        .await;
    queue.send(&events::call("DisableKey", &events::key(4), "r-4")).await;
    receivers
        .until(LIMIT, "the rule that is on again", |all| {
            all.iter().any(|a| a.body.to_string().contains("000000000004"))
        })
        .await;
    let (code, _) = daemon.terminate(Duration::from_secs(40));
    assert_eq!(code, Some(0), "{}", daemon.tail());
}

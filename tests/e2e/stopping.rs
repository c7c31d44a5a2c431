//! SIGTERM under load: it stops in time, and nothing is lost or told twice for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::daemon::{Daemon, Setup};
use super::events;
use super::queue::TestQueue;
use super::receivers::Receivers;

const LIMIT: Duration = Duration::from_mins(2);
const KEYS: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(10).await;
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "wait = '2s'\nvisibility = '10s'",
        store: "",
        // Sinks without a cap to speak of: chat would make digests of so many, a pager would wait.
        more: &format!(
            "[[routes]]\nsinks = ['first', 'later']\n[sinks.first]\nmax_per_minute = 6000\n[sinks.first.webhook]\nurl = 'http://{at}/hook/first'\n[sinks.later]\nmax_per_minute = 6000\n[sinks.later.webhook]\nurl = 'http://{at}/hook/later'",
            at = receivers.address
        ),
    }
    .write();
    // One sink is down the whole time: its deliveries have to survive every stop.
    receivers.shut("hook/later");
    let bodies: Vec<String> =
        (1..=KEYS).map(|n| events::call("DisableKey", &events::key(n), &format!("stop-{n}"))).collect();
    for (round, chunk) in bodies.chunks(KEYS / 3).enumerate() {
        let mut daemon = Daemon::start(&config);
        let before = receivers.requests();
        queue.send_all(chunk).await;
        receivers.until(LIMIT, "the first of a round", |_| receivers.requests() > before + 3).await;
        let (code, took) = daemon.terminate(Duration::from_secs(35));
        assert_eq!(code, Some(0), "round {round}:\n{}", daemon.tail());
        assert!(took < Duration::from_secs(15), "round {round}: {took:?} although nothing hangs");
    }
    assert!(receivers.at("hook/first").len() < KEYS, "the stops came too late to mean anything");
    receivers.open_all();
    let mut daemon = Daemon::start(&config);
    receivers
        .until(LIMIT, "every incident at every sink", |all| {
            ["hook/first", "hook/later"].iter().all(|door| {
                let at: String = all.iter().filter(|a| a.door.starts_with(door)).map(|a| a.raw.as_str()).collect();
                (1..=KEYS).all(|n| at.contains(&format!("-{n:012}")))
            })
        })
        .await;
    queue.until_empty(LIMIT).await;
    assert!(queue.dead().is_empty());
    daemon.terminate(Duration::from_secs(35));
    let mut ids: BTreeMap<(String, String), usize> = BTreeMap::new();
    for hook in receivers.at("hook/") {
        *ids.entry((hook.door, hook.webhook_id.unwrap())).or_default() += 1;
    }
    let doubles: Vec<_> = ids.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubles.is_empty(), "{doubles:?}");
}

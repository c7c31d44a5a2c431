//! `kill -9` at random moments under load, with receivers that misbehave: nothing is lost, nothing is told twice under
//! another key, nothing comes out of order.
//!
//! `KMSWATCH_KILLS` sets how often (default 20), `KMSWATCH_SEED` replays a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::daemon::{Daemon, Setup, setting};
use super::events;
use super::queue::TestQueue;
use super::receivers::{Accepted, FLAKY, Faults, Receivers};

#[tokio::test(flavor = "multi_thread")]
async fn killing_it_at_any_moment_loses_nothing() {
    let kills = setting("KMSWATCH_KILLS", 20);
    let seed = setting("KMSWATCH_SEED", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
    println!("KMSWATCH_SEED={seed} KMSWATCH_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(seed).await;
    receivers.misbehave(FLAKY);
    // A short visibility, so that what a killed daemon held comes back soon; a short attempt timeout for the same reason.
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "visibility = \"10s\"\nwait = \"2s\"",
        store: "",
        more: "[[routes]]\nsinks = [\"chat\", \"pager\", \"hook\"]\n[daemon]\nlease = \"15s\"\nattempt_timeout = \"2s\"",
    }
    .write();

    let mut keys = 0_usize;
    for round in 0..kills {
        let mut daemon = Daemon::start(&config);
        // Every round: a few keys are disabled and enabled again, among noise that matters to nobody.
        let mut bodies = vec![];
        for _ in 0..random.usize(1..4) {
            keys += 1;
            let key = events::key(keys);
            bodies.push(events::call("DisableKey", &key, &format!("d-{keys}")));
            if random.bool() {
                // A duplicate delivery.
                bodies.push(bodies.last().unwrap().clone());
            }
            let enable = events::detail("EnableKey", &key, &format!("n-{keys}"), &events::soon());
            bodies.push(events::envelope(&enable).to_string());
            bodies.push(events::call("DescribeKey", &key, &format!("x-{keys}")));
        }
        queue.send_all(&bodies).await;
        tokio::time::sleep(Duration::from_millis(random.u64(20..900))).await;
        assert!(daemon.is_running(), "round {round}: it ended by itself:\n{}", daemon.tail());
        daemon.kill();
    }

    // Now it may live, and the receivers are well.
    receivers.misbehave(Faults::default());
    let mut daemon = Daemon::start(&config);
    queue.until_empty(Duration::from_mins(2)).await;
    let complete = |all: &[Accepted]| {
        (1..=keys).all(|n| {
            // In a digest of chat the id stands in the middle of a line.
            let id = format!("-{n:012}");
            let about = |door: &str| {
                all.iter().filter(|a| a.door.starts_with(door) && a.body.to_string().contains(&id)).count()
            };
            // Opened and resolved, or told as one note when it was over before anybody could be told.
            about("hook/") >= 1 && about("pagerduty/") >= 1 && about("slack/") >= 1
        })
    };
    receivers.until(Duration::from_mins(7), "every incident at every sink", complete).await;
    let started = Instant::now();
    let mut quiet = receivers.requests();
    while started.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_secs(4)).await;
        if receivers.requests() == quiet {
            break;
        }
        quiet = receivers.requests();
    }
    assert!(daemon.is_running(), "{}", daemon.tail());
    daemon.terminate(Duration::from_secs(40));

    let hooks = receivers.at("hook/");
    let mut doubles = 0;
    let mut by_incident: BTreeMap<String, Vec<&Accepted>> = BTreeMap::new();
    let mut ids: BTreeMap<String, Value> = BTreeMap::new();
    for hook in &hooks {
        let id = hook.webhook_id.clone().expect("every webhook has its id");
        let what = hook.body["data"]["kind"].clone();
        if let Some(before) = ids.insert(id.clone(), what.clone()) {
            doubles += 1;
            assert_eq!(before, what, "one id never means two things");
        }
        let incident = hook.body["data"]["incident"]["id"].as_str().unwrap().to_owned();
        by_incident.entry(incident).or_default().push(hook);
    }
    for (incident, told) in &by_incident {
        if told[0].body["data"]["incident"]["family"] != "key-unusable" {
            continue;
        }
        let mut transitions = BTreeSet::new();
        let mut last = 0;
        for hook in told {
            let transition = hook.body["data"]["incident"]["transition"].as_u64().unwrap();
            assert!(transition >= last, "{incident}: {transition} came after {last}");
            last = transition;
            transitions.insert(transition);
        }
        let end = &told.last().unwrap().body["data"];
        assert_eq!(end["incident"]["state"], "resolved", "{incident}: {end}");
        let skipped = end["reason"] == "too_late" || end["reason"] == "opened_and_resolved";
        assert!(skipped || transitions.len() as u64 == last, "{incident}: {transitions:?}");
    }
    let cuts = receivers.accepted().iter().filter(|a| a.cut).count();
    println!(
        "{kills} kills, {keys} keys, {} requests, {} accepted, {cuts} accepted and cut, {doubles} webhooks told twice under the same id",
        receivers.requests(),
        receivers.accepted().len()
    );
    for page in receivers.at("pagerduty/enqueue") {
        assert!(page.body["dedup_key"].is_string());
    }
}

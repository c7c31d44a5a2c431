//! A store that keeps nothing: a message is deleted only after everything it caused was delivered.

use std::time::{Duration, Instant};

use super::daemon::{Daemon, Setup};
use super::events;
use super::queue::TestQueue;
use super::receivers::{Accepted, Receivers};

const LIMIT: Duration = Duration::from_mins(1);

fn told(all: &[Accepted], n: usize) -> usize {
    all.iter().filter(|a| a.door == "hook/main" && a.raw.contains(&format!("{n:012}"))).count()
}

/// Waits until the shut door was knocked at `more` times more.
async fn knocked(receivers: &Receivers, more: u64) {
    let (before, started) = (receivers.requests(), Instant::now());
    while receivers.requests() < before + more {
        assert!(started.elapsed() < LIMIT, "nobody knocked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_disk_messages_are_deleted_only_after_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(9).await;
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "wait = '1s'\nvisibility = '10s'",
        store: "[store.memory]",
        more: "[[routes]]\nsinks = ['chat', 'hook']\n[daemon]\ngrace = '5s'",
    }
    .write();
    receivers.shut("hook/");
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "mem-1")).await;
    // Delivered twice: the copy may not go before the first either.
    queue.send(&events::call("DisableKey", &events::key(1), "mem-1")).await;
    // It matters to nobody, and need not wait.
    queue.send(&events::call("DescribeKey", &events::key(2), "mem-2")).await;
    receivers.until(LIMIT, "the healthy sink", |all| all.iter().any(|a| a.door.starts_with("slack/"))).await;
    knocked(&receivers, 2).await;
    // Longer than a visibility timeout, so that it is extended at least once.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(queue.left(), 2, "both copies wait for the delivery, and the other is gone:\n{}", daemon.tail());

    // Not even a crash loses it.
    daemon.kill();
    let mut daemon = Daemon::start(&config);
    knocked(&receivers, 1).await;
    assert_eq!((queue.left(), told(&receivers.accepted(), 1)), (2, 0));
    receivers.open_all();
    receivers.until(LIMIT, "what waited", |all| told(all, 1) > 0).await;
    queue.until_empty(LIMIT).await;
    assert_eq!(told(&receivers.accepted(), 1), 1, "told once");

    // A stop does not wait for ever for a sink that is down, and leaves the message to the next life.
    receivers.shut("hook/");
    queue.send(&events::call("ScheduleKeyDeletion", &events::key(3), "mem-3")).await;
    knocked(&receivers, 1).await;
    let (code, took) = daemon.terminate(LIMIT);
    assert_eq!(code, Some(0), "{}", daemon.tail());
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(queue.left(), 1);
    receivers.open_all();
    let mut daemon = Daemon::start(&config);
    receivers.until(LIMIT, "what waited for the next life", |all| told(all, 3) > 0).await;
    queue.until_empty(LIMIT).await;
    assert!(queue.dead().is_empty());
    daemon.terminate(LIMIT);
}

//! One sink down for a while; the disk full or the store locked for a while. The rest goes on, nothing is lost, and it all
//! goes on by itself.

use std::time::{Duration, Instant};

use super::daemon::{Daemon, Setup, setting};
use super::events;
use super::hostile::http_get;
use super::queue::TestQueue;
use super::receivers::Receivers;

/// `KMSWATCH_OUTAGE_SECS` sets how long the sink is down (default 8; a minute shows more).
fn outage() -> Duration {
    Duration::from_secs(setting("KMSWATCH_OUTAGE_SECS", 8))
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(3).await;
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "",
        store: "",
        more: &format!(
            "[[routes]]\nsinks = [\"hook\", \"slow\"]\n[sinks.slow]\nmax_per_minute = 100000\nfallback = \"backup\"\nfallback_after = \"3s\"\n[sinks.slow.webhook]\nurl = \"http://{at}/hook/slow\"\n[sinks.backup]\nmax_per_minute = 100000\n[sinks.backup.webhook]\nurl = \"http://{at}/hook/backup\"",
            at = receivers.address
        ),
    }
    .write();
    let mut daemon = Daemon::start(&config);
    let mut n = 0;
    let mut well = vec![];
    for _ in 0..20 {
        n += 1;
        well.push(tell(&queue, &receivers, n).await);
    }
    receivers.shut("hook/slow");
    let (before, _) = daemon.memory_kib();
    let started = Instant::now();
    let first_down = n + 1;
    let mut down = vec![];
    while started.elapsed() < outage() {
        n += 1;
        down.push(tell(&queue, &receivers, n).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (after, _) = daemon.memory_kib();
    let (well, down) = (median(well), median(down));
    println!(
        "healthy sink's median latency: {well:?} before, {down:?} during; memory {before} KiB before, {after} KiB after; {n} events"
    );
    assert!(down < well * 3 + Duration::from_millis(50), "{well:?} -> {down:?}");
    assert!(after < before + 8 * 1024, "{before} -> {after} KiB");
    assert!(
        receivers.at("hook/backup").iter().any(|a| a.body.to_string().contains(&format!("{first_down:012}"))),
        "the fallback heard of the first that could not be told"
    );
    receivers.open_all();
    let expected = n;
    receivers
        .until(Duration::from_mins(1), "everything at the sink that was down", |all| {
            let slow =
                all.iter().filter(|a| a.door == "hook/slow" && a.body["data"]["incident"]["family"] == "key-unusable");
            slow.map(|a| a.body["data"]["incident"]["id"].to_string()).collect::<std::collections::BTreeSet<_>>().len()
                >= expected
        })
        .await;
    assert!(daemon.is_running());
    daemon.terminate(Duration::from_secs(40));
}

/// Sends one event and measures until the healthy sink has it.
async fn tell(queue: &TestQueue, receivers: &Receivers, n: usize) -> Duration {
    let id = format!("{n:012}");
    let sent = Instant::now();
    queue.send(&events::call("DisableKey", &events::key(n), &format!("o-{n}"))).await;
    receivers
        .until(Duration::from_secs(20), "the healthy sink", |all| {
            all.iter().any(|a| a.door == "hook/main" && a.body.to_string().contains(&id))
        })
        .await;
    sent.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_store_stops_receiving_pages_directly_and_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(4).await;
    let (config, admin) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "wait = \"1s\"",
        store: "",
        more: "",
    }
    .write();
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "s-1")).await;
    receivers.until(Duration::from_secs(20), "the first", |all| !all.is_empty()).await;

    // Another process takes the store's write lock and does not let go.
    let lock = {
        use sqlx::{ConnectOptions, Executor};
        let path = folder.path().join("state.db");
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        connection.execute("BEGIN EXCLUSIVE").await.unwrap();
        connection
    };
    queue.send(&events::call("ScheduleKeyDeletion", &events::key(2), "s-2")).await;
    receivers
        .until(Duration::from_secs(40), "a page without the store", |all| {
            all.iter().any(|a| a.body.to_string().contains("cannot store its state"))
        })
        .await;
    let ready = http_get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let alive = http_get(admin, "/livez").await;
    assert!(alive.starts_with("HTTP/1.1 200"), "it is not restarted for this: {alive}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(queue.dead().is_empty(), "nothing goes to the DLQ for it");
    assert_eq!(queue.left(), 1, "the event waits in the queue");

    drop(lock);
    receivers
        .until(Duration::from_mins(1), "what waited", |all| {
            all.iter().any(|a| a.door == "hook/main" && a.body.to_string().contains("000000000002"))
        })
        .await;
    queue.until_empty(Duration::from_secs(20)).await;
    assert!(queue.dead().is_empty());
    assert!(daemon.is_running(), "{}", daemon.tail());
    daemon.terminate(Duration::from_secs(40));
}

/// Needs the right to mount a small file system; says so where it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_receiving_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(&disk)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("SKIPPED: this process may not mount a small file system");
        return;
    }
    let unmount = || std::process::Command::new("umount").arg("-l").arg(&disk).status();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(5).await;
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "wait = \"1s\"",
        store: &format!("[store.sqlite]\npath = '{}'", disk.join("state.db").display()),
        more: "",
    }
    .write();
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "f-1")).await;
    receivers.until(Duration::from_secs(20), "the first", |all| !all.is_empty()).await;
    // Fill the rest of the disk.
    let ballast = disk.join("ballast");
    let mut size = 24 * 1024 * 1024;
    while size > 0 {
        use std::io::Write;
        let mut file = std::fs::File::options().create(true).append(true).open(&ballast).unwrap();
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
    for n in 2..40 {
        queue.send(&events::call("DisableKey", &events::key(n), &format!("f-{n}"))).await;
    }
    receivers
        .until(Duration::from_secs(40), "a page without the store", |all| {
            all.iter().any(|a| a.body.to_string().contains("cannot store its state"))
        })
        .await;
    assert!(queue.left() > 0);
    std::fs::remove_file(&ballast).unwrap();
    receivers
        .until(Duration::from_mins(1), "what waited", |all| {
            (2..40)
                .all(|n| all.iter().any(|a| a.door == "hook/main" && a.body.to_string().contains(&format!("{n:012}"))))
        })
        .await;
    queue.until_empty(Duration::from_secs(20)).await;
    assert!(queue.dead().is_empty(), "nothing went to the DLQ for it");
    daemon.terminate(Duration::from_secs(40));
    drop(daemon);
    unmount().unwrap();
}

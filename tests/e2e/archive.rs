//! The archive of raw events: killed at any moment and with a bucket that refuses, it misses nothing that was deleted from the
//! queue, and delays no page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;

use super::daemon::{Daemon, Setup, command};
use super::events;
use super::queue::TestQueue;
use super::receivers::Receivers;

/// A bucket on loopback that can be made to refuse.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    refuses: bool,
    objects: BTreeMap<String, Vec<u8>>,
}

impl Bucket {
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Self::default();
        let kept = bucket.clone();
        let take = async move |request: Request| {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            let mut kept = kept.0.lock().unwrap();
            if kept.refuses {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let path = parts.uri.path().to_owned();
            if let Some(before) = kept.objects.insert(path.clone(), body.clone()) {
                assert_eq!(before, body, "{path}: one key never means two things");
            }
            StatusCode::OK
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        (bucket, url)
    }

    fn refuse(&self, yes: bool) {
        self.0.lock().unwrap().refuses = yes;
    }

    /// Writes the objects into a folder; their lines.
    fn download(&self, folder: &Path) -> Vec<String> {
        let mut lines = vec![];
        for (path, body) in &self.0.lock().unwrap().objects {
            let file = folder.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, body).unwrap();
            let mut text = String::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
            assert!(text.ends_with('\n'), "{path} ends in the middle of a line");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_misses_nothing_and_delays_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(1).await;
    let (bucket, url) = Bucket::start().await;
    let spool = folder.path().join("spool");
    let archive = format!(
        "[archive.s3]\nbucket = 'events'\nregion = 'eu-central-1'\nendpoint = '{url}'\nspool = {spool:?}\nevery = '10s'\nsync = 'before_delete'"
    );
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "visibility = \"10s\"\nwait = \"1s\"",
        store: "",
        more: &format!(
            "[[routes]]\nsinks = [\"hook\"]\n[daemon]\nlease = \"15s\"\nattempt_timeout = \"2s\"\n{archive}"
        ),
    }
    .write();

    bucket.refuse(true);
    let mut sent = BTreeSet::new();
    for round in 0..6_u64 {
        let mut daemon = Daemon::start(&config);
        let mut bodies = vec![];
        for n in 0..40 {
            let id = format!("a-{round}-{n}");
            let name = if n == 0 { "DisableKey" } else { "DescribeKey" };
            bodies.push(events::call(name, &events::key(usize::try_from(round).unwrap() + 1), &id));
            sent.insert(id);
        }
        queue.send_all(&bodies).await;
        tokio::time::sleep(Duration::from_millis(300 + 350 * round)).await;
        assert!(daemon.is_running(), "round {round}: it ended by itself:\n{}", daemon.tail());
        daemon.kill();
    }
    let mut daemon = Daemon::start(&config);
    queue.until_empty(Duration::from_mins(2)).await;
    receivers.until(Duration::from_mins(1), "every page, whatever the bucket does", |all| all.len() >= 6).await;
    daemon.terminate(Duration::from_secs(40));
    bucket.refuse(false);
    let left = || -> Vec<_> { std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    assert!(left().len() > 1, "what the bucket refused waits");

    // The next life closes what is open and puts everything where it belongs.
    let mut daemon = Daemon::start(&config);
    let started = Instant::now();
    while left() != ["lock"] {
        assert!(started.elapsed() < Duration::from_mins(1), "{:?} wait for the bucket:\n{}", left(), daemon.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.terminate(Duration::from_secs(40));

    let day = tempfile::tempdir().unwrap();
    let lines = bucket.download(day.path());
    let missing: Vec<&String> =
        sent.iter().filter(|id| !lines.iter().any(|line| line.contains(&format!("\"{id}\"")))).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), sent.len());

    let replayed = command(&["replay", "--format", "json"]).arg(day.path()).output().unwrap();
    let said = String::from_utf8(replayed.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["kind"], &summary["undecodable"]), (&"summary".into(), &0.into()), "{summary}");
    assert_eq!(summary["events"].as_u64().unwrap(), lines.len() as u64, "{summary}");
    println!(
        "{} events sent, {} lines in {} objects, {summary}",
        sent.len(),
        lines.len(),
        bucket.0.lock().unwrap().objects.len()
    );
}

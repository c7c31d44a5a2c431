//! Ten thousand malformed, truncated, oversized and hostile bodies: no panic, no delete, the DLQ after redrive, and their
//! neighbours in the same batch unharmed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::daemon::{Daemon, Setup};
use super::events;
use super::queue::TestQueue;
use super::receivers::Receivers;

const BODIES: usize = 10_000;

/// One bad body. None of these may be taken for an event.
fn bad(random: &mut fastrand::Rng, n: usize) -> String {
    let good = events::call("DisableKey", &events::key(n), &format!("bad-{n}"));
    match n % 12 {
        0 => good.chars().take(random.usize(1..good.len() - 1)).collect(),
        1 => format!("{good}garbage-{n}"),
        2 => format!("[{}", "[".repeat(random.usize(100..5000))),
        3 => "{\"a\":".repeat(random.usize(100..3000)),
        4 => format!(
            "{{\"Records\":[{{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":{{\"object\":{{\"key\":\"{n}\"}}}}}}]}}"
        ),
        5 => format!("{{\"key-id\":\"{n}\"}}"),
        6 => format!("plain text number {n} <!channel> \u{202e}"),
        7 => format!("{{\"unknown\":{n}}}"),
        8 => format!("{{\"Type\":\"Notification\",\"MessageId\":\"{n}\",\"Message\":\"{{broken\"}}"),
        9 => format!("\"{}\"", "x".repeat(random.usize(10..2000))),
        10 => format!("{n}"),
        _ => format!(
            "{{\"source\":\"aws.kms\",\"detail-type\":\"AWS API Call via CloudTrail\",\"id\":\"{n}\",\"detail\":\"{n}\"}}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_harm_nobody() {
    let seed = 20_261_123;
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(Some(2)).await;
    let receivers = Receivers::start(seed).await;
    let (config, admin) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "visibility = \"10s\"\nwait = \"1s\"",
        more: "[[routes]]\nsinks = [\"hook\"]",
        store: "",
    }
    .write();
    let mut bodies: Vec<String> = (0..BODIES).map(|n| bad(&mut random, n)).collect();
    // A megabyte that looks like an event until its end.
    for n in 0..3 {
        let good = events::call("DisableKey", &events::key(n), "huge");
        bodies.push(format!("{}{}", good.trim_end_matches('}'), " ".repeat(900_000)));
    }
    let expected: BTreeSet<String> = bodies.iter().cloned().collect();
    let mut mixed = bodies.clone();
    let neighbours = 50;
    for n in 0..neighbours {
        let at = random.usize(0..mixed.len());
        mixed.insert(at, events::call("DisableKey", &events::key(100_000 + n), &format!("good-{n}")));
    }
    let mut daemon = Daemon::start(&config);
    let huge: Vec<String> = mixed.iter().filter(|b| b.len() > 100_000).cloned().collect();
    let small: Vec<String> = mixed.iter().filter(|b| b.len() <= 100_000).cloned().collect();
    queue.send_all(&small).await;
    for body in huge {
        queue.send(&body).await;
    }
    receivers
        .until(Duration::from_mins(2), "every good neighbour", |all| {
            (0..neighbours).all(|n| all.iter().any(|a| a.body.to_string().contains(&format!("{:012}", 100_000 + n))))
        })
        .await;
    let started = Instant::now();
    while queue.left() > 0 {
        assert!(started.elapsed() < Duration::from_mins(2), "{} left:\n{}", queue.left(), daemon.tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(daemon.is_running(), "{}", daemon.tail());
    let dead: BTreeSet<String> = queue.dead().into_iter().collect();
    let lost: Vec<_> = expected.difference(&dead).take(3).collect();
    assert!(lost.is_empty(), "deleted although it was not decoded: {lost:?}");
    assert_eq!(dead.len(), expected.len(), "a good neighbour went to the DLQ");
    // Somebody was told, and not ten thousand times.
    let told = receivers.accepted().iter().filter(|a| a.body.to_string().contains("cannot decode")).count();
    assert!((1..20).contains(&told), "{told}");
    let metrics = http_get(admin, "/metrics").await;
    assert!(metrics.contains("kmswatch_undecodable_total{reason=\"not_json\"}"), "{metrics}");
    let (code, _) = daemon.terminate(Duration::from_secs(40));
    assert_eq!(code, Some(0), "{}", daemon.tail());
}

pub(crate) async fn http_get(address: std::net::SocketAddr, path: &str) -> String {
    http_get_as(address, path, "*/*").await
}

/// The same, asking for a content type.
pub(crate) async fn http_get_as(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

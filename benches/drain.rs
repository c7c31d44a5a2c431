//! What the daemon costs, beside its limits measured in the same run:
//!
//! - a backlog of 100,000 messages of about 2.5 KB, 1 % of which match, drained by `run` (built-in rules, `SQLite`, one webhook
//!   sink), against a bare receive-and-delete loop on the same SDK with four polls: CPU seconds, wall seconds, memory, requests;
//! - 20 matching events a second: time from send to the sink's socket, against the measured durable commit; requests per event;
//! - idle memory.
//!
//! `cargo bench --bench drain -- [--rounds N] [--messages N] [--binary PATH]`. The queue is the embedded endpoint in a process of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark stops at the first thing that is not as it should be, and prints"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use kmswatch::localsqs::{Action, LocalSqs};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POLLS: usize = 4;

/// CPU seconds that the bare loop takes for 100,000 messages on a quiet machine, at the most. Above it nothing is proven either way.
const QUIET: f64 = 2.4;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match args.first().map(String::as_str) {
        Some("--serve") => runtime.block_on(serve()),
        Some("--baseline") => runtime.block_on(baseline(&args[1], args[2].parse().unwrap())),
        _ => runtime.block_on(measure(&args)),
    }
}

fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned()
}

/// The queue's process: answers `counts` on stdin with the requests made so far.
async fn serve() {
    let server = LocalSqs::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    client(&server.url).create_queue().queue_name("bench").send().await.unwrap();
    println!("{} {}", server.url, server.queue_url("bench"));
    let mut lines = std::io::stdin().lock().lines();
    while let Some(Ok(line)) = lines.next() {
        match line.as_str() {
            "counts" => {
                let depth = server.depth("bench").unwrap();
                let requests = server.counts().of(Action::ReceiveMessage)
                    + server.counts().of(Action::DeleteMessageBatch)
                    + server.counts().of(Action::DeleteMessage)
                    + server.counts().of(Action::ChangeMessageVisibilityBatch);
                println!("{requests} {}", depth.visible + depth.in_flight + depth.delayed);
            }
            _ => break,
        }
    }
}

fn client(endpoint: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .endpoint_url(endpoint)
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// The limit: receive and delete, nothing else.
async fn baseline(url: &str, messages: usize) {
    let endpoint = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(messages));
    let polls: Vec<_> = (0..POLLS)
        .map(|_| {
            let (client, url, left) = (client(&endpoint), url.to_owned(), Arc::clone(&left));
            tokio::spawn(async move {
                while left.load(std::sync::atomic::Ordering::SeqCst) > 0 {
                    let answer = client
                        .receive_message()
                        .queue_url(&url)
                        .max_number_of_messages(10)
                        .wait_time_seconds(1)
                        .send()
                        .await
                        .unwrap();
                    let messages = answer.messages.unwrap_or_default();
                    if messages.is_empty() {
                        continue;
                    }
                    let entries = messages.iter().enumerate().map(|(n, m)| {
                        DeleteMessageBatchRequestEntry::builder()
                            .id(n.to_string())
                            .receipt_handle(m.receipt_handle().unwrap())
                            .build()
                            .unwrap()
                    });
                    client
                        .delete_message_batch()
                        .queue_url(&url)
                        .set_entries(Some(entries.collect()))
                        .send()
                        .await
                        .unwrap();
                    left.fetch_sub(messages.len(), std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    for poll in polls {
        poll.await.unwrap();
    }
    println!("{}", cpu_seconds(std::process::id()));
}

/// User and system time of a process, from the kernel.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}

struct Queue {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    endpoint: String,
    url: String,
}

impl Queue {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (endpoint, url) = line.trim().split_once(' ').unwrap();
        Self { child, stdin, stdout, endpoint: endpoint.to_owned(), url: url.to_owned() }
    }

    /// Requests made by the consumer so far, and messages that are left.
    fn counts(&mut self) -> (u64, usize) {
        writeln!(self.stdin, "counts").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let (requests, left) = line.trim().split_once(' ').unwrap();
        (requests.parse().unwrap(), left.parse().unwrap())
    }

    async fn fill(&self, messages: usize, tag: &str) {
        let client = client(&self.endpoint);
        for from in (0..messages).step_by(10) {
            let entries = (from..(from + 10).min(messages)).map(|n| {
                SendMessageBatchRequestEntry::builder()
                    .id((n % 10).to_string())
                    .message_body(body(n, n % 100 == 7, tag))
                    .build()
                    .unwrap()
            });
            client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect())).send().await.unwrap();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A KMS event of about 2.5 KB: a decryption that matters to nobody, or a key that is disabled.
fn body(n: usize, matches: bool, tag: &str) -> String {
    let key = format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{n:012}");
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string();
    let (name, read_only) = if matches { ("DisableKey", false) } else { ("Decrypt", true) };
    let context: serde_json::Map<String, serde_json::Value> =
        (0..8).map(|i| (format!("aws:example:context-{i}"), json!("x".repeat(70)))).collect();
    json!({
        "version": "0", "id": format!("env-{tag}-{n}"), "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": "111122223333", "time": time, "region": "eu-central-1", "resources": [],
        "detail": {
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "AssumedRole", "principalId": "AROAEXAMPLEID:worker",
                "arn": "arn:aws:sts::111122223333:assumed-role/Worker/worker", "accountId": "111122223333", "accessKeyId": "EXAMPLE",
                "sessionContext": {
                    "sessionIssuer": { "type": "Role", "principalId": "AROAEXAMPLEID", "arn": "arn:aws:iam::111122223333:role/Worker", "accountId": "111122223333", "userName": "Worker" },
                    "attributes": { "creationDate": time, "mfaAuthenticated": "false" }
                }
            },
            "eventTime": time, "eventSource": "kms.amazonaws.com", "eventName": name, "awsRegion": "eu-central-1",
            "sourceIPAddress": "203.0.113.7", "userAgent": "aws-sdk-rust/1.3 os/linux lang/rust/1.95",
            "requestParameters": { "keyId": key, "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": context },
            "responseElements": null, "requestID": format!("req-{tag}-{n}"), "eventID": format!("ev-{tag}-{n}"), "readOnly": read_only,
            "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": key }],
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111122223333", "eventCategory": "Management",
            "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_256_GCM_SHA384", "clientProvidedHostHeader": "kms.eu-central-1.amazonaws.com" }
        }
    })
    .to_string()
}

/// Arrival times at the webhook, by the event's id.
type Arrivals = Arc<Mutex<Vec<(String, Instant)>>>;

async fn receiver() -> (std::net::SocketAddr, Arrivals) {
    let arrivals = Arrivals::default();
    let kept = Arc::clone(&arrivals);
    let hook = move |body: Bytes| {
        let at = Instant::now();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = value["data"]["event"]["id"].as_str().unwrap_or_default().to_owned();
        kept.lock().unwrap().push((id, at));
        async { axum::http::StatusCode::NO_CONTENT }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(hook))).await.unwrap() });
    (address, arrivals)
}

struct Daemon(Child);

impl Daemon {
    fn start(binary: &Path, folder: &Path, queue: &Queue, hook: std::net::SocketAddr) -> Self {
        drop(std::fs::remove_file(folder.join("state.db")));
        drop(std::fs::remove_file(folder.join("state.db-wal")));
        drop(std::fs::remove_file(folder.join("state.db-shm")));
        let config = folder.join("kmswatch.toml");
        let text = format!(
            "[queues.bench]\nurl = \"{}\"\nendpoint = \"{}\"\nregion = \"eu-central-1\"\n[store.sqlite]\npath = \"{}\"\n[lookups]\nenabled = false\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n[sinks.hook]\nmax_per_minute = 1000000\n[sinks.hook.webhook]\nurl = \"http://{hook}/hook\"\n[[routes]]\nsinks = [\"hook\"]\n",
            queue.url,
            queue.endpoint,
            folder.join("state.db").display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&config)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("NO_PROXY", "127.0.0.1")
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What to think of a ratio to a bare loop that took so long.
fn verdict(base: f64, messages: usize) -> &'static str {
    if base > QUIET * messages as f64 / 100_000.0 { ", void: machine busy" } else { "" }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

async fn measure(args: &[String]) {
    let rounds: usize = option(args, "--rounds").map_or(3, |n| n.parse().unwrap());
    let messages: usize = option(args, "--messages").map_or(100_000, |n| n.parse().unwrap());
    let binary = option(args, "--binary").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_kmswatch")), PathBuf::from);
    let folder = std::env::temp_dir().join(format!("kmswatch-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!(
        "{messages} messages of {} bytes, 1 % match; {rounds} rounds; {}",
        body(1, false, "0").len(),
        binary.display()
    );

    let (mut base_cpu, mut own_cpu, mut ratios, mut peaks, mut idles, mut per_thousand) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        let mut queue = Queue::start();
        queue.fill(messages, &format!("b{round}")).await;
        let started = Instant::now();
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--baseline", &queue.url, &messages.to_string()])
            .output()
            .unwrap();
        let base_wall = started.elapsed();
        let base: f64 = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
        let (base_requests, _) = queue.counts();

        queue.fill(messages, &format!("d{round}")).await;
        let (hook, arrivals) = receiver().await;
        let started = Instant::now();
        let daemon = Daemon::start(&binary, &folder, &queue, hook);
        let pid = daemon.0.id();
        let expected = messages / 100;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (_, left) = queue.counts();
            if left == 0 && arrivals.lock().unwrap().len() >= expected {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_mins(5),
                "{left} left, {} arrived",
                arrivals.lock().unwrap().len()
            );
        }
        let own_wall = started.elapsed();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let own = cpu_seconds(pid);
        let (requests, _) = queue.counts();
        let requests = (requests - base_requests) as f64 / (messages as f64 / 1000.0);
        let peak = memory_mib(pid, "VmHWM:");
        drop(daemon);

        let empty = Queue::start();
        let idle_daemon = Daemon::start(&binary, &folder, &empty, hook);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let idle = memory_mib(idle_daemon.0.id(), "VmRSS:");
        drop(idle_daemon);

        println!(
            "round {}: CPU {own:.2} s against {base:.2} s for the bare loop ({:.2} x{}); wall {:.1} s against {:.1} s; peak {peak:.1} MiB; idle {idle:.1} MiB; {requests:.1} requests per 1,000 events",
            round + 1,
            own / base,
            verdict(base, messages),
            own_wall.as_secs_f64(),
            base_wall.as_secs_f64(),
        );
        base_cpu.push(base);
        own_cpu.push(own);
        ratios.push(own / base);
        peaks.push(peak);
        idles.push(idle);
        per_thousand.push(requests);
    }
    println!(
        "drain, medians: CPU {:.2} s, limit (bare loop) {:.2} s, ratio {:.2} (bar 1.5{}); peak {:.1} MiB (bar 64); idle {:.1} MiB (bar 30); {:.1} requests per 1,000 (bar 205)",
        median(&mut own_cpu),
        median(&mut base_cpu),
        median(&mut ratios),
        verdict(median(&mut base_cpu), messages),
        median(&mut peaks),
        median(&mut idles),
        median(&mut per_thousand)
    );
    latency(&binary, &folder).await;
    drop(std::fs::remove_dir_all(&folder));
}

/// Durable commits of one row, as the store makes them on this disk: the limit for "stored before it is told".
async fn commits(folder: &Path) -> Vec<f64> {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
    use sqlx::{ConnectOptions, Executor};
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.join("commits.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    connection.execute("CREATE TABLE t (x TEXT)").await.unwrap();
    let text = format!("INSERT INTO t VALUES ('{}')", "x".repeat(3000));
    let mut times = vec![];
    for _ in 0..300 {
        let started = Instant::now();
        connection.execute("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(text.as_str())).execute(&mut connection).await.unwrap();
        connection.execute("COMMIT").await.unwrap();
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times
}

async fn latency(binary: &Path, folder: &Path) {
    const EVENTS: usize = 300;
    let mut queue = Queue::start();
    let (hook, arrivals) = receiver().await;
    let daemon = Daemon::start(binary, folder, &queue, hook);
    let sender = client(&queue.endpoint);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let commit = commits(folder).await;
    let (before, _) = queue.counts();
    let mut sent = std::collections::HashMap::new();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for n in 0..EVENTS {
        pace.tick().await;
        let body = body(1_000_000 + n, true, "lat");
        sent.insert(format!("111122223333:eu-central-1:ev-lat-{}", 1_000_000 + n), Instant::now());
        sender.send_message().queue_url(&queue.url).message_body(body).send().await.unwrap();
    }
    let started = Instant::now();
    while arrivals.lock().unwrap().len() < EVENTS && started.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (after, _) = queue.counts();
    drop(daemon);
    // Another incident may speak of the same event later.
    let mut first = std::collections::HashMap::new();
    for (id, at) in arrivals.lock().unwrap().iter() {
        let number = id.rsplit("ev-lat-").next().unwrap();
        if let Some((key, start)) = sent.iter().find(|(key, _)| key.ends_with(number)) {
            first.entry(key).or_insert(at.duration_since(*start).as_secs_f64() * 1000.0);
        }
    }
    assert_eq!(first.len(), EVENTS, "some did not arrive");
    let times: Vec<f64> = first.into_values().collect();
    let (c50, c99) = (percentile(&commit, 0.5), percentile(&commit, 0.99));
    println!(
        "20 events a second, send to the sink's socket: p50 {:.2} ms (bar 2 x commit + 3 = {:.2}), p99 {:.2} ms; one durable commit: p50 {c50:.2} ms, p99 {c99:.2} ms; {:.2} requests per event (bar 1.2)",
        percentile(&times, 0.5),
        2.0 * c50 + 3.0,
        percentile(&times, 0.99),
        (after - before) as f64 / EVENTS as f64
    );
}

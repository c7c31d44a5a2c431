//! What the daemon says of itself, and what it must never say.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::daemon::{Daemon, ROUTING_KEY, SLACK_TOKEN, Setup, WEBHOOK_SECRET, command, free_port};
use super::events;
use super::hostile::{http_get, http_get_as};
use super::queue::TestQueue;
use super::receivers::Receivers;
use super::venv::venv;

const LIMIT: Duration = Duration::from_secs(40);

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// Prometheus' own linter; says so where there is none.
fn lint(metrics: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        writeln!(std::io::stderr(), "\n=== SKIPPED: linting the metrics needs promtool (Debian: prometheus) ===").ok();
        return;
    };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// OpenMetrics as its own Python client reads it: strictly.
fn parse_openmetrics(metrics: &str) {
    const PARSE: &str = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        families = list(parse(sys.stdin.read()))\nprint(len(families), *sorted({f.type for f in families}))";
    let Some(venv) = venv("reading the metrics as OpenMetrics") else { return };
    let mut python = Command::new(venv.join("bin/python3"))
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}\n{metrics}");
    let (families, kinds) = said.trim().split_once(' ').unwrap();
    assert!(families.parse::<usize>().unwrap() > 20, "{said}");
    assert_eq!(kinds, "counter gauge histogram info");
}

/// The whole part of the sample that starts so.
fn sample(metrics: &str, start: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with(start));
    let value = line.unwrap_or_else(|| panic!("no {start} in {metrics}")).rsplit(' ').next().unwrap();
    value.split('.').next().unwrap().parse().unwrap()
}

/// `healthcheck`'s exit code and what it said.
fn healthcheck(address: std::net::SocketAddr, more: &[&str]) -> (Option<i32>, String) {
    let output = command(&["healthcheck", "--address", &address.to_string()]).args(more).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_health_and_logs_say_enough_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(Some(2)).await;
    let receivers = Receivers::start(7).await;
    let (config, admin) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        more: "[log]\nlevel = 'trace'\n[[routes]]\nsinks = ['chat', 'pager', 'hook', 'picky']\n[sinks.picky.webhook]\nurl = 'http://{at}/hook/picky'\nheaders = { Authorization = { env = 'TEST_SLACK_TOKEN' } }"
            .replace("{at}", &receivers.address.to_string())
            .as_str(),
        queue: "wait = '1s'\nvisibility = '10s'",
        store: "",
    }
    .write();
    let mut daemon = Daemon::start(&config);
    // Every sink refuses at first, and repeats the credentials it was sent.
    receivers.refuse("slack/", 500);
    receivers.refuse("pagerduty/", 500);
    receivers.refuse("hook/main", 500);
    receivers.refuse("hook/picky", 400);
    let time = events::now();
    queue.send(&events::call("DisableKey", &events::key(1), "m-1")).await;
    queue.send(&events::envelope(&events::denied(&events::key(2), "m-2", &time)).to_string()).await;
    queue.send(&events::call("DisableKey", &events::key(1), "m-1")).await;
    queue.send(&events::call("DescribeKey", &events::key(3), "m-3")).await;
    queue.send("this is no event").await;
    let started = Instant::now();
    while receivers.requests() < 12 {
        assert!(started.elapsed() < LIMIT, "only {} requests", receivers.requests());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failing = http_get(admin, "/readyz").await;
    assert!(failing.starts_with("HTTP/1.1 200 "), "a failing sink does not make it unready: {failing}");
    assert!(failing.contains("sink chat is failing: server") && failing.contains("sink pager is failing"), "{failing}");
    // Kept with the reason, before it is delivered after all.
    let kept = command(&["incidents", "undelivered", "--format", "json", "--config"]).arg(&config).output().unwrap();
    let kept = String::from_utf8(kept.stdout).unwrap();
    assert!(kept.contains("400: refused: credentials ***"), "{kept}");
    receivers.open_all();
    receivers
        .until(LIMIT, "everything at the sinks that are well again", |all| {
            ["slack/", "pagerduty/", "hook/main"].iter().all(|door| {
                [1, 2]
                    .iter()
                    .all(|n| all.iter().any(|a| a.door.starts_with(door) && a.raw.contains(&format!("{n:012}"))))
            })
        })
        .await;

    let answer = http_get(admin, "/metrics").await;
    let metrics = body(&answer);
    lint(metrics);
    assert!(sample(metrics, "kmswatch_messages_received_total{queue=\"test\"}") >= 5);
    assert!(sample(metrics, "kmswatch_events_decoded_total{family=\"call\"}") >= 3);
    assert!(sample(metrics, "kmswatch_undecodable_total{reason=\"not_json\"}") >= 1);
    assert!(sample(metrics, "kmswatch_duplicates_total") >= 1);
    assert!(sample(metrics, "kmswatch_events_unmatched_total") >= 1);
    assert_eq!(sample(metrics, "kmswatch_incidents_opened_total{severity=\"medium\"}"), 1);
    assert!(sample(metrics, "kmswatch_deliveries_total{sink=\"pager\"}") >= 2);
    assert!(sample(metrics, "kmswatch_delivery_failures_total{sink=\"chat\",reason=\"server\"}") >= 1);
    assert!(sample(metrics, "kmswatch_deliveries_dead_total{sink=\"picky\"}") >= 2);
    assert!(sample(metrics, "kmswatch_last_receive_timestamp_seconds{queue=\"test\"}") > 1_700_000_000);
    assert!(metrics.contains("\nkmswatch_event_lag_seconds_bucket{le=\""), "{metrics}");
    assert_eq!(sample(metrics, "kmswatch_build_info{version="), 1);

    let open = http_get_as(admin, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert!(
        open.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{open}"
    );
    parse_openmetrics(body(&open));

    let live = http_get(admin, "/livez").await;
    assert!(live.starts_with("HTTP/1.1 200 ") && live.contains("\"ok\":true"), "{live}");
    let ready = http_get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    for more in [&[][..], &["--ready"]] {
        let (code, said) = healthcheck(admin, more);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("\"ok\":true"), "{said}");
    }
    let nobody = healthcheck(([127, 0, 0, 1], free_port()).into(), &[]);
    assert_eq!(nobody.0, Some(1), "{}", nobody.1);

    queue.until_empty(LIMIT).await;
    daemon.terminate(LIMIT);
    let mut said = vec![(
        "the answers".to_owned(),
        [&failing, &kept, &answer, &live, &ready].map(String::as_str).concat().into_bytes(),
    )];
    // The store with its journals, and the log.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        said.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }
    let key_of_webhooks = WEBHOOK_SECRET.strip_prefix("whsec_").unwrap();
    for (place, bytes) in &said {
        for secret in [SLACK_TOKEN, ROUTING_KEY, key_of_webhooks, "test-test-test-test"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{place} holds the secret {secret}");
        }
    }
    let log = std::fs::read_to_string(&daemon.log).unwrap();
    assert!(
        log.contains("incident open") && log.contains("refused: credentials ***"),
        "the log was not looked at:\n{log}"
    );
    let (_, stored) = said.iter().find(|(place, _)| place.ends_with("state.db")).unwrap();
    let needle = b"DisableKey";
    assert!(stored.windows(needle.len()).any(|window| window == needle), "the store was not looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_cannot_receive_is_alive_but_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let receivers = Receivers::start(8).await;
    let nowhere = format!("http://127.0.0.1:{}/000000000000/kms", free_port());
    let (config, admin) =
        Setup { folder: folder.path(), queue_url: &nowhere, receivers: &receivers, more: "", queue: "", store: "" }
            .write();
    let mut daemon = Daemon::start(&config);
    let started = Instant::now();
    let said = loop {
        let (code, said) = healthcheck(admin, &["--ready"]);
        assert_ne!(code, Some(0), "{said}");
        if said.contains("cannot receive") {
            break said;
        }
        assert!(started.elapsed() < LIMIT, "{said}\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(said.contains("queue test: cannot receive for"), "{said}");
    assert_eq!(healthcheck(admin, &[]).0, Some(0), "restarting it would not help");
    assert_eq!(daemon.terminate(LIMIT).0, Some(0));
}

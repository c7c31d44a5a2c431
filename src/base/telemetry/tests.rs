use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// Calls every typed function once on a recorder of its own.
fn everything() -> String {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        received("prod", 10);
        deleted("prod", 9);
        delete_failed("ReceiptHandleIsInvalid");
        sqs_request("prod", "receive", "ok");
        late_delete("prod");
        kms_request("DescribeKey", "ok");
        decoded("call", 10);
        unmatched(8);
        undecodable("not_json");
        alert("key-disabled", "critical", "live");
        duplicate();
        incident_opened("critical");
        incident_resolved();
        incidents_open("critical", 1);
        notification("oncall", "trigger", "opened");
        not_told("nothing_new");
        delivered("oncall", 1);
        delivery_failed("oncall", "rate_limited");
        delivery_dead("oncall");
        possible_double("oncall");
        attempt_took("oncall", Duration::from_millis(15));
        outbox_depth("oncall", "waiting", 1);
        outbox_oldest("oncall", Duration::from_secs(3));
        event_lag(Duration::from_secs(12));
        receive_error("prod", "network");
        last_receive("prod", jiff::Timestamp::UNIX_EPOCH);
        queue_oldest("prod", Duration::from_secs(3));
        queue_depth("prod", Some(1), Some(2), Some(3));
        canary_called("prod", true);
        canary_returned("prod", "in_time");
        canary_took("prod", Duration::from_mins(4), jiff::Timestamp::UNIX_EPOCH);
        queue_proven("prod", true);
        heartbeat("ok");
        last_event(jiff::Timestamp::UNIX_EPOCH);
        lookup("ok");
        quarantine(3, 4_096);
        archived(10);
        archive_lost("io", 1);
        archive_upload("done");
        archive_spool(4_096);
        store_error("disk_full");
        commit_took(Duration::from_millis(2));
        reloaded(true);
        queue_oldest("prod", Duration::from_secs(4));
        queue_depth("prod", Some(1), Some(2), Some(3));
        canary_called("prod", true);
        canary_returned("prod", "in_time");
        canary_took("prod", Duration::from_secs(40), jiff::Timestamp::UNIX_EPOCH);
        queue_proven("prod", true);
        heartbeat("success");
        sweep_ended("own", "eu-central-1", "ok", 500);
        sweep_saw("own", "eu-central-1", 480, 3);
        swept("own", "eu-central-1", jiff::Timestamp::UNIX_EPOCH);
    });
    handle.render()
}

#[test]
fn every_row_of_the_table_is_served_with_help_type_and_labels() {
    let text = everything();
    for metric in METRICS {
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        let kind = match metric.kind {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
        let line = text.lines().find(|line| line.starts_with(metric.name)).unwrap();
        for label in metric.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line} has no {label}");
        }
    }
    assert_eq!(text.matches("# TYPE ").count(), METRICS.len(), "a metric is served that is not in the table");
}

#[test]
fn names_follow_the_conventions() {
    for metric in METRICS {
        assert!(metric.name.starts_with("kmswatch_"), "{}", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
        assert_eq!(metric.name.ends_with("_seconds"), metric.unit == Some(Unit::Seconds), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn histograms_have_buckets() {
    let text = everything();
    assert!(text.contains("kmswatch_delivery_seconds_bucket{sink=\"oncall\",le=\"0.02\"} 1"), "{text}");
    assert!(text.contains("kmswatch_delivery_seconds_bucket{sink=\"oncall\",le=\"0.01\"} 0"), "{text}");
    assert!(text.contains("kmswatch_event_lag_seconds_count 1"), "{text}");
}

#[test]
fn a_hostile_label_value_stays_inside_its_quotes() {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || undecodable("x\"} 1\nkmswatch_fake 1"));
    assert!(!handle.render().lines().any(|line| line.starts_with("kmswatch_fake")));
}

/// Prometheus' own linter, where it is installed.
#[test]
fn promtool_finds_nothing() {
    let Ok(mut child) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        eprintln!("promtool is not installed: not checked");
        return;
    };
    child.stdin.take().unwrap().write_all(everything().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

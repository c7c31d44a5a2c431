//! Logs and metrics. Every metric is one row of [`METRICS`]; the rest of the program calls the typed functions
//! below and names no metric itself.
//!
//! Log fields are the glossary's words with dots: `event.id`, `incident.id`, `sink.name`, `queue.name`, `rule.id`.

mod labels;
mod logs;
mod openmetrics;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Label, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use logs::{LogConfig, LogError, LogFormat, LogLevel, start_logs};
pub use openmetrics::{OPENMETRICS_TYPE, wanted as openmetrics_wanted};

use crate::base::stop::Stop;

/// How often samples are folded into the histograms, so that an unscraped daemon does not keep them all.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// One metric: its row in the documentation and the only place where its name stands.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: Option<Unit>,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One attempt or one commit.
const FAST: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From an event to us: seconds as a rule, hours when AWS is late.
const SLOW: &[f64] = &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0];

use MetricKind::{Counter, Gauge, Histogram};

/// Writes the table once: a constant for each metric, and the list of all.
macro_rules! metrics_table {
    ($($id:ident = $kind:expr, $unit:expr, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(const $id: Metric = Metric { name: $name, kind: $kind, unit: $unit, labels: &[$($label),*], help: $help };)+

        /// Every metric there is.
        pub const METRICS: &[Metric] = &[$($id),+];
    };
}

metrics_table! {
    BUILD_INFO = Gauge, None, "kmswatch_build_info", ["version"], "Always 1; the label says which version runs.";
    RECEIVED = Counter, None, "kmswatch_messages_received_total", ["queue"], "Messages received from the queue, repeated ones included.";
    DELETED = Counter, None, "kmswatch_messages_deleted_total", ["queue"], "Messages deleted because everything they caused is kept.";
    DELETE_FAILURES = Counter, None, "kmswatch_delete_failures_total", ["code"], "Messages that could not be deleted, by the queue's error code.";
    SQS_REQUESTS = Counter, None, "kmswatch_sqs_requests_total", ["queue", "verb", "outcome"], "Requests to SQS, by verb and how they ended.";
    LATE_DELETES = Counter, None, "kmswatch_late_deletes_total", ["queue"], "Deletes of messages that were gone, or visible again, already.";
    KMS_REQUESTS = Counter, None, "kmswatch_kms_requests_total", ["call", "outcome"], "Requests to AWS KMS, by call and how they ended.";
    DECODED = Counter, None, "kmswatch_events_decoded_total", ["family"], "Events decoded from messages.";
    UNMATCHED = Counter, None, "kmswatch_events_unmatched_total", [], "Events that no rule reads; their messages are deleted at once.";
    UNDECODABLE = Counter, None, "kmswatch_undecodable_total", ["reason"], "Message bodies that are no event; they are never deleted.";
    ALERTS = Counter, None, "kmswatch_alerts_total", ["rule", "severity", "mode"], "Rules matched by events, each pair counted once; `mode` is `live` or `shadow`.";
    DUPLICATES = Counter, None, "kmswatch_duplicates_total", [], "Events that were seen before.";
    INCIDENTS_OPENED = Counter, None, "kmswatch_incidents_opened_total", ["severity"], "Incidents opened, by the severity they opened with.";
    INCIDENTS_RESOLVED = Counter, None, "kmswatch_incidents_resolved_total", [], "Incidents resolved, by events, by time or by hand.";
    INCIDENTS_OPEN = Gauge, None, "kmswatch_incidents_open", ["severity"], "Incidents that are open or acknowledged now.";
    NOTIFICATIONS = Counter, None, "kmswatch_notifications_total", ["sink", "kind", "reason"], "Notifications put into the outbox.";
    NOT_TOLD = Counter, None, "kmswatch_not_told_total", ["reason"], "Alerts that caused no notification, by the reason.";
    DELIVERIES = Counter, None, "kmswatch_deliveries_total", ["sink"], "Notifications that the sink has accepted.";
    DELIVERY_FAILURES = Counter, None, "kmswatch_delivery_failures_total", ["sink", "reason"], "Attempts that failed, by the reason.";
    DELIVERIES_DEAD = Counter, None, "kmswatch_deliveries_dead_total", ["sink"], "Deliveries given up; they are kept and listed.";
    POSSIBLE_DOUBLES = Counter, None, "kmswatch_delivery_possible_doubles_total", ["sink"], "Deliveries that the sink may now hold twice, after an attempt whose outcome stayed unknown.";
    DELIVERY_SECONDS = Histogram(FAST), Some(Unit::Seconds), "kmswatch_delivery_seconds", ["sink"], "How long one attempt took.";
    OUTBOX_DEPTH = Gauge, None, "kmswatch_outbox_depth", ["sink", "state"], "Deliveries in the outbox that are not done.";
    OUTBOX_OLDEST = Gauge, Some(Unit::Seconds), "kmswatch_outbox_oldest_seconds", ["sink"], "Age of the oldest delivery that is neither done nor dead; 0 when there is none.";
    QUARANTINE_MESSAGES = Gauge, None, "kmswatch_quarantine_messages", [], "Undecodable messages of queues without a dead-letter queue, and damaged rows, that the store keeps; at 10,000 it takes no more messages.";
    QUARANTINE_BYTES = Gauge, Some(Unit::Bytes), "kmswatch_quarantine_bytes", [], "How long they are together; at 64 MiB the store takes no more messages.";
    ARCHIVED = Counter, None, "kmswatch_archive_events_total", [], "Raw events written down for the archive; repeated messages included.";
    ARCHIVE_LOST = Counter, None, "kmswatch_archive_lost_total", ["reason"], "Raw events that the archive misses: the spool is full, cannot be written or does not keep up, or the message was no JSON.";
    ARCHIVE_UPLOADS = Counter, None, "kmswatch_archive_uploads_total", ["outcome"], "Files of the archive put into the bucket, by how it ended.";
    ARCHIVE_SPOOL = Gauge, Some(Unit::Bytes), "kmswatch_archive_spool_bytes", [], "What of the archive waits on the disk.";
    EVENT_LAG = Histogram(SLOW), Some(Unit::Seconds), "kmswatch_event_lag_seconds", [], "From the time an event happened to the time we received it.";
    RECEIVE_ERRORS = Counter, None, "kmswatch_receive_errors_total", ["queue", "class"], "Receive attempts that failed, by the class of the error.";
    LAST_RECEIVE = Gauge, Some(Unit::Seconds), "kmswatch_last_receive_timestamp_seconds", ["queue"], "When a receive last succeeded, empty answers included (Unix time).";
    QUEUE_OLDEST = Gauge, Some(Unit::Seconds), "kmswatch_queue_oldest_message_seconds", ["queue"], "Age of the oldest message that was received for the first time within the last minute, as it was received; 0 when nothing waits.";
    QUEUE_WAITING = Gauge, None, "kmswatch_queue_waiting_messages", ["queue"], "Messages that wait in the queue, about.";
    QUEUE_IN_FLIGHT = Gauge, None, "kmswatch_queue_in_flight_messages", ["queue"], "Messages in flight, about; near 120,000 (20,000 of a FIFO queue) the queue hands out no more.";
    QUEUE_DEAD = Gauge, None, "kmswatch_queue_dead_letters", ["queue"], "Messages in the queue's dead-letter queue, about.";
    CANARY_CALLS = Counter, None, "kmswatch_canary_calls_total", ["canary", "outcome"], "Calls that canaries made: `ok` or `failed`.";
    CANARY_RETURNS = Counter, None, "kmswatch_canary_returns_total", ["canary", "outcome"], "Calls that came back as events: `in_time`, `late`, or `again` if they came twice.";
    CANARY_SECONDS = Histogram(SLOW), Some(Unit::Seconds), "kmswatch_canary_seconds", ["canary"], "From a canary's call to its event in the queue.";
    CANARY_LAST_RETURN = Gauge, Some(Unit::Seconds), "kmswatch_canary_last_return_timestamp_seconds", ["canary"], "When a canary's call last came back (Unix time).";
    QUEUE_PROVEN = Gauge, None, "kmswatch_queue_proven", ["queue"], "1 while every canary of the queue comes back in time; 0 while one does not, has not yet, or there is none.";
    HEARTBEATS = Counter, None, "kmswatch_heartbeats_total", ["result"], "Pings to the heartbeat's service: `well`, `trouble`, or `failed` if it took none.";
    LAST_EVENT = Gauge, Some(Unit::Seconds), "kmswatch_last_event_timestamp_seconds", [], "When the newest event seen happened (Unix time).";
    SWEEPS = Counter, None, "kmswatch_sweeps_total", ["account", "region", "outcome"], "Sweeps over the keys of an account and Region, by how they ended: `ok`, `partial` (KMS did not answer for too many keys) or `failed`.";
    SWEEP_CALLS = Counter, None, "kmswatch_sweep_calls_total", ["account", "region"], "Requests to AWS KMS that sweeps made.";
    SWEEP_KEYS = Gauge, None, "kmswatch_sweep_keys", ["account", "region"], "Keys that the last sweep found that came to the last page.";
    SWEEP_UNSEEN = Gauge, None, "kmswatch_sweep_unseen_keys", ["account", "region"], "Of how many of them KMS did not say in which state they are.";
    LAST_SWEEP = Gauge, Some(Unit::Seconds), "kmswatch_last_sweep_timestamp_seconds", ["account", "region"], "When a sweep last ended `ok` (Unix time).";
    LOOKUPS = Counter, None, "kmswatch_lookups_total", ["result"], "Lookups of key details in AWS KMS.";
    STORE_ERRORS = Counter, None, "kmswatch_store_errors_total", ["kind"], "Store calls that failed.";
    STORE_COMMIT = Histogram(FAST), Some(Unit::Seconds), "kmswatch_store_commit_seconds", [], "How long a durable commit of decisions took.";
    RELOADS = Counter, None, "kmswatch_reloads_total", ["result"], "Reloads of the configuration.";
    LAST_RELOAD = Gauge, None, "kmswatch_config_last_reload_successful", [], "1 if the newest configuration is in force, 0 if it did not load.";
}

/// Reads the metrics out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry(PrometheusHandle);

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the metrics could not be set up: {0}")]
    Build(#[from] BuildError),
    #[error("another recorder of metrics is installed in this process")]
    Taken,
}

impl Telemetry {
    /// Installs the recorder for the whole process; a second call gives the same handle.
    ///
    /// # Errors
    /// When something else has installed a recorder.
    pub fn install() -> Result<Self, TelemetryError> {
        static INSTALLED: Mutex<Option<Telemetry>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(telemetry) = installed.as_ref() {
            return Ok(telemetry.clone());
        }
        let recorder = recorder()?;
        let telemetry = Self(recorder.handle());
        metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Taken)?;
        describe();
        *installed = Some(telemetry.clone());
        Ok(telemetry)
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// The same as OpenMetrics 1.0.
    pub fn render_openmetrics(&self) -> String {
        openmetrics::from_text(&self.render())
    }

    /// Folds samples into histograms now and then, until stopped: without it they would pile up between scrapes.
    pub async fn keep_up(&self, stop: &Stop) {
        while stop.sleep(UPKEEP_EVERY).await {
            self.0.run_upkeep();
        }
    }
}

pub fn received(queue: &str, messages: u64) {
    count(&RECEIVED, &[queue], messages);
}

pub fn deleted(queue: &str, messages: u64) {
    count(&DELETED, &[queue], messages);
}

pub fn delete_failed(code: &str) {
    count(&DELETE_FAILURES, &[code], 1);
}

pub fn sqs_request(queue: &str, verb: &str, outcome: &str) {
    count(&SQS_REQUESTS, &[queue, verb, outcome], 1);
}

pub fn late_delete(queue: &str) {
    count(&LATE_DELETES, &[queue], 1);
}

pub fn kms_request(call: &str, outcome: &str) {
    count(&KMS_REQUESTS, &[call, outcome], 1);
}

pub fn decoded(family: &str, events: u64) {
    count(&DECODED, &[family], events);
}

pub fn unmatched(events: u64) {
    count(&UNMATCHED, &[], events);
}

pub fn undecodable(reason: &str) {
    count(&UNDECODABLE, &[reason], 1);
}

pub fn alert(rule: &str, severity: &str, mode: &str) {
    count(&ALERTS, &[rule, severity, mode], 1);
}

pub fn duplicate() {
    count(&DUPLICATES, &[], 1);
}

pub fn incident_opened(severity: &str) {
    count(&INCIDENTS_OPENED, &[severity], 1);
}

pub fn incident_resolved() {
    count(&INCIDENTS_RESOLVED, &[], 1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
pub fn incidents_open(severity: &str, incidents: u64) {
    set(&INCIDENTS_OPEN, &[severity], incidents as f64);
}

pub fn notification(sink: &str, kind: &str, reason: &str) {
    count(&NOTIFICATIONS, &[sink, kind, reason], 1);
}

pub fn not_told(reason: &str) {
    count(&NOT_TOLD, &[reason], 1);
}

pub fn delivered(sink: &str, notifications: u64) {
    count(&DELIVERIES, &[sink], notifications);
}

pub fn delivery_failed(sink: &str, reason: &str) {
    count(&DELIVERY_FAILURES, &[sink, reason], 1);
}

pub fn delivery_dead(sink: &str) {
    count(&DELIVERIES_DEAD, &[sink], 1);
}

pub fn possible_double(sink: &str) {
    count(&POSSIBLE_DOUBLES, &[sink], 1);
}

pub fn attempt_took(sink: &str, length: Duration) {
    sample(&DELIVERY_SECONDS, &[sink], length.as_secs_f64());
}

/// `state` is one of `waiting`, `parked`, `dead`.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
pub fn outbox_depth(sink: &str, state: &str, deliveries: u64) {
    set(&OUTBOX_DEPTH, &[sink, state], deliveries as f64);
}

pub fn outbox_oldest(sink: &str, age: Duration) {
    set(&OUTBOX_OLDEST, &[sink], age.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the quarantine is bounded far below 2^53")]
pub fn quarantine(messages: u64, bytes: u64) {
    set(&QUARANTINE_MESSAGES, &[], messages as f64);
    set(&QUARANTINE_BYTES, &[], bytes as f64);
}

pub fn archived(events: u64) {
    count(&ARCHIVED, &[], events);
}

pub fn archive_lost(reason: &str, events: u64) {
    count(&ARCHIVE_LOST, &[reason], events);
}

pub fn archive_upload(outcome: &str) {
    count(&ARCHIVE_UPLOADS, &[outcome], 1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the spool is bounded far below 2^53")]
pub fn archive_spool(bytes: u64) {
    set(&ARCHIVE_SPOOL, &[], bytes as f64);
}

pub fn event_lag(lag: Duration) {
    sample(&EVENT_LAG, &[], lag.as_secs_f64());
}

pub fn receive_error(queue: &str, class: &str) {
    count(&RECEIVE_ERRORS, &[queue, class], 1);
}

pub fn last_receive(queue: &str, at: jiff::Timestamp) {
    set(&LAST_RECEIVE, &[queue], at.as_duration().as_secs_f64());
}

pub fn queue_oldest(queue: &str, age: Duration) {
    set(&QUEUE_OLDEST, &[queue], age.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
pub fn queue_depth(queue: &str, waiting: Option<u64>, in_flight: Option<u64>, dead: Option<u64>) {
    for (metric, messages) in [(&QUEUE_WAITING, waiting), (&QUEUE_IN_FLIGHT, in_flight), (&QUEUE_DEAD, dead)] {
        if let Some(messages) = messages {
            set(metric, &[queue], messages as f64);
        }
    }
}

/// `account` is `own` where no role is taken on; `outcome` is `ok`, `partial` or `failed`.
pub fn sweep_ended(account: &str, region: &str, outcome: &str, calls: u64) {
    count(&SWEEPS, &[account, region, outcome], 1);
    count(&SWEEP_CALLS, &[account, region], calls);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
pub fn sweep_saw(account: &str, region: &str, keys: usize, unseen: usize) {
    set(&SWEEP_KEYS, &[account, region], keys as f64);
    set(&SWEEP_UNSEEN, &[account, region], unseen as f64);
}

pub fn swept(account: &str, region: &str, at: jiff::Timestamp) {
    set(&LAST_SWEEP, &[account, region], at.as_duration().as_secs_f64());
}

pub fn canary_called(canary: &str, ok: bool) {
    count(&CANARY_CALLS, &[canary, if ok { "ok" } else { "failed" }], 1);
}

pub fn canary_returned(canary: &str, outcome: &str) {
    count(&CANARY_RETURNS, &[canary, outcome], 1);
}

pub fn canary_took(canary: &str, length: Duration, at: jiff::Timestamp) {
    sample(&CANARY_SECONDS, &[canary], length.as_secs_f64());
    set(&CANARY_LAST_RETURN, &[canary], at.as_duration().as_secs_f64());
}

pub fn queue_proven(queue: &str, proven: bool) {
    set(&QUEUE_PROVEN, &[queue], f64::from(u8::from(proven)));
}

pub fn heartbeat(result: &str) {
    count(&HEARTBEATS, &[result], 1);
}

pub fn last_event(at: jiff::Timestamp) {
    set(&LAST_EVENT, &[], at.as_duration().as_secs_f64());
}

pub fn lookup(result: &str) {
    count(&LOOKUPS, &[result], 1);
}

pub fn store_error(kind: &str) {
    count(&STORE_ERRORS, &[kind], 1);
}

pub fn commit_took(length: Duration) {
    sample(&STORE_COMMIT, &[], length.as_secs_f64());
}

pub fn reloaded(ok: bool) {
    count(&RELOADS, &[if ok { "ok" } else { "failed" }], 1);
    set(&LAST_RELOAD, &[], f64::from(u8::from(ok)));
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

/// Gives every metric its help text, and those without labels their first value, so that they exist before
/// anything happens.
fn describe() {
    for metric in METRICS {
        match metric.kind {
            Counter => metrics::describe_counter!(metric.name, unit(metric), metric.help),
            Gauge => metrics::describe_gauge!(metric.name, unit(metric), metric.help),
            Histogram(_) => metrics::describe_histogram!(metric.name, unit(metric), metric.help),
        }
        if metric.labels.is_empty() && metric.kind == Counter {
            count(metric, &[], 0);
        }
    }
    set(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
}

fn unit(metric: &Metric) -> Unit {
    metric.unit.unwrap_or(Unit::Count)
}

fn count(metric: &Metric, values: &[&str], by: u64) {
    metrics::counter!(metric.name, labelled(metric, values)).increment(by);
}

fn set(metric: &Metric, values: &[&str], to: f64) {
    metrics::gauge!(metric.name, labelled(metric, values)).set(to);
}

fn sample(metric: &Metric, values: &[&str], value: f64) {
    metrics::histogram!(metric.name, labelled(metric, values)).record(value);
}

fn labelled(metric: &Metric, values: &[&str]) -> Vec<Label> {
    metric.labels.iter().zip(values).map(|(label, value)| Label::new(*label, labels::bounded(label, value))).collect()
}

#[cfg(test)]
mod tests;

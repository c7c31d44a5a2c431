//! A world of plain values on tokio's paused clock: time, notifications, and lanes wired to fakes.

mod sink;
mod store;

pub(super) use sink::{FakeSink, Mood, fails};
pub(super) use store::FakeStore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::super::{Deliver, Lane, LaneConfig, Reporter, Settings};
use crate::base::clock::Clock;
use crate::base::health::Health;
use crate::core::event::{Actor, Outcome as EventOutcome};
use crate::core::incident::{Fingerprint, Incident, State, Voice};
use crate::core::notification::{EventCard, IncidentCard, Kind, Notification, Reason};
use crate::core::rule::Severity;
use crate::store::{Delivery, DeliveryState, Leased};

pub(in crate::deliver) fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// Wall-clock time that runs with tokio's.
pub(super) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        start() + SignedDuration::try_from(self.0.elapsed()).unwrap()
    }
}

fn event() -> EventCard {
    EventCard {
        id: "e".into(),
        name: "DisableKey".into(),
        source: "aws.kms".into(),
        time: start(),
        account: Some("111122223333".into()),
        region: Some("eu-central-1".into()),
        outcome: EventOutcome::Success,
        denied_by: None,
        error_code: None,
        error_message: None,
        actor: Actor::default(),
        details: [].into(),
        late: None,
    }
}

/// The `transition`th notification of incident `n`.
pub(super) fn notification(n: u32, transition: u32, kind: Kind, severity: Severity) -> Notification {
    let reason = match kind {
        Kind::Trigger => Reason::Opened,
        Kind::Update => Reason::Escalated,
        Kind::Resolve => Reason::Resolved,
        Kind::Notice => Reason::Notice,
    };
    Notification {
        id: format!("n{n}-{transition}"),
        kind,
        reason,
        at: start(),
        incident: IncidentCard {
            id: format!("i{n}"),
            fingerprint: Fingerprint(format!("f{n}")),
            episode: 1,
            state: if kind == Kind::Resolve { State::Resolved } else { State::Open },
            severity,
            title: "Key disabled".into(),
            rule: "key-disabled".into(),
            family: "key-unusable".into(),
            opened_at: start(),
            last_alert_at: start(),
            resolved_at: None,
            deadline: None,
            harm: None,
            in_use: None,
            alerts: 1,
            actors: vec![],
            step: 0,
            transition,
            tags: vec![],
            runbook: None,
            owner: None,
            taken: None,
        },
        event: event(),
        key: None,
        summary: "key disabled".into(),
        meaning: None,
        action: None,
        undo: None,
        links: vec![],
        marks: vec![],
        banner: None,
    }
}

pub(super) fn incident(n: u32, told: &[&str]) -> Incident {
    Incident {
        id: format!("i{n}"),
        fingerprint: Fingerprint(format!("f{n}")),
        episode: 1,
        family: "key-unusable".into(),
        rules: BTreeSet::new(),
        severity: Severity::Critical,
        state: State::Open,
        opened_at: start(),
        last_alert_at: start(),
        resolved_at: None,
        deadline: None,
        alerts: 1,
        actors: BTreeSet::new(),
        key: None,
        tags: BTreeSet::new(),
        first: event(),
        latest: event(),
        told: told.iter().map(|name| (*name).to_owned()).collect(),
        step: 0,
        transitions: 1,
        last_notified_at: None,
        taken: None,
        marks: BTreeSet::new(),
        repeat: None,
        voice: Voice::default(),
        said: "Key disabled".into(),
        undo: None,
        links: vec![],
        watching: BTreeSet::new(),
        happenings: BTreeMap::new(),
        held: None,
        shadow: false,
        began_in_shadow: false,
        fired: BTreeMap::new(),
        rose_at: None,
        harm: None,
        in_use: None,
    }
}

/// A claimed trigger, for tests of pure functions.
pub(in crate::deliver) fn leased(sink: &str, n: u32, severity: Severity) -> Leased {
    let delivery = Delivery {
        id: i64::from(n),
        sink: sink.into(),
        notification: notification(n, 1, Kind::Trigger, severity),
        state: DeliveryState::Waiting,
        attempts: 0,
        outcome_unknown: false,
        created_at: start(),
        due_at: start(),
        last_error: None,
    };
    Leased { delivery, memory: None, overtaken: None }
}

/// Writes down what the lanes report.
#[derive(Default)]
pub(super) struct Notes(pub(super) Mutex<Vec<String>>);

impl Notes {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Reporter for Notes {
    fn sink_failing(&self, sink: &str, since: Timestamp, reason: &str) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{sink} failing since {}: {reason}", since.duration_since(start()).as_secs()));
    }

    fn sink_recovered(&self, sink: &str) {
        self.0.lock().unwrap().push(format!("{sink} recovered"));
    }

    fn delivery_dead(&self, sink: &str, notification: &Notification, _: &str) {
        self.0.lock().unwrap().push(format!("{sink} dead {}", notification.id));
    }
}

pub(super) struct World {
    pub(super) store: Arc<FakeStore>,
    pub(super) clock: Arc<TokioClock>,
    pub(super) notes: Arc<Notes>,
    pub(super) health: Arc<Health>,
    pub(super) deliver: Deliver,
}

pub(super) fn lane(name: &str, sink: &Arc<FakeSink>) -> Lane {
    let config =
        LaneConfig { name: name.into(), max_per_minute: None, fallback: None, fallback_after: Duration::from_mins(5) };
    Lane { config, sink: sink.clone() }
}

impl World {
    pub(super) fn new(lanes: Vec<Lane>) -> Self {
        let store = Arc::new(FakeStore::default());
        let clock = Arc::new(TokioClock(Instant::now()));
        let (notes, health) = (Arc::new(Notes::default()), Arc::new(Health::new()));
        let deliver =
            Deliver::start(store.clone(), clock.clone(), notes.clone(), health.clone(), Settings::default(), lanes);
        Self { store, clock, notes, health, deliver }
    }

    /// As ingest does: commit, then wake.
    pub(super) fn commit(&self, sinks: &[&str], notification: &Notification) {
        for sink in sinks {
            self.store.put(self.clock.now(), sink, notification.clone());
        }
        self.deliver.wake(sinks.iter().copied());
    }

    pub(super) fn trigger(&self, sinks: &[&str], n: u32, severity: Severity) {
        self.commit(sinks, &notification(n, 1, Kind::Trigger, severity));
    }
}

pub(super) async fn pass(length: Duration) {
    tokio::time::sleep(length).await;
}

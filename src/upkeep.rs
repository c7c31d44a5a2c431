//! Loop: what has to happen although nothing happens. Timers, gauges, housekeeping, the queue's DLQ, and asking a
//! failing store whether it works again.

mod queues;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::base::clock::Timestamp;
use crate::base::health::Health;
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::core::decide::OwnSubject;
use crate::core::event::KeyRef;
use crate::core::observe::{By, Observation};
use crate::core::rule::Severity;
use crate::engine::{Engine, StoreState};
use crate::keys::KeyLookup;
use crate::store::Retention;

use queues::Signals;
pub use queues::Watched;

/// How often timers are looked at: repeats and ends by time are this exact.
const TICK_EVERY: Duration = Duration::from_secs(10);
/// How often the store is asked for silences that people made or ended: they take effect within this.
const GATES_EVERY: Duration = Duration::from_secs(5);
/// What is held back is looked at whenever something opens, and once in so many rounds in any case.
const HELD_ROUNDS: u32 = 12;
/// How often it is looked whether KMS has to be asked about a key, and about how many at once.
const VERIFY_EVERY: Duration = Duration::from_secs(10);
const VERIFY_PAGE: usize = 16;
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// One request for each queue, and one for its DLQ: two cents a month.
const QUEUES_EVERY: Duration = Duration::from_mins(1);
/// What was learnt of the use of keys is written this often.
const USES_EVERY: Duration = Duration::from_mins(1);
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Shortest and longest pause between questions to a failing store.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(15);

pub struct Upkeep {
    pub engine: Arc<Engine>,
    pub queues: Vec<Watched>,
    pub lookups: Arc<dyn KeyLookup>,
    pub health: Arc<Health>,
    pub stop: Stop,
    pub retention: Retention,
}

impl Upkeep {
    /// Runs until stopped.
    pub async fn run(self) {
        let start = Instant::now();
        let every = |length: Duration, first: Duration| {
            let mut interval = interval_at(start + first, length);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut ticks = every(TICK_EVERY, Duration::from_secs(1));
        let mut gates = every(GATES_EVERY, GATES_EVERY);
        let mut verify = every(VERIFY_EVERY, Duration::from_secs(5));
        let mut round = 0;
        let mut gauges = every(GAUGES_EVERY, Duration::from_secs(2));
        let mut queues = every(QUEUES_EVERY, Duration::from_secs(30));
        let mut uses = every(USES_EVERY, USES_EVERY);
        let mut prunes = every(PRUNE_EVERY, Duration::from_mins(1));
        let mut store = self.engine.store_state();
        store.mark_changed();
        let mut signals = Signals::default();
        loop {
            tokio::select! {
                () = self.stop.stopped() => return self.engine.flush_uses().await,
                _ = store.changed() => {
                    let state = store.borrow_and_update().clone();
                    self.follow_store(&state).await;
                }
                _ = ticks.tick() => self.tick().await,
                () = self.engine.gate_opened() => self.look_at_held().await,
                _ = gates.tick() => self.gates(&mut round).await,
                _ = verify.tick() => self.verify().await,
                _ = gauges.tick() => self.gauges().await,
                _ = queues.tick() => signals.look(&self).await,
                _ = uses.tick() => self.engine.flush_uses().await,
                _ = prunes.tick() => self.prune().await,
            }
        }
    }

    async fn tick(&self) {
        // A page at a time; the store says when there is nothing left. What fails is logged by the engine.
        while !self.stop.is_stopped() && self.engine.tick().await.is_ok_and(|changed| changed > 0) {}
    }

    /// Silences come from the command line, and a person's resolve may end what holds others.
    async fn gates(&self, round: &mut u32) {
        if let Err(error) = self.engine.refresh_gates().await {
            tracing::warn!(%error, "silences could not be read; those known stay in force");
        }
        *round += 1;
        if *round >= HELD_ROUNDS || !self.engine.policy().inhibit.is_empty() {
            *round = 0;
            self.look_at_held().await;
        }
    }

    /// Asks KMS about keys whose incidents moved, or are open: an incident ends when the key can be used again, whatever
    /// events came or did not come. Where that is not permitted, events alone decide.
    async fn verify(&self) {
        let keys = self.engine.keys_to_verify(VERIFY_PAGE);
        let ask = async |key: KeyRef| {
            let arn = key.arn.clone()?;
            self.lookups.invalidate(&arn).await;
            let asked = self.engine.now();
            let answer = self.lookups.describe(&key).await;
            Observation::of_lookup(By::Verification, &key, &answer, asked)
        };
        let answers = join_all(keys.into_iter().map(ask)).await;
        let answers: Vec<Observation> = answers.into_iter().flatten().collect();
        if let Err(error) = self.engine.observe(&answers).await {
            tracing::warn!(%error, "what KMS says of keys could not be stored; it is asked again");
        }
    }

    async fn look_at_held(&self) {
        if let Err(error) = self.engine.look_at_held().await {
            tracing::warn!(%error, "what is held back could not be looked at; it is tried again within a minute");
        }
    }

    /// While the store fails, asks it again and again, with growing pauses; says so to people once.
    async fn follow_store(&self, state: &StoreState) {
        let StoreState::Fails { since, error } = state else {
            self.health.store_ok();
            // An earlier life, or a failure that was over before we looked, may have left a report behind.
            if !self.engine.retract(&OwnSubject::StoreFailing, "the store works").await {
                tracing::warn!("that the store works could not be stored");
            }
            return;
        };
        self.health.store_failed(error.kind.as_str());
        self.engine.report(&OwnSubject::StoreFailing, &error.to_string()).await;
        let mut pause = PROBE_MIN;
        while self.stop.sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await {
            if self.engine.probe().await {
                self.health.store_ok();
                self.store_is_back(*since).await;
                return;
            }
            pause = (pause * 2).min(PROBE_MAX);
        }
    }

    /// The outage is told through the store now that it works, opened and resolved, so that it is in the history.
    async fn store_is_back(&self, since: Timestamp) {
        let length = self.engine.now().duration_since(since).as_secs();
        let detail = format!("the store failed for {length} s and works again");
        self.engine.report(&OwnSubject::StoreFailing, &detail).await;
        if !self.engine.retract(&OwnSubject::StoreFailing, &detail).await {
            tracing::warn!("the store failed again at once");
        }
    }

    async fn gauges(&self) {
        let Ok(stats) = self.engine.store().stats().await else { return };
        let now = self.engine.now();
        for severity in Severity::ALL {
            let open = stats.open_incidents.get(&severity).copied().unwrap_or(0);
            telemetry::incidents_open(severity.as_str(), open);
        }
        telemetry::quarantine(stats.quarantined, stats.quarantined_bytes);
        for sink in &self.engine.policy().sinks {
            let sink_stats = stats.sinks.get(sink).cloned().unwrap_or_default();
            telemetry::outbox_depth(sink, "waiting", sink_stats.waiting);
            telemetry::outbox_depth(sink, "parked", sink_stats.parked);
            telemetry::outbox_depth(sink, "dead", sink_stats.dead);
            let age = sink_stats.oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest).unsigned_abs());
            telemetry::outbox_oldest(sink, age);
        }
    }

    async fn prune(&self) {
        let sinks = self.engine.policy().sinks.clone();
        loop {
            match self.engine.store().prune(self.engine.now(), &self.retention, &sinks).await {
                Ok(0) => return,
                Ok(rows) => tracing::debug!(rows, "forgot what is past its retention"),
                Err(error) => {
                    tracing::warn!(%error, "housekeeping failed; it is tried again in an hour");
                    return;
                }
            }
            if !self.stop.sleep(Duration::from_millis(50)).await {
                return;
            }
        }
    }
}

//! What becomes of attempts that have ended: judged at once, settled together.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::attempt::{Flight, Landed, unknown};
use super::lane::{Ending, Task};
use super::lock;
use super::trouble::Change;
use super::verdict::judge;
use crate::base::telemetry;
use crate::core::reroute::Trouble;
use crate::sink::{Class, DeliveryError, FailReason, Receipt};
use crate::store::{Leased, Outcome, Settlement, StoreErrorKind};

/// A sink that refuses a digest gets none for so long.
const DIGEST_REST: Duration = Duration::from_mins(10);

/// Known due times that are remembered; later ones are found by polling.
const DUES_MAX: usize = 1024;

impl Task {
    pub(super) fn landed(&mut self, landed: Result<(Id, Landed), JoinError>) {
        let (id, result) = match landed {
            Ok((id, landed)) => {
                telemetry::attempt_took(self.name(), landed.took);
                (id, landed.result)
            }
            Err(error) => (error.id(), Err(unknown(FailReason::Io, "the attempt broke off: a bug".to_owned()))),
        };
        let Some(flight) = self.aloft.remove(&id) else { return };
        match result {
            Ok(receipt) => self.accepted(&flight, &receipt),
            Err(error) => self.failed(&flight, &error),
        }
    }

    fn accepted(&mut self, flight: &Flight, receipt: &Receipt) {
        self.pace.succeeded();
        let change = lock(&self.trouble).succeeded();
        if matches!(change, Change::Recovered { .. }) {
            tracing::info!(sink.name = %self.config.name, "the sink works again");
            self.shared.health.sink_recovered(&self.config.name);
        }
        match change {
            Change::Recovered { reported: true, .. } => self.shared.reporter.sink_recovered(&self.config.name),
            Change::Recovered { first: true, .. } | Change::Greeted => {
                self.shared.reporter.sink_works(&self.config.name);
            }
            _ => {}
        }
        self.fallback.reset();
        if receipt.possible_double {
            telemetry::possible_double(self.name());
        }
        for leased in flight.leased() {
            let delivery = &leased.delivery;
            tracing::debug!(
                sink.name = %delivery.sink, incident.id = %delivery.notification.incident.id,
                notification.kind = delivery.notification.kind.as_str(), "told"
            );
            let memory = receipt.memory.clone().or_else(|| leased.memory.clone());
            let ids = leased.overtaken.as_ref().map_or_else(|| vec![delivery.id], |overtaken| overtaken.ids.clone());
            telemetry::delivered(self.name(), ids.len().try_into().unwrap_or(u64::MAX));
            for id in ids {
                self.end(id, Outcome::Done { memory: memory.clone() });
            }
        }
    }

    fn failed(&mut self, flight: &Flight, error: &DeliveryError) {
        telemetry::delivery_failed(self.name(), error.reason.as_str());
        let now = self.shared.clock.now();
        match error.class {
            Class::Retry { after } => {
                if error.reason == FailReason::RateLimited {
                    self.pace.limited(Instant::now(), after, &mut self.rng);
                }
                self.pace.failed(Instant::now(), &mut self.rng);
                self.sink_failed(now, error, false);
            }
            Class::Park => {
                self.pace.failed(Instant::now(), &mut self.rng);
                self.sink_failed(now, error, true);
            }
            // The sink answered: it is this notification that is wrong.
            Class::Reject => {}
        }
        if matches!(flight, Flight::Digest(_)) && error.class == Class::Reject {
            tracing::warn!(sink.name = %self.config.name, %error, "the sink refused a digest; told one by one");
            self.no_digest_until = Some(Instant::now() + DIGEST_REST);
            return self.release(flight.leased().to_vec());
        }
        for leased in flight.leased() {
            self.put_off(leased, error, now);
        }
    }

    fn sink_failed(&mut self, now: Timestamp, error: &DeliveryError, parked: bool) {
        if lock(&self.trouble).failed(now, error.reason, parked) == Change::Failing {
            let hint = if parked { "a person has to mend something; retried slowly" } else { "retried" };
            tracing::warn!(sink.name = %self.config.name, %error, "the sink is failing: {hint}");
            self.shared.health.sink_failing(&self.config.name, error.reason.as_str());
        }
    }

    /// What becomes of a delivery whose attempt failed.
    fn put_off(&mut self, leased: &Leased, error: &DeliveryError, now: Timestamp) {
        let delivery = &leased.delivery;
        let give_up_after = self.shared.settings.give_up_after;
        let outcome = judge(leased, error, give_up_after, self.pace.failures(), now, &mut self.rng);
        let age = now.duration_since(delivery.created_at);
        let mut elsewhere = None;
        match &outcome {
            Outcome::Dead { error } => {
                tracing::error!(
                    sink.name = %delivery.sink, incident.id = %delivery.notification.incident.id, error = ?error,
                    "a delivery is given up"
                );
                telemetry::delivery_dead(&delivery.sink);
                self.shared.reporter.delivery_dead(&delivery.sink, &delivery.notification, error);
                let refused = age < give_up_after;
                elsewhere = Some(if refused { Trouble::Refused } else { Trouble::Failing(age) });
            }
            Outcome::Retry { at, .. } | Outcome::Parked { at, .. } | Outcome::Released { at } => {
                self.due(now, *at);
                // The sink may be well otherwise; this delivery is not.
                if age.unsigned_abs() >= self.config.fallback_after {
                    elsewhere = Some(Trouble::Failing(age));
                }
            }
            Outcome::Done { .. } => {}
        }
        let elsewhere =
            elsewhere.filter(|_| leased.overtaken.is_none()).map(|trouble| (Box::new(leased.clone()), trouble));
        self.unsettled.push(Ending { settlement: Settlement { id: delivery.id, outcome }, elsewhere });
    }

    fn due(&mut self, now: Timestamp, at: Timestamp) {
        let wait = at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs();
        self.dues.insert(Instant::now() + wait);
        if self.dues.len() > DUES_MAX {
            self.dues.pop_last();
        }
    }

    /// Tells the store how attempts ended, all in one call.
    pub(super) async fn settle(&mut self) {
        if self.unsettled.is_empty() || self.store_again_at.is_some_and(|again| again > Instant::now()) {
            return;
        }
        for at in 0..self.unsettled.len() {
            let Some((leased, trouble)) = self.unsettled.get_mut(at).and_then(|ending| ending.elsewhere.take()) else {
                continue;
            };
            let told = self.tell_elsewhere(leased.delivery.id, &leased.delivery.notification, trouble).await;
            if let Err(error) = told {
                if let Some(ending) = self.unsettled.get_mut(at) {
                    ending.elsewhere = Some((leased, trouble));
                }
                return self.store_failed(&error);
            }
        }
        let settlements: Vec<Settlement> = self.unsettled.iter().map(|ending| ending.settlement.clone()).collect();
        // What is finished may have held back others of its fingerprint.
        self.more |= settlements.iter().any(|end| matches!(end.outcome, Outcome::Done { .. } | Outcome::Dead { .. }));
        let now = self.shared.clock.now();
        match self.shared.store.settle(now, &settlements).await {
            Ok(()) => self.unsettled.clear(),
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                self.settle_singly(now).await;
                if !self.unsettled.is_empty() {
                    return self.store_failed(&error);
                }
            }
            Err(error) => return self.store_failed(&error),
        }
        self.store_worked();
        self.shared.settled.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// One broken row must not hold the others: it is left to its lease, and named.
    async fn settle_singly(&mut self, now: Timestamp) {
        for ending in std::mem::take(&mut self.unsettled) {
            match self.shared.store.settle(now, std::slice::from_ref(&ending.settlement)).await {
                Ok(()) => {}
                Err(error) if error.kind == StoreErrorKind::Corrupt => {
                    let id = ending.settlement.id;
                    tracing::error!(sink.name = %self.config.name, delivery.id = id, %error, "could not be settled");
                }
                Err(_) => self.unsettled.push(ending),
            }
        }
    }
}

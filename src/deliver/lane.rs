//! One sink's lane: lease what can start now, tell it, settle what has landed; never wait for another lane.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::attempt::{Flight, Landed, fly};
use super::fallback::Fallback;
use super::pace::{Pace, backoff};
use super::{Lane, LaneConfig, Shared, trouble};
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::core::notification::Kind;
use crate::core::reroute::Trouble;
use crate::core::rule::Severity;
use crate::sink::{Character, Sink};
use crate::store::{Leased, Outcome, Settlement, StoreError};

/// The outbox is asked so often even if nobody wakes the lane: for leases that ran out and other writers.
const POLL: Duration = Duration::from_secs(15);

/// Deliveries leased for one digest.
const DIGEST_MAX: usize = 50;
/// Fewer are told one by one.
const DIGEST_MIN: usize = 3;

/// An attempt is dropped so long before its lease ends, at the latest.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// A lane that leased something less than `BUSY` ago waits `GATHER` for what lands or comes in, so that one commit serves several
/// deliveries. Two commits fit between the two times, else every other turn would gather nothing.
const BUSY: Duration = Duration::from_millis(42);
const GATHER: Duration = Duration::from_millis(30);

const STORE_BASE: Duration = Duration::from_millis(500);
const STORE_CAP: Duration = Duration::from_secs(15);

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) config: LaneConfig,
    pub(super) trouble: trouble::Shared,
    pub(super) fallback: Fallback,
    sink: Arc<dyn Sink>,
    pub(super) stop: Stop,
    waker: Arc<Notify>,
    pub(super) pace: Pace,
    pub(super) rng: Rng,
    flights: JoinSet<Landed>,
    pub(super) aloft: HashMap<Id, Arc<Flight>>,
    /// Ends of attempts that the store does not know yet. While there are some, nothing is leased.
    pub(super) unsettled: Vec<Ending>,
    /// When deliveries that we put off are due again.
    pub(super) dues: BTreeSet<Instant>,
    /// Something may be due that no timer announces: the last lease came back full, or something was finished.
    pub(super) more: bool,
    /// The last lease came back full.
    backlog: bool,
    /// When something last came that was leased then, and when whatever woke us last did.
    leased_at: Option<Instant>,
    woken_at: Instant,
    poll_at: Instant,
    pub(super) no_digest_until: Option<Instant>,
    store_failures: u32,
    pub(super) store_again_at: Option<Instant>,
}

/// How a delivery's attempt ended, and what else that means.
pub(super) struct Ending {
    pub(super) settlement: Settlement,
    /// To be told to the fallback before it is settled.
    pub(super) elsewhere: Option<(Box<Leased>, Trouble)>,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        lane: Lane,
        stop: Stop,
        waker: Arc<Notify>,
        trouble: trouble::Shared,
    ) -> Self {
        let now = Instant::now();
        let name = &lane.config.name;
        let seed = name.bytes().fold(shared.settings.seed, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        Self {
            pace: Pace::new(lane.config.max_per_minute, now),
            rng: Rng::with_seed(seed),
            shared,
            config: lane.config,
            trouble,
            fallback: Fallback::default(),
            sink: lane.sink,
            stop,
            waker,
            flights: JoinSet::new(),
            aloft: HashMap::new(),
            unsettled: vec![],
            dues: BTreeSet::new(),
            more: true,
            backlog: false,
            leased_at: None,
            woken_at: now,
            poll_at: now,
            no_digest_until: None,
            store_failures: 0,
            store_again_at: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) async fn run(mut self) {
        while !self.stop.is_stopped() {
            self.settle().await;
            self.tell_fallback().await;
            self.lease().await;
            let wake_at = self.wake_at();
            tokio::select! {
                Some(landed) = self.flights.join_next_with_id() => self.landed(landed),
                () = self.waker.notified() => {
                    self.more = true;
                    self.fallback.news();
                }
                () = tokio::time::sleep_until(wake_at) => {}
                () = self.stop.stopped() => {}
            }
            self.woken_at = Instant::now();
            self.gather().await;
            // Those that landed at about the same time are settled together.
            while let Some(landed) = self.flights.try_join_next_with_id() {
                self.landed(landed);
            }
        }
        self.drain().await;
    }

    /// Under load, waits a moment for more to settle and to lease; a lone delivery waits for nothing.
    async fn gather(&mut self) {
        if self.leased_at.is_none_or(|at| at.elapsed() >= BUSY) {
            return;
        }
        let until = Instant::now() + GATHER;
        while !(self.backlog && self.flights.is_empty()) {
            tokio::select! {
                Some(landed) = self.flights.join_next_with_id() => self.landed(landed),
                () = self.waker.notified() => {
                    self.more = true;
                    self.fallback.news();
                }
                () = tokio::time::sleep_until(until) => return,
                () = self.stop.stopped() => return,
            }
        }
    }

    /// Waits for what is in flight; when the grace period ends, hands it back.
    async fn drain(&mut self) {
        let abort = self.shared.abort.clone();
        loop {
            if abort.is_stopped() {
                self.give_back();
            }
            self.settle().await;
            if abort.is_stopped() || (self.flights.is_empty() && self.unsettled.is_empty()) {
                return;
            }
            let again = self.store_again_at.unwrap_or_else(|| Instant::now() + POLL);
            tokio::select! {
                Some(landed) = self.flights.join_next_with_id() => self.landed(landed),
                () = tokio::time::sleep_until(again) => {}
                () = abort.stopped() => {}
            }
        }
    }

    /// Drops attempts in flight. They may have been accepted: the outcome is unknown.
    fn give_back(&mut self) {
        self.flights.abort_all();
        let at = self.shared.clock.now();
        self.store_again_at = None;
        for flight in std::mem::take(&mut self.aloft).into_values() {
            for leased in flight.leased() {
                let error = "stopped while in flight".to_owned();
                self.end(leased.delivery.id, Outcome::Retry { at, outcome_unknown: true, error });
            }
        }
    }

    /// When there is something to do that no attempt, waker or stop announces.
    fn wake_at(&mut self) -> Instant {
        let now = Instant::now();
        let work = if self.more { now } else { self.dues.first().copied().unwrap_or(self.poll_at).min(self.poll_at) };
        let slots = self.shared.settings.slots;
        // With no free slot, an attempt has to land first; that wakes us by itself.
        let held = self.flights.len() >= slots || (self.pace.is_broken() && !self.flights.is_empty());
        let lease = if held { now + POLL } else { work.max(self.pace.opens_at(now)) };
        let next = [Some(lease), self.fallback_at()].into_iter().flatten().min().unwrap_or(lease);
        match self.store_again_at {
            Some(again) => next.max(again),
            None => next,
        }
    }

    async fn lease(&mut self) {
        let now = Instant::now();
        if !self.unsettled.is_empty() || self.store_again_at.is_some_and(|again| again > now) {
            return;
        }
        let due = self.more || self.poll_at <= now || self.dues.first().is_some_and(|due| *due <= now);
        let room = self.pace.room(now, self.shared.settings.slots, self.flights.len());
        if !due || room == 0 {
            return;
        }
        let digests = self.sink.character() == Character::Chat
            && self.pace.is_capped(now)
            && self.no_digest_until.is_none_or(|until| until <= now);
        let limit = if digests { DIGEST_MAX.max(room) } else { room };
        let clock = self.shared.clock.now();
        let until = clock.checked_add(self.shared.settings.lease).unwrap_or(Timestamp::MAX);
        let leased = match self.shared.store.lease(clock, until, &[(self.name().to_owned(), limit)]).await {
            Ok(leased) => leased,
            Err(error) => return self.store_failed(&error),
        };
        self.store_worked();
        // The claims run since before the store answered.
        let lease = self.shared.settings.lease.unsigned_abs();
        let limit_each = self.shared.settings.attempt_timeout.min(lease.saturating_sub(now.elapsed() + LEASE_MARGIN));
        self.backlog = leased.len() >= limit;
        self.more = self.backlog;
        if !leased.is_empty() {
            // Not now: after a wait the next one would seem to come too early, and wait as well.
            self.leased_at = Some(self.woken_at);
        }
        self.poll_at = Instant::now() + POLL;
        self.dues = self.dues.split_off(&(now + Duration::from_nanos(1)));
        if self.stop.is_stopped() || limit_each.is_zero() {
            return self.release(leased);
        }
        if digests {
            self.start_capped(leased, room, limit_each);
        } else {
            for leased in leased {
                self.start(Flight::One(Box::new(leased)), limit_each);
            }
        }
    }

    /// The cap is reached: what makes an incident critical one by one, before anything else; the others as a digest.
    fn start_capped(&mut self, leased: Vec<Leased>, room: usize, limit: Duration) {
        let (critical, others): (Vec<_>, Vec<_>) = leased.into_iter().partition(stands_alone);
        if critical.is_empty() && others.len() >= DIGEST_MIN {
            return self.start(Flight::Digest(others), limit);
        }
        let mut waiting = critical.into_iter().chain(others);
        for leased in waiting.by_ref().take(room) {
            self.start(Flight::One(Box::new(leased)), limit);
        }
        self.release(waiting.collect());
    }

    fn start(&mut self, flight: Flight, limit: Duration) {
        self.pace.started(Instant::now());
        let flight = Arc::new(flight);
        let task = self.flights.spawn(fly(self.sink.clone(), flight.clone(), limit));
        self.aloft.insert(task.id(), flight);
    }

    /// Hands back what was leased but cannot be started.
    pub(super) fn release(&mut self, leased: Vec<Leased>) {
        let at = self.shared.clock.now();
        self.more |= !leased.is_empty();
        for leased in leased {
            self.end(leased.delivery.id, Outcome::Released { at });
        }
    }

    pub(super) fn end(&mut self, id: i64, outcome: Outcome) {
        self.unsettled.push(Ending { settlement: Settlement { id, outcome }, elsewhere: None });
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        telemetry::store_error(&error.kind.to_string());
        if self.store_failures == 0 {
            tracing::error!(sink.name = %self.config.name, %error, "the outbox cannot be reached; trying again");
        }
        let wait = backoff(STORE_BASE, STORE_CAP, self.store_failures, &mut self.rng);
        self.store_failures = self.store_failures.saturating_add(1);
        self.store_again_at = Some(Instant::now() + wait.max(STORE_BASE / 10));
        self.more = true;
    }

    pub(super) fn store_worked(&mut self) {
        if self.store_failures > 0 {
            tracing::info!(sink.name = %self.config.name, "the outbox can be reached again");
        }
        self.store_failures = 0;
        self.store_again_at = None;
    }
}

/// These are never folded into a digest: an incident opens as critical, rises to it, or shows a new danger while it is.
fn stands_alone(leased: &Leased) -> bool {
    let notification = &leased.delivery.notification;
    leased.overtaken.is_none()
        && (notification.kind == Kind::Trigger || notification.asks_again())
        && notification.incident.severity == Severity::Critical
}

//! The delivery loop: from the outbox to the sinks.
//!
//! Every sink has a *lane*, a task of its own: it leases what it can start now, tells the sink, and settles.
//! Lanes share nothing but the store, so a failing sink never delays a healthy one. What the store promises (per
//! fingerprint only the oldest unfinished delivery is leased) keeps the order.
//!
//! ```text
//! wake / due / poll → lease → attempt (slots at a time) → judge → settle (all that landed, one commit)
//!                                                           └ dead, or failing too long → reroute to the fallback
//! ```

mod attempt;
mod direct;
mod fallback;
mod landing;
mod lane;
mod pace;
mod trouble;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::base::clock::Clock;
use crate::base::health::Health;
use crate::base::stop::Stop;
use crate::core::notification::Notification;
use crate::sink::Sink;
use crate::store::Store;

pub use direct::Direct;

/// How often [`Deliver::drained`] looks even if nothing was settled.
const DRAIN_CHECK: Duration = Duration::from_secs(5);

/// Pause before a lane that ended badly starts anew.
const LANE_RESTART: Duration = Duration::from_secs(1);

/// After the grace period: how long the lanes may take to hand back what is in flight.
const RELEASE_BOUND: Duration = Duration::from_secs(5);

/// A configured sink and how it is to be served.
#[derive(Clone)]
pub struct Lane {
    pub config: LaneConfig,
    pub sink: Arc<dyn Sink>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneConfig {
    /// The name in `[sinks.<name>]`.
    pub name: String,
    /// Cap on attempts; `None` and 0 mean no cap.
    pub max_per_minute: Option<u32>,
    /// The sink that hears what this one could not be told.
    pub fallback: Option<String>,
    /// How long the sink may fail before the fallback hears of it, and before it is reported.
    pub fallback_after: Duration,
}

/// What holds for all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Attempts at the same time, per sink.
    pub slots: usize,
    /// An attempt that takes longer is dropped; its outcome is unknown. Well below `lease`.
    pub attempt_timeout: Duration,
    pub lease: SignedDuration,
    /// Deliveries older than this are given up when an attempt fails.
    pub give_up_after: SignedDuration,
    /// Seeds the jitter.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 4,
            attempt_timeout: Duration::from_secs(30),
            lease: SignedDuration::from_secs(60),
            give_up_after: SignedDuration::from_hours(3 * 24),
            seed: 0,
        }
    }
}

/// Hears of the lanes' lasting troubles. Called from the lanes: must not block.
pub trait Reporter: Send + Sync {
    /// The sink has accepted nothing since `since`, for longer than its `fallback_after`. Once per trouble.
    fn sink_failing(&self, sink: &str, since: Timestamp, reason: &str);

    /// A sink that was reported as failing has accepted something, or is configured no more.
    fn sink_recovered(&self, sink: &str);

    /// The sink has accepted something for the first time in this life of the daemon: what an earlier one reported is past.
    fn sink_works(&self, _sink: &str) {}

    /// A delivery was given up.
    fn delivery_dead(&self, sink: &str, notification: &Notification, error: &str);
}

/// What all lanes use.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reporter: Arc<dyn Reporter>,
    health: Arc<Health>,
    settings: Settings,
    /// Ends all lanes: no more leases.
    stop: Stop,
    /// The grace period is over: what is in flight is dropped.
    abort: Stop,
    /// Counts settlements, for those who wait for some.
    settled: watch::Sender<u64>,
    wakers: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Shared {
    fn wake(&self, sink: &str) {
        if let Some(waker) = lock(&self.wakers).get(sink) {
            waker.notify_one();
        }
    }
}

/// The loop's handle. Dropping it does not stop the lanes; [`Deliver::stop`] does.
pub struct Deliver {
    shared: Arc<Shared>,
    lanes: Mutex<BTreeMap<String, Running>>,
    tasks: TaskTracker,
    direct: direct::Limiter,
}

struct Running {
    lane: Lane,
    stop: Stop,
    trouble: trouble::Shared,
}

impl Deliver {
    /// Starts a lane for each sink. Must be called inside a tokio runtime.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        reporter: Arc<dyn Reporter>,
        health: Arc<Health>,
        settings: Settings,
        lanes: Vec<Lane>,
    ) -> Self {
        let shared = Shared {
            store,
            clock,
            reporter,
            health,
            settings,
            stop: Stop::new(),
            abort: Stop::new(),
            settled: watch::Sender::new(0),
            wakers: Mutex::default(),
        };
        let deliver = Self {
            shared: Arc::new(shared),
            lanes: Mutex::default(),
            tasks: TaskTracker::new(),
            direct: direct::Limiter::default(),
        };
        deliver.set_lanes(lanes);
        deliver
    }

    /// Replaces the lanes. Unchanged ones (same configuration, same sink object) run on; changed ones are started
    /// anew with what is known of the sink's troubles; attempts in flight are finished and settled either way.
    pub fn set_lanes(&self, lanes: Vec<Lane>) {
        let mut running = lock(&self.lanes);
        let mut old = std::mem::take(&mut *running);
        for lane in lanes {
            let name = lane.config.name.clone();
            let now = match old.remove(&name) {
                Some(same) if same.lane.config == lane.config && Arc::ptr_eq(&same.lane.sink, &lane.sink) => same,
                Some(changed) => {
                    changed.stop.stop();
                    self.launch(lane, changed.trouble)
                }
                None => self.launch(lane, trouble::Shared::default()),
            };
            running.insert(name, now);
        }
        for (name, gone) in old {
            gone.stop.stop();
            lock(&self.shared.wakers).remove(&name);
            self.shared.health.sink_recovered(&name);
            if lock(&gone.trouble).is_reported() {
                self.shared.reporter.sink_recovered(&name);
            }
        }
    }

    /// There is something new in the outbox for these sinks: call it after each commit.
    pub fn wake<'a>(&self, sinks: impl IntoIterator<Item = &'a str>) {
        for sink in sinks {
            self.shared.wake(sink);
        }
    }

    pub fn wake_all(&self) {
        for waker in lock(&self.shared.wakers).values() {
            waker.notify_one();
        }
    }

    /// Waits until none of these (sink, notification id) pairs is unfinished: delivered, dead, cancelled, or never
    /// there. With a memory store, messages are deleted after this only.
    pub async fn drained(&self, wanted: &[(String, String)]) {
        let mut settled = self.shared.settled.subscribe();
        loop {
            settled.borrow_and_update();
            if let Ok(false) = self.shared.store.any_unfinished(wanted).await {
                return;
            }
            // Elapsing is as good a reason to look again as a settlement.
            drop(tokio::time::timeout(DRAIN_CHECK, settled.changed()).await);
        }
    }

    /// Tells all sinks at once, without the outbox: for when the store cannot commit. Best effort, at most once per
    /// `subject` and quarter of an hour (sooner if nobody accepted it).
    pub async fn page_directly(&self, subject: &str, notification: &Notification) -> Direct {
        let lanes: Vec<Lane> = lock(&self.lanes).values().map(|running| running.lane.clone()).collect();
        self.direct.page(subject, notification, &lanes).await
    }

    /// Leases nothing more, gives attempts in flight up to `grace` to end, hands the rest back.
    pub async fn stop(&self, grace: Duration) {
        self.shared.stop.stop();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.shared.abort.stop();
            if tokio::time::timeout(RELEASE_BOUND, self.tasks.wait()).await.is_err() {
                tracing::warn!("the store did not take back what was in flight; the leases will run out");
            }
        }
    }

    fn launch(&self, lane: Lane, trouble: trouble::Shared) -> Running {
        let stop = self.shared.stop.child();
        let waker = Arc::new(Notify::new());
        lock(&self.shared.wakers).insert(lane.config.name.clone(), waker.clone());
        let running = Running { lane: lane.clone(), stop: stop.clone(), trouble: trouble.clone() };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            // A lane that a bug ends is started anew: a silent lane is a sink that hears nothing.
            loop {
                let task = lane::Task::new(shared.clone(), lane.clone(), stop.clone(), waker.clone(), trouble.clone());
                match tokio::spawn(task.run()).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(sink.name = %lane.config.name, %error, "a lane ended badly; it starts anew");
                    }
                }
                if !stop.sleep(LANE_RESTART).await {
                    return;
                }
            }
        });
        running
    }
}

/// Locks; what a panic left behind is whole, because no lock here is held across anything that can fail half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

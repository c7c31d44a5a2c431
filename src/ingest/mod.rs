//! Loop: receive → decode → enrich → evaluate → decide → delete, one per queue.
//!
//! One long poll is always there; more join while receives come back full and leave when one comes back empty, so an
//! idle daemon makes about three receives a minute. Memory is bounded: a poll hands on its batch before it receives again, and so
//! many messages are in hand and no more.

mod batch;
mod delete;
mod hearing;
mod held;
mod settle;
mod together;
mod using;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::base::health::Health;
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::engine::{Engine, StoreState};
use crate::keys::{Inspect, KeyLookup};
use crate::queue::{BATCH_MAX, Handle, Message, Queue, QueueError};
use crate::spool::Spool;

use batch::Batcher;
use delete::Deleter;
use hearing::Hearing;
use settle::Settler;
use together::Together;

/// What the loop of one queue works with.
pub struct Ingest {
    pub queue: Arc<dyn Queue>,
    pub engine: Arc<Engine>,
    pub lookups: Arc<dyn KeyLookup>,
    /// Asked what hangs on a key that becomes unusable; without it, what was seen must do.
    pub inspect: Option<Arc<dyn Inspect>>,
    /// Watches the queue from before the loop starts.
    pub health: Arc<Health>,
    pub stop: Stop,
    /// Where everything received is kept as it came.
    pub archive: Option<Arc<Spool>>,
    /// With a store that does not survive a crash, messages are deleted only after delivery: this waits for it.
    pub delivered: Option<Arc<dyn Delivered>>,
    pub settings: Settings,
}

/// Knows when notifications have been delivered.
#[async_trait]
pub trait Delivered: Send + Sync {
    /// Waits until each (sink, notification id) is delivered or given up.
    async fn wait(&self, deliveries: Vec<(String, String)>);
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Most concurrent long polls.
    pub polls_max: usize,
    /// Receive errors that last this long are reported: a deaf daemon is an incident.
    pub deaf_after: Duration,
    /// How long a finished message may wait for others, so that deletes go in batches.
    pub delete_linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { polls_max: 4, deaf_after: Duration::from_mins(5), delete_linger: Duration::from_secs(1) }
    }
}

/// Age of the oldest message that comes for the first time.
fn oldest(messages: &[Message], now: Timestamp) -> Option<Duration> {
    let sent = messages.iter().filter(|message| message.receive_count == 1).filter_map(|message| message.sent_at);
    // The queue's clock may be ahead of ours.
    sent.min().map(|sent| now.duration_since(sent).max(SignedDuration::ZERO).unsigned_abs())
}

/// See [`Polls::asks`].
const ASKED_EACH: Duration = Duration::from_secs(1);

/// How often a poll that rests on purpose looks whether it may go on, at the least.
const PAUSED_CHECK: Duration = Duration::from_secs(2);

/// With a store that does not survive a crash: so many messages that wait for their deliveries, and nothing more is received.
const HELD_MAX: usize = 100;

struct Polls {
    ingest: Ingest,
    batcher: Batcher,
    /// Messages that wait for their deliveries.
    held: TaskTracker,
    hearing: Hearing,
    running: AtomicUsize,
    /// The last answer was full.
    backlog: AtomicBool,
    asked_at: Mutex<Option<Instant>>,
    tasks: TaskTracker,
}

impl Ingest {
    /// Runs until stopped; then nothing is received any more, what is in hand is finished, and the last deletes are made.
    pub async fn run(self) {
        let deleter = Deleter::start(&self);
        let settler = Arc::new(Settler::new(&self, deleter.handle()));
        let together = Together::start(Arc::clone(&settler));
        let batcher = Batcher::new(&self, deleter.handle(), together.desk());
        let held = settler.waiting().clone();
        let hearing = Hearing::new(self.queue.name(), self.settings.deaf_after);
        let tasks = TaskTracker::new();
        let polls = Arc::new(Polls {
            ingest: self,
            batcher,
            held,
            hearing,
            running: AtomicUsize::new(1),
            backlog: AtomicBool::new(false),
            asked_at: Mutex::default(),
            tasks,
        });
        Arc::clone(&polls).poll(true).await;
        polls.tasks.close();
        polls.tasks.wait().await;
        // Each holds the other end of the next one's channel.
        drop(polls);
        together.finish().await;
        settler.finish().await;
        drop(settler);
        deleter.finish().await;
    }
}

impl Polls {
    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        if self.asks() { self.ingest.queue.receive().await } else { self.ingest.queue.receive_bare().await }
    }

    /// In a backlog, one receive a second asks how old messages are and how often they came: that tells how far behind we are,
    /// and a message that comes again and again is asked about sooner or later. When a canary came is told by its message's age.
    fn asks(&self) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let asks = !self.backlog.load(Ordering::Relaxed)
            || asked_at.is_none_or(|at| at.elapsed() >= ASKED_EACH)
            || !self.ingest.engine.canaries().hints().is_empty();
        if asks {
            *asked_at = Some(Instant::now());
        }
        asks
    }

    /// One long poll after the other. The first of a queue stays; the others leave when there is nothing to do.
    async fn poll(self: Arc<Self>, stays: bool) {
        while !self.ingest.stop.is_stopped() && self.may_receive().await {
            let Some(received) = self.ingest.stop.unless_stopped(self.receive()).await else { break };
            let name = self.ingest.queue.name();
            match received {
                Ok(messages) => {
                    self.ingest.health.receive_ended(name, None);
                    telemetry::received(name, messages.len() as u64);
                    let now = self.ingest.engine.now();
                    telemetry::last_receive(name, now);
                    self.ingest.health.messages_came(name, messages.len(), oldest(&messages, now), now);
                    self.hearing.heard(&self.ingest.engine).await;
                    let backlog = messages.len() >= BATCH_MAX;
                    self.backlog.store(backlog, Ordering::Relaxed);
                    if backlog {
                        self.grow();
                    }
                    let idle = messages.is_empty();
                    if let Some(archive) = self.ingest.archive.as_ref().filter(|_| !idle) {
                        archive.take(name, messages.iter().map(|message| message.body.as_str()));
                    }
                    self.work(messages).await;
                    if idle && !stays {
                        break;
                    }
                }
                Err(error) => {
                    self.ingest.health.receive_ended(name, Some(error.class.as_str()));
                    telemetry::receive_error(name, error.class.as_str());
                    let pause = self.hearing.failed(&error, &self.ingest.engine).await;
                    if !stays || !self.ingest.stop.sleep(pause).await {
                        break;
                    }
                }
            }
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    /// A full receive means that there is more: another poll joins.
    fn grow(self: &Arc<Self>) {
        let max = self.ingest.settings.polls_max;
        let joined = self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| (running < max).then_some(running + 1))
            .is_ok();
        if joined {
            self.tasks.spawn(Arc::clone(self).poll(false));
        }
    }

    /// While the store cannot commit, or too many messages wait for their delivery, nothing is received: the queue is
    /// the buffer. `false` when stopping.
    async fn may_receive(&self) -> bool {
        let mut state = self.ingest.engine.store_state();
        loop {
            let why = match &*state.borrow_and_update() {
                StoreState::Fails { error, .. } => format!("the store fails: {}", error.kind),
                StoreState::Works if self.held.len() >= HELD_MAX => "many messages wait for their delivery".to_owned(),
                StoreState::Works => return true,
            };
            self.ingest.health.receive_paused(self.ingest.queue.name(), &why);
            let again = tokio::time::timeout(PAUSED_CHECK, state.changed());
            if self.ingest.stop.unless_stopped(again).await.is_none() {
                return false;
            }
        }
    }

    /// Works through a batch and keeps its messages invisible meanwhile.
    async fn work(&self, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let handles: Vec<_> = messages.iter().map(|m| m.handle.clone()).collect();
        let visibility = self.ingest.queue.visibility();
        let work = self.batcher.work(messages);
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                () = tokio::time::sleep(visibility / 2) => keep_invisible(self.ingest.queue.as_ref(), &handles).await,
            }
        }
    }
}

/// Messages that are done already do not mind; a failure only means that one comes again.
async fn keep_invisible(queue: &dyn Queue, handles: &[Handle]) {
    if let Err(error) = queue.extend(handles, queue.visibility()).await {
        tracing::warn!(queue.name = queue.name(), %error, "messages in hand could not be kept invisible");
    }
}

#[cfg(test)]
mod tests;

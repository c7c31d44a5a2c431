//! What becomes of messages whose events matter: decided together, each with its own fate.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::delete::Done;
use super::held::{Awaited, Held};
use super::{Delivered, Ingest};
use crate::base::telemetry;
use crate::core::decide::{Decision, Evaluation, OwnSubject};
use crate::core::decode::Undecodable;
use crate::core::event::EventId;
use crate::engine::{Engine, StoreState};
use crate::queue::{Message, Queue};

/// Undecodable messages of a queue whose redrive is not known are kept in the store after so many receives.
const RECEIVES_MAX: u32 = 20;

/// A message whose events matter.
pub(super) struct Weighty {
    pub(super) message: Message,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) rejected: Vec<Undecodable>,
}

pub(super) struct Settler {
    queue: Arc<dyn Queue>,
    engine: Arc<Engine>,
    delivered: Option<Arc<dyn Delivered>>,
    done: Done,
    held: Arc<Held>,
    waiting: TaskTracker,
    redrive: Redrive,
}

/// Whether the queue has a DLQ: asked once, when it first matters.
#[derive(Default)]
struct Redrive(AtomicI8);

impl Redrive {
    const NO: i8 = 1;
    const YES: i8 = 2;

    /// `None` when it could not be found out.
    async fn exists(&self, queue: &dyn Queue) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            Self::NO => return Some(false),
            Self::YES => return Some(true),
            _ => {}
        }
        let facts = queue.facts().await.ok()?;
        let exists = facts.dead_letters.is_some();
        self.0.store(if exists { Self::YES } else { Self::NO }, Ordering::Relaxed);
        Some(exists)
    }
}

impl Settler {
    pub(super) fn new(ingest: &Ingest, done: Done) -> Self {
        Self {
            queue: Arc::clone(&ingest.queue),
            engine: Arc::clone(&ingest.engine),
            delivered: ingest.delivered.clone(),
            done,
            held: Arc::default(),
            waiting: TaskTracker::new(),
            redrive: Redrive::default(),
        }
    }

    pub(super) fn queue(&self) -> &dyn Queue {
        self.queue.as_ref()
    }

    /// Tasks of messages that wait for their deliveries.
    pub(super) fn waiting(&self) -> &TaskTracker {
        &self.waiting
    }

    /// Whether messages are deleted as soon as everything they caused is stored.
    pub(super) fn is_durable(&self) -> bool {
        self.delivered.is_none()
    }

    /// Waits for what still has to be delivered before it may be deleted.
    pub(super) async fn finish(&self) {
        self.waiting.close();
        self.waiting.wait().await;
    }

    /// Stores what the messages caused; if that fails as a whole, message by message. Afterwards every one is finished, handed back, or
    /// left to the queue's redrive.
    pub(super) async fn settle(&self, weighty: Vec<Weighty>) {
        let evaluations: Vec<Evaluation> = weighty.iter().flat_map(|w| w.evaluations.iter().cloned()).collect();
        if evaluations.is_empty() {
            for one in weighty {
                self.finish_one(one, None).await;
            }
            return;
        }
        match self.engine.decide(&evaluations).await {
            Ok(decision) => {
                let decision = Arc::new(decision);
                for one in weighty {
                    self.finish_one(one, Some(Arc::clone(&decision))).await;
                }
            }
            Err(_) if weighty.len() > 1 && self.store_works() => {
                for one in weighty {
                    match self.engine.decide(&one.evaluations).await {
                        Ok(decision) => self.finish_one(one, Some(Arc::new(decision))).await,
                        Err(error) => self.undecided(&[one], &error).await,
                    }
                }
            }
            Err(error) => self.undecided(&weighty, &error).await,
        }
    }

    fn store_works(&self) -> bool {
        *self.engine.store_state().borrow() == StoreState::Works
    }

    /// Everything a message caused is stored: it may go, unless a part of it could not be decoded.
    async fn finish_one(&self, one: Weighty, decision: Option<Arc<Decision>>) {
        if !one.rejected.is_empty() {
            self.undecodable(&one).await;
            return;
        }
        match (&self.delivered, decision) {
            (Some(delivered), Some(decision)) => self.delete_when_delivered(delivered, &decision, one).await,
            _ => self.done.delete(one.message.handle).await,
        }
    }

    /// Holds a message, invisible, until everything it caused is delivered.
    async fn delete_when_delivered(&self, delivered: &Arc<dyn Delivered>, decision: &Decision, one: Weighty) {
        let handle = one.message.handle;
        let events: Vec<EventId> = one.evaluations.into_iter().map(|evaluation| evaluation.id).collect();
        let caused = decision.deliveries.iter().map(|d| (d.sink.clone(), d.notification.id.clone()));
        let awaited: Awaited = self.held.hold(&events, caused.collect());
        if awaited.is_empty() {
            self.done.delete(handle).await;
            return;
        }
        let (delivered, held) = (Arc::clone(delivered), Arc::clone(&self.held));
        let (queue, done) = (Arc::clone(&self.queue), self.done.clone());
        self.waiting.spawn(async move {
            let visibility = queue.visibility();
            let waited = delivered.wait(awaited.into_iter().collect());
            tokio::pin!(waited);
            loop {
                tokio::select! {
                    () = &mut waited => break,
                    () = tokio::time::sleep(visibility / 2) => {
                        if let Err(error) = queue.extend(std::slice::from_ref(&handle), visibility).await {
                            tracing::warn!(%error, "a message that waits for its delivery could not be kept invisible");
                        }
                    }
                }
            }
            held.release(&events);
            done.delete(handle).await;
        });
    }

    /// The store could not take them: hand the messages back and say so to people without the store, once for all.
    async fn undecided(&self, weighty: &[Weighty], error: &crate::store::StoreError) {
        for one in weighty {
            tracing::error!(message.id = %one.message.id, %error, "a message could not be decided; it goes back to the queue");
        }
        if self.store_works() {
            return;
        }
        let handles: Vec<_> = weighty.iter().map(|one| one.message.handle.clone()).collect();
        if let Err(error) = self.queue.extend(&handles, Duration::ZERO).await {
            tracing::warn!(%error, "messages could not be handed back; they come back by themselves");
        }
        let alerts = weighty.iter().flat_map(|one| &one.evaluations).flat_map(|evaluation| &evaluation.alerts);
        let detail = match alerts.max_by_key(|candidate| candidate.severity) {
            Some(candidate) => format!("{error}; waiting in the queue: {}", candidate.rule.title),
            None => error.to_string(),
        };
        self.engine.report(&OwnSubject::StoreFailing, &detail).await;
    }

    /// Never deleted by us unless it is kept elsewhere: it goes to the queue's DLQ by redrive, or to the quarantine if there is none.
    async fn undecodable(&self, one: &Weighty) {
        let queue = self.queue.name();
        for rejected in &one.rejected {
            telemetry::undecodable(rejected.reason.as_str());
            tracing::error!(
                message.id = %one.message.id,
                queue.name = queue,
                reason = rejected.reason.as_str(),
                hint = rejected.hint.as_deref().unwrap_or(""),
                event.name = rejected.salvage.event_name.as_deref().unwrap_or(""),
                key.arn = rejected.salvage.key_arn.as_deref().unwrap_or(""),
                "undecodable: {}", rejected.detail
            );
        }
        if let Some(first) = one.rejected.first() {
            self.engine.report(&OwnSubject::Undecodable { queue: queue.to_owned() }, &describe(first)).await;
        }
        let redrive = self.redrive.exists(self.queue.as_ref()).await;
        let keep = redrive == Some(false) || (redrive.is_none() && one.message.receive_count >= RECEIVES_MAX);
        if !keep || !self.engine.store().durable() {
            return;
        }
        let reason = one.rejected.first().map_or("unknown", |r| r.reason.as_str());
        let kept = self.engine.store().quarantine(self.engine.now(), &one.message.id, reason, &one.message.body).await;
        match kept {
            Ok(()) => self.done.delete(one.message.handle.clone()).await,
            Err(error) => tracing::error!(%error, "an undecodable message could not be kept; it stays in the queue"),
        }
    }
}

/// Reason, hint and what could be salvaged, for the page.
fn describe(rejected: &Undecodable) -> String {
    let mut text = format!("{}: {}", rejected.reason.as_str(), rejected.detail);
    let salvage = &rejected.salvage;
    for (what, value) in [
        ("event", &salvage.event_name),
        ("key", &salvage.key_arn),
        ("account", &salvage.account),
        ("hint", &rejected.hint),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            _ = write!(text, "; {what}: {value}");
        }
    }
    text
}

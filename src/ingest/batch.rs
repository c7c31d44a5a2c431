//! One received batch: every message has its own fate.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::delete::Done;
use super::held::{Awaited, Held};
use super::known::KnownKeys;
use super::using::Using;
use super::{Delivered, Ingest};
use crate::base::health::Health;
use crate::base::telemetry;
use crate::core::access::{self, History};
use crate::core::decide::{Decision, Evaluation, LookedUp, OwnSubject, Policy, Prepared, evaluate};
use crate::core::decode::{self, Undecodable};
use crate::core::enrich::{Lookup, enrich};
use crate::core::event::{Event, EventId, Family, Outcome};
use crate::core::route::labels;
use crate::engine::{Engine, StoreState};
use crate::keys::KeyLookup;
use crate::queue::{Message, Queue};

/// With a store that does not survive a crash: so many messages that wait for their deliveries, and nothing more is received.
const HELD_MAX: usize = 100;

/// Undecodable messages of a queue whose redrive is not known are kept in the store after so many receives.
const RECEIVES_MAX: u32 = 20;

pub(super) struct Batcher {
    queue: Arc<dyn Queue>,
    engine: Arc<Engine>,
    lookups: Arc<dyn KeyLookup>,
    health: Arc<Health>,
    delivered: Option<Arc<dyn Delivered>>,
    known: KnownKeys,
    using: Using,
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

/// A message whose events matter.
struct Weighty {
    message: Message,
    evaluations: Vec<Evaluation>,
    rejected: Vec<Undecodable>,
}

impl Batcher {
    pub(super) fn new(ingest: &Ingest, done: Done) -> Self {
        Self {
            queue: Arc::clone(&ingest.queue),
            engine: Arc::clone(&ingest.engine),
            lookups: Arc::clone(&ingest.lookups),
            health: Arc::clone(&ingest.health),
            delivered: ingest.delivered.clone(),
            known: KnownKeys::default(),
            using: Using::new(ingest.inspect.clone()),
            done,
            held: Arc::default(),
            waiting: TaskTracker::new(),
            redrive: Redrive::default(),
        }
    }

    /// Decides a batch. Afterwards every message is finished, handed back, or left to the queue's redrive.
    pub(super) async fn work(&self, messages: Vec<Message>) {
        let policy = self.engine.policy();
        let hints = self.engine.canaries().hints();
        let mut heavy = Vec::new();
        let mut unmatched = 0;
        for message in messages {
            let canary = hints.may_hold(&message.body);
            if !canary
                && policy.peek(&message.body).is_some_and(|peek| !policy.concerned(&peek) && !access::teaches(&peek))
            {
                unmatched += 1;
                self.using.glance(&self.engine, &message.body);
                self.done.delete(message.handle).await;
                continue;
            }
            let mut decoded = decode::decode(&message.body);
            if canary && !self.recognise(&message, &mut decoded.events).await {
                continue;
            }
            for notice in &decoded.notices {
                tracing::warn!(message.id = %message.id, queue.name = self.queue.name(), "{notice}");
            }
            decoded.events.iter().for_each(|event| {
                self.count(event);
                Using::learn(&self.engine, event);
            });
            heavy.push((message, decoded));
        }
        // Before anything is compared: of two policies of one batch, the later is compared with the earlier.
        self.learn(heavy.iter().flat_map(|(_, decoded)| &decoded.events)).await;
        // Side by side: a slow look-up of one key delays the batch once, not each message behind it.
        let heavy = join_all(heavy.into_iter().map(async |(message, decoded)| {
            let all = join_all(decoded.events.into_iter().map(|event| self.evaluate(&policy, event))).await;
            let (idle, evaluations): (Vec<_>, Vec<_>) = all.into_iter().partition(Evaluation::is_idle);
            (idle.len(), Weighty { message, evaluations, rejected: decoded.rejected })
        }));
        let mut weighty = Vec::new();
        for (idle, one) in heavy.await {
            unmatched += idle as u64;
            if one.evaluations.is_empty() && one.rejected.is_empty() {
                self.done.delete(one.message.handle).await;
            } else {
                weighty.push(one);
            }
        }
        if unmatched > 0 {
            telemetry::unmatched(unmatched);
        }
        self.settle(weighty).await;
    }

    /// Whether as many messages as bearable wait for their deliveries.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= HELD_MAX
    }

    /// Waits for what still has to be delivered before it may be deleted.
    pub(super) async fn finish(&self) {
        self.waiting.close();
        self.waiting.wait().await;
    }

    /// Takes out what canaries called. `false` if the store could not keep that they came back: then the message has to come again.
    async fn recognise(&self, message: &Message, events: &mut Vec<Event>) -> bool {
        let now = self.engine.now();
        // What waits for us in the queue has come all the way.
        let came = message.sent_at.unwrap_or(now).min(now);
        let mut others = Vec::with_capacity(events.len());
        for event in events.drain(..) {
            match self.engine.canaries().recognise(self.queue.name(), &event, came, now).await {
                Ok(true) => {}
                Ok(false) => others.push(event),
                Err(error) => {
                    tracing::warn!(message.id = %message.id, %error, "that a canary's call came back could not be kept; its message comes again");
                    return false;
                }
            }
        }
        *events = others;
        true
    }

    fn count(&self, event: &Event) {
        let family = match event.family {
            Family::Call => "call",
            Family::Service => "service",
            Family::Native => "native",
            Family::Scheduled => "scheduled",
            Family::Observation => "observation",
            Family::Other => "other",
        };
        telemetry::decoded(family, 1);
        if let (Some(account), Some(region), "aws.kms") = (&event.account, &event.region, event.source.as_str())
            && self.health.event_from(self.queue.name(), account, region)
        {
            tracing::info!(
                queue.name = self.queue.name(),
                account,
                region,
                "events come from a place that no canary of this queue calls: that they always do is unproven"
            );
        }
        telemetry::last_event(event.time);
        let lag = self.engine.now().duration_since(event.time);
        if event.late.is_none() && !lag.is_negative() {
            telemetry::event_lag(lag.unsigned_abs());
        }
    }

    async fn evaluate(&self, policy: &Policy, mut event: Event) -> Evaluation {
        let (known, mark) = self.known_policies(&event).await;
        access::assess(&mut event, &policy.trust, known.as_ref());
        let mut prepared = if policy.concern(&event) {
            let (marks, looked_up) = self.find_out(policy, &mut event).await;
            Prepared { event, marks, looked_up }
        } else {
            Prepared { event, marks: vec![], looked_up: None }
        };
        prepared.marks.extend(mark);
        prepared.marks.sort();
        let in_use = self.using.of(&self.engine, &prepared, &policy.trust).await;
        let evaluation = evaluate(policy, &prepared, self.engine.now());
        Evaluation { in_use, ..evaluation }
    }

    /// Remembers the key policies that events put in force, whether a rule reads them or not. Best effort: what is lost is
    /// what a later policy would be compared with.
    async fn learn(&self, events: impl Iterator<Item = &Event>) {
        let lessons: Vec<_> = events.filter_map(access::lesson).collect();
        if lessons.is_empty() {
            return;
        }
        if let Err(error) = self.engine.store().learn_policies(self.engine.now(), &lessons).await {
            tracing::warn!(%error, "a key policy could not be kept for comparison");
        }
    }

    /// The policies known before of the key whose policy an event carries, or a remark why they are not known.
    async fn known_policies(&self, event: &Event) -> (Option<History>, Option<String>) {
        let Some(arn) = access::wants(event) else { return (None, None) };
        match self.engine.store().recall_policies(&arn).await {
            Ok(history) => (history, None),
            Err(error) => {
                tracing::warn!(%error, key.arn = arn, "the key policy known before could not be read");
                (None, Some("the key policy known before could not be read".to_owned()))
            }
        }
    }

    /// Fills the event's key from KMS and from memory, within the lookups' deadline.
    async fn find_out(&self, policy: &Policy, event: &mut Event) -> (Vec<String>, Option<LookedUp>) {
        let labels = |document: &Value| labels(&policy.labels, document);
        let Some(key) = event.key.clone() else {
            return (enrich(event, None, None, labels), None);
        };
        let changes = event.read_only == Some(false) && event.outcome == Outcome::Success;
        if let Some(arn) = key.arn.as_deref().filter(|_| changes) {
            self.lookups.invalidate(arn).await;
        }
        let lookup = self.lookups.describe(&key).await;
        let remembered = match &key.arn {
            Some(arn) => self.known.recall(&self.engine, arn).await,
            None => None,
        };
        let marks = enrich(event, Some(&lookup), remembered.as_ref(), labels);
        let mut looked_up = None;
        if let Lookup::Known(details) = lookup {
            looked_up = details.state.map(|state| LookedUp { state, read_at: details.read_at });
            self.known.remember(&self.engine, event, remembered.as_ref()).await;
        }
        (marks, looked_up)
    }

    /// Stores what the batch caused; if that fails as a whole, message by message.
    async fn settle(&self, weighty: Vec<Weighty>) {
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

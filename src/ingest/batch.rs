//! One received batch: every message has its own fate.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::Value;

use super::Ingest;
use super::delete::Done;
use super::settle::Weighty;
use super::together::Desk;
use super::using::Using;
use crate::base::health::Health;
use crate::base::telemetry;
use crate::core::access::{self, History};
use crate::core::decide::{Evaluation, LookedUp, Policy, Prepared, evaluate};
use crate::core::decode;
use crate::core::enrich::{Lookup, enrich};
use crate::core::event::{Event, Family, Outcome};
use crate::core::pipeline;
use crate::core::route::labels;
use crate::engine::Engine;
use crate::keys::KeyLookup;
use crate::queue::{Message, Queue};

pub(super) struct Batcher {
    queue: Arc<dyn Queue>,
    engine: Arc<Engine>,
    lookups: Arc<dyn KeyLookup>,
    health: Arc<Health>,
    using: Using,
    done: Done,
    desk: Desk,
}

impl Batcher {
    pub(super) fn new(ingest: &Ingest, done: Done, desk: Desk) -> Self {
        Self {
            queue: Arc::clone(&ingest.queue),
            engine: Arc::clone(&ingest.engine),
            lookups: Arc::clone(&ingest.lookups),
            health: Arc::clone(&ingest.health),
            using: Using::new(ingest.inspect.clone()),
            done,
            desk,
        }
    }

    /// Works out what a batch means, deletes what means nothing, and hands on the rest.
    pub(super) async fn work(&self, messages: Vec<Message>) {
        let policy = self.engine.policy();
        let hints = self.engine.canaries().hints();
        let (mut heavy, mut light) = (Vec::new(), Vec::new());
        for message in messages {
            let canary = hints.may_hold(&message.body);
            if !canary && policy.passes_over(&message.body) {
                self.using.glance(&self.engine, &message.body);
                light.push(message.handle);
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
        let mut unmatched = light.len() as u64;
        self.done.delete_all(light).await;
        // Before anything is compared: of two policies of one batch, the later is compared with the earlier.
        self.learn(heavy.iter().flat_map(|(_, decoded)| &decoded.events)).await;
        // Side by side: a slow look-up of one key delays the batch once, not each message behind it.
        let heavy = join_all(heavy.into_iter().map(async |(mut message, decoded)| {
            // Only what cannot be decoded is kept as it came.
            if decoded.rejected.is_empty() {
                message.body = String::new();
            }
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
        if !weighty.is_empty() {
            self.desk.hand_on(weighty).await;
        }
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
        let (known, mark) = self.known_before(&event).await;
        access::assess(&mut event, &policy.trust, known.as_ref());
        pipeline::assess(&mut event, &policy.ours);
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

    /// Remembers the key policies and rotation periods that events put in force, whether a rule reads them or not, and before anything
    /// is decided: an event that comes again after a crash finds them, and what was before it. Best effort: what is lost is what a later
    /// one would be compared with, and no page waits for it.
    async fn learn(&self, events: impl Iterator<Item = &Event>) {
        let lessons: Vec<_> = events.filter_map(access::lesson).collect();
        if lessons.is_empty() {
            return;
        }
        if let Err(error) = self.engine.store().keep_lessons(self.engine.now(), &lessons).await {
            tracing::warn!(%error, "a key policy or a rotation period could not be kept for comparison");
        }
    }

    /// What is known of the key whose policy or rotation period an event carries, or a remark why it is not.
    async fn known_before(&self, event: &Event) -> (Option<History>, Option<String>) {
        let Some(arn) = access::wants(event) else { return (None, None) };
        match self.engine.store().recall_history(&arn).await {
            Ok(history) => (history, None),
            Err(error) => {
                tracing::warn!(%error, key.arn = arn, "what was known of a key before could not be read");
                (None, Some("what was known of the key before could not be read".to_owned()))
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
            Some(arn) => self.engine.recall_key(arn).await,
            None => None,
        };
        let marks = enrich(event, Some(&lookup), remembered.as_ref(), labels);
        let mut looked_up = None;
        if let Lookup::Known(details) = lookup {
            looked_up = details.state.map(|state| LookedUp { state, read_at: details.read_at });
            self.engine.remember_key_of(event, remembered.as_ref()).await;
        }
        (marks, looked_up)
    }
}

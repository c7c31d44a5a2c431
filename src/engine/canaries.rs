//! What is known of canaries: their calls, written through to the store, and which messages may hold the trace of one. The
//! canary loop writes and judges, the ingest loops recognise.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};

use crate::base::clock::Timestamp;
use crate::base::telemetry;
use crate::core::canary::{self, Answer, CALLS_KEPT, Call, Canary, Hints};
use crate::core::event::Event;
use crate::store::{Store, StoreError};

/// The canaries of one daemon.
pub struct Canaries {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    hints: ArcSwap<Hints>,
    /// Told whenever a call came back.
    returned: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    canaries: Vec<Canary>,
    /// By canary, oldest first.
    calls: BTreeMap<String, Vec<Call>>,
}

impl Canaries {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default(), hints: ArcSwap::default(), returned: watch::Sender::new(0) }
    }

    /// Takes up these canaries, with the calls that an earlier life of the daemon made.
    ///
    /// # Errors
    /// Earlier calls could not be read: their events are not known for what they are.
    pub async fn load(&self, canaries: Vec<Canary>, now: Timestamp) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let read = if canaries.is_empty() { Ok(vec![]) } else { self.store.canary_calls().await };
        known.canaries = canaries;
        known.calls.clear();
        let result = read.map(|calls| {
            for call in calls {
                known.calls.entry(call.canary.clone()).or_default().push(call);
            }
        });
        self.hint(&known, now);
        result
    }

    /// The calls of a canary, oldest first.
    pub async fn calls(&self, canary: &str) -> Vec<Call> {
        self.known.lock().await.calls.get(canary).cloned().unwrap_or_default()
    }

    /// Follows whether calls come back.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.returned.subscribe()
    }

    /// What tells messages worth a closer look.
    pub fn hints(&self) -> Arc<Hints> {
        self.hints.load_full()
    }

    /// Notes a call that is about to be made. Its event may be faster than its answer.
    ///
    /// # Errors
    /// It is not stored, and must not be made: after a crash nobody would know of it.
    pub async fn begin(&self, call: Call, now: Timestamp) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        self.store.keep_canary_call(&call).await?;
        let calls = known.calls.entry(call.canary.clone()).or_default();
        calls.push(call);
        let over = calls.len().saturating_sub(CALLS_KEPT);
        calls.drain(..over);
        self.hint(&known, now);
        Ok(())
    }

    /// Notes how KMS answered. A store that fails keeps the call as one without an answer, which is still recognised.
    pub async fn answered(&self, canary: &str, id: &str, answer: Answer, now: Timestamp) {
        let mut known = self.known.lock().await;
        let calls = known.calls.get_mut(canary).into_iter().flatten();
        let Some(call) = calls.rev().find(|call| call.id == id) else { return };
        // Its event was faster, and told the request id already.
        call.request = answer.request.or(call.request.take());
        call.by = answer.by;
        call.failed = answer.failed;
        let call = call.clone();
        self.hint(&known, now);
        if let Err(error) = self.store.keep_canary_call(&call).await {
            tracing::warn!(%error, canary.name = canary, "the answer to a canary's call could not be kept");
        }
    }

    /// Whether an event is the trace of a call; if it came through the canary's own queue, the call has come back. `came` is when it
    /// was put into that queue. When this returns `Ok`, that is stored.
    ///
    /// # Errors
    /// Nothing is stored: the message has to come again.
    pub async fn recognise(
        &self,
        queue: &str,
        event: &Event,
        came: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut known = self.known.lock().await;
        let found = known.canaries.iter().find_map(|canary| {
            let calls = known.calls.get(&canary.name)?;
            canary::expected(canary, calls, event).map(|call| (canary.clone(), call.clone()))
        });
        let Some((canary, mut call)) = found else { return Ok(false) };
        if canary.queue != queue {
            return Ok(true);
        }
        if call.returned.is_some() {
            telemetry::canary_returned(&canary.name, "again");
            return Ok(true);
        }
        call.returned = Some(came);
        call.request = call.request.or_else(|| request_of(event));
        self.store.keep_canary_call(&call).await?;
        let took = call.took().unwrap_or_default();
        telemetry::canary_returned(&canary.name, if took <= canary.slo { "in_time" } else { "late" });
        telemetry::canary_took(&canary.name, took.unsigned_abs(), came);
        tracing::debug!(canary.name = %canary.name, took.seconds = took.as_secs(), "a canary's call came back");
        let calls = known.calls.get_mut(&canary.name).into_iter().flatten();
        if let Some(kept) = calls.rev().find(|kept| kept.id == call.id) {
            *kept = call;
        }
        self.hint(&known, now);
        self.returned.send_modify(|count| *count += 1);
        Ok(true)
    }

    fn hint(&self, known: &Known, now: Timestamp) {
        let all = known.canaries.iter().filter_map(|canary| {
            let calls = known.calls.get(&canary.name)?;
            Some((canary, calls.as_slice()))
        });
        self.hints.store(Arc::new(Hints::new(all, now)));
    }
}

fn request_of(event: &Event) -> Option<String> {
    event.document.pointer("/detail/requestID").and_then(|id| id.as_str()).map(str::to_owned)
}

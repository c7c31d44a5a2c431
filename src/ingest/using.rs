//! What hangs on a key: learnt from each message at a glance, told when the key becomes unusable.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::core::access::Trust;
use crate::core::decide::Prepared;
use crate::core::event::{Event, KeyRef};
use crate::core::inspection::Inspection;
use crate::core::keystate;
use crate::core::usage::{self, InUse, Sighting};
use crate::engine::Engine;
use crate::keys::{Inspect, RECORDED_AT_ONCE, RECORDED_WITHIN, recorded_use};

/// Messages a second that are looked at in full; of a flood, a part says as much. It bounds what learning costs.
const LOOKED_AT: u32 = 500;

pub(super) struct Using {
    inspect: Option<Arc<dyn Inspect>>,
    /// In a storm, who finds it taken goes without.
    asked: Semaphore,
    second: AtomicI64,
    looked_at: AtomicU32,
}

impl Using {
    pub(super) fn new(inspect: Option<Arc<dyn Inspect>>) -> Self {
        Self {
            inspect,
            asked: Semaphore::new(RECORDED_AT_ONCE),
            second: AtomicI64::new(0),
            looked_at: AtomicU32::new(0),
        }
    }

    /// Learns from a message that no rule has anything to do with.
    pub(super) fn glance(&self, engine: &Engine, body: &str) {
        let second = engine.now().as_second();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.looked_at.store(0, Ordering::Relaxed);
        }
        if self.looked_at.fetch_add(1, Ordering::Relaxed) < LOOKED_AT {
            usage::peeked(body, |sighting| engine.saw_use(sighting));
        }
    }

    /// Learns from a decoded event.
    pub(super) fn learn(engine: &Engine, event: &Event) {
        if let Some(sighting) = Sighting::of(event) {
            engine.saw_use(&sighting);
        }
    }

    /// What is known of the use of a key that this event makes unusable. Never takes longer than its deadline.
    pub(super) async fn of(&self, engine: &Engine, prepared: &Prepared, trust: &Trust) -> Option<InUse> {
        let event = &prepared.event;
        let fact = keystate::fact(event).filter(|fact| fact.state.is_danger() && keystate::tells(event));
        let key = event.key.as_ref().filter(|_| fact.is_some())?;
        // Where KMS may not be asked about the key itself, it is not asked about its use.
        let recorded = async { if prepared.looked_up.is_some() { self.recorded(key).await } else { None } };
        engine.in_use_and(key, trust, recorded).await
    }

    async fn recorded(&self, key: &KeyRef) -> Option<Inspection> {
        let inspect = self.inspect.as_ref()?;
        let _permit = self.asked.try_acquire().ok()?;
        recorded_use(inspect.as_ref(), key, Instant::now() + RECORDED_WITHIN).await
    }
}

#[cfg(test)]
#[path = "using_tests.rs"]
mod tests;

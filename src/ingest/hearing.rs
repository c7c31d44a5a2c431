//! Whether a queue can be heard: names each error class once per change, backs off, and reports lasting deafness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::base::clock::Timestamp;
use crate::core::decide::OwnSubject;
use crate::engine::Engine;
use crate::queue::{QueueError, QueueErrorClass};

/// Shortest and longest mean pause between failing receives.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// When the queue's own key is the trouble, somebody is doing to us what we watch for: told sooner.
const QUEUE_KEY_AFTER: Duration = Duration::from_secs(30);

pub(super) struct Hearing {
    queue: String,
    deaf_after: Duration,
    trouble: Mutex<Option<Trouble>>,
    /// An incident that an earlier life of the daemon opened is taken back at the first answer.
    greeted: AtomicBool,
}

struct Trouble {
    class: QueueErrorClass,
    since: Timestamp,
    failures: u32,
    reported: bool,
}

impl Hearing {
    pub(super) fn new(queue: &str, deaf_after: Duration) -> Self {
        Self { queue: queue.to_owned(), deaf_after, trouble: Mutex::new(None), greeted: AtomicBool::new(false) }
    }

    fn subject(&self) -> OwnSubject {
        OwnSubject::Deaf { queue: self.queue.clone() }
    }

    /// A receive was answered.
    pub(super) async fn heard(&self, engine: &Engine) {
        if !self.greeted.load(Ordering::Relaxed) {
            let said = engine.retract(&self.subject(), "receiving").await;
            self.greeted.store(said, Ordering::Relaxed);
        }
        let mut trouble = self.trouble.lock().await;
        let Some(known) = trouble.take() else { return };
        tracing::info!(queue.name = %self.queue, "receiving again");
        if known.reported && !engine.retract(&self.subject(), "receiving again").await {
            // The store could not take it back: try at the next answer.
            *trouble = Some(known);
        }
    }

    /// A receive failed; returns how long to pause.
    pub(super) async fn failed(&self, error: &QueueError, engine: &Engine) -> Duration {
        let now = engine.now();
        let mut trouble = self.trouble.lock().await;
        let changed = trouble.as_ref().is_none_or(|known| known.class != error.class);
        if changed {
            tracing::error!(queue.name = %self.queue, error.class = error.class.as_str(), error = %error.detail, "messages cannot be received");
        }
        let known = trouble.get_or_insert(Trouble { class: error.class, since: now, failures: 0, reported: false });
        known.class = error.class;
        known.failures = known.failures.saturating_add(1);
        let patience = match error.class {
            QueueErrorClass::QueueKey => self.deaf_after.min(QUEUE_KEY_AFTER),
            _ => self.deaf_after,
        };
        let lasted = now.duration_since(known.since).unsigned_abs();
        if lasted >= patience && !known.reported {
            known.reported = true;
            let detail = format!("queue `{}`: {error}; for {} s", self.queue, lasted.as_secs());
            engine.report(&self.subject(), &detail).await;
        }
        pause(known.failures)
    }
}

/// Exponential back-off with full jitter around half its length, so that it never becomes a hot loop.
fn pause(failures: u32) -> Duration {
    let ceiling = PAUSE_MIN.saturating_mul(1 << failures.min(6)).min(PAUSE_MAX);
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for failures in 0..100 {
            let pause = pause(failures);
            assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX, "{failures}: {pause:?}");
        }
        assert!(pause(50) >= PAUSE_MAX / 2);
    }
}

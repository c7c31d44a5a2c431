//! The sweep: asks KMS about all keys again and again, and gives the engine what it says. `CloudTrail` may lose an event; KMS is the
//! truth.
//!
//! | file | is |
//! |---|---|
//! | `round` | one scope once: its keys page by page, and what is said of each |
//! | `sight` | whether a scope's keys can be seen at all |
//!
//! What says nothing new leaves nothing in the store, so a quiet sweep writes nothing. A round that breaks off goes on with the page it
//! had come to; after a restart it begins with the first.

mod round;
mod sight;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::base::stop::Stop;
use crate::engine::Engine;
use crate::keys::{Inspect, Scope};
use round::Round;

/// A short while after the start, so that a daemon that restarts and restarts asks for little.
const FIRST_AFTER_MAX: Duration = Duration::from_mins(1);

/// What the loop needs. Ends when it is stopped.
pub struct Sweep {
    pub engine: Arc<Engine>,
    pub inspect: Arc<dyn Inspect>,
    pub stop: Stop,
    pub scopes: Vec<Scope>,
    pub every: Duration,
    /// How often everything is read of a key, not only its state.
    pub review_every: Duration,
}

impl Sweep {
    /// Sweeps until it is stopped. Without a scope there is nothing to do but to wait for that.
    pub async fn run(self) {
        let Self { engine, inspect, stop, scopes, every, review_every } = self;
        let mut rounds: Vec<Round> = scopes.into_iter().map(Round::new).collect();
        if rounds.is_empty() {
            stop.stopped().await;
            return;
        }
        let mut wait = (every / 10).min(FIRST_AFTER_MAX);
        while stop.sleep(jittered(wait)).await {
            for round in &mut rounds {
                let work = Box::pin(round.sweep(&engine, inspect.as_ref(), review_every));
                if stop.unless_stopped(work).await.is_none() {
                    return;
                }
            }
            wait = every;
        }
    }
}

/// A tenth more or less, so that many daemons do not ask at the same moment.
fn jittered(length: Duration) -> Duration {
    length.mul_f64(0.9 + fastrand::f64() / 5.0)
}

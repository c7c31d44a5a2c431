//! Straight to the sinks, without the outbox: the way out when the store cannot commit.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::{Lane, lock};
use crate::core::notification::Notification;
use crate::sink::Dispatch;

/// At most once per subject in this time …
const QUIET: Duration = Duration::from_mins(15);
/// … or in this, if no sink accepted it.
const AGAIN: Duration = Duration::from_mins(1);

const LIMIT: Duration = Duration::from_secs(15);

/// Subjects remembered; the oldest is forgotten first.
const SUBJECTS_MAX: usize = 1000;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direct {
    /// How many of how many sinks accepted it.
    Told { accepted: usize, of: usize },
    /// The same subject was told a short while ago.
    TooSoon,
}

/// When a subject may be told again.
#[derive(Default)]
pub(super) struct Limiter(Mutex<HashMap<String, Instant>>);

impl Limiter {
    pub(super) async fn page(&self, subject: &str, notification: &Notification, lanes: &[Lane]) -> Direct {
        if !self.take(subject) {
            return Direct::TooSoon;
        }
        let accepted = join_all(lanes.iter().map(|lane| tell(lane, notification))).await;
        let accepted = accepted.into_iter().filter(|accepted| *accepted).count();
        if accepted == 0 {
            lock(&self.0).insert(subject.to_owned(), Instant::now() + AGAIN);
        }
        Direct::Told { accepted, of: lanes.len() }
    }

    fn take(&self, subject: &str) -> bool {
        let now = Instant::now();
        let mut quiet = lock(&self.0);
        quiet.retain(|_, until| *until > now);
        if quiet.contains_key(subject) {
            return false;
        }
        if quiet.len() >= SUBJECTS_MAX
            && let Some(oldest) = quiet.iter().min_by_key(|(_, until)| **until).map(|(subject, _)| subject.clone())
        {
            quiet.remove(&oldest);
        }
        quiet.insert(subject.to_owned(), now + QUIET);
        true
    }
}

async fn tell(lane: &Lane, notification: &Notification) -> bool {
    let name = &lane.config.name;
    let key = format!("{}-{name}", notification.id);
    let dispatch = Dispatch { notification, idempotency_key: &key, attempt: 1, memory: None, outcome_unknown: false };
    match timeout(LIMIT, lane.sink.deliver(&dispatch)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(sink.name = %name, %error, "could not be told directly");
            false
        }
        Err(_) => {
            tracing::warn!(sink.name = %name, "could not be told directly: no answer");
            false
        }
    }
}

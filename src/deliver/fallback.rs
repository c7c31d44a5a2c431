//! What a sink could not be told goes to its fallback, once per notification.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::lane::Task;
use super::lock;
use crate::core::decide::ReadSet;
use crate::core::notification::Notification;
use crate::core::reroute::{Trouble, must_be_heard, reroute};
use crate::store::StoreError;

/// A failing sink's outbox is looked through at most so often while new deliveries come in …
const SCAN_NEW: Duration = Duration::from_secs(5);
/// … and at least so often.
const SCAN_ANYWAY: Duration = Duration::from_mins(1);

/// So many unfinished deliveries are in memory at a time: an outage may leave tens of thousands, of several KiB each.
const PAGE: usize = 50;

/// So many pages are told before the lane looks after its own deliveries again: each telling is a commit, and the sink may be back.
const PAGES: usize = 4;

/// Ids remembered as told elsewhere one by one. Forgetting them is harmless: the store ignores a second one.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Fallback {
    /// Unfinished deliveries up to this id have been looked at, and told if they must be heard. New ones have higher ids.
    seen: i64,
    /// Told apart from that, because the sink refused them or does not take them for long.
    told: HashSet<i64>,
    last_scan: Option<Instant>,
    /// Something new may be in the outbox since the last look.
    news: bool,
}

impl Fallback {
    pub(super) fn news(&mut self) {
        self.news = true;
    }

    /// The sink works again. What its fallback has been told stays told.
    pub(super) fn reset(&mut self) {
        *self = Self { seen: self.seen, ..Self::default() };
    }

    pub(super) fn has_told(&self, id: i64) -> bool {
        id <= self.seen || self.told.contains(&id)
    }

    fn due_at(&self) -> Option<Instant> {
        self.last_scan.map(|last| last + if self.news { SCAN_NEW } else { SCAN_ANYWAY })
    }

    fn saw(&mut self, id: i64) {
        self.seen = id;
        self.told.remove(&id);
    }

    fn remember(&mut self, id: i64) {
        if self.told.len() >= REMEMBERED_MAX {
            self.told.clear();
        }
        self.told.insert(id);
    }
}

impl Task {
    /// When [`Task::tell_fallback`] has something to do next.
    pub(super) fn fallback_at(&self) -> Option<Instant> {
        let lasting = lock(&self.trouble).lasting_at(self.config.fallback_after)?;
        let reported = lock(&self.trouble).is_reported();
        match self.config.fallback {
            None => (!reported).then_some(lasting),
            Some(_) => Some(self.fallback.due_at().map_or(lasting, |due| due.max(lasting))),
        }
    }

    /// If the sink has been failing for too long: reports it, once, and tells its fallback everything that waits
    /// and must be heard, whether its own time has come or not.
    pub(super) async fn tell_fallback(&mut self) {
        if self.fallback_at().is_none_or(|at| at > Instant::now()) {
            return;
        }
        let Some(failing) = lock(&self.trouble).failing() else { return };
        if lock(&self.trouble).report() {
            self.shared.reporter.sink_failing(self.name(), failing.since, failing.reason.as_str());
        }
        if self.config.fallback.is_none() {
            return;
        }
        self.fallback.last_scan = Some(Instant::now());
        self.fallback.news = false;
        if let Err(error) = self.tell_unseen(failing.since).await {
            self.fallback.news();
            self.store_failed(&error);
        }
    }

    /// Goes on through the outbox from where the last look ended, oldest first.
    async fn tell_unseen(&mut self, failing_since: Timestamp) -> Result<(), StoreError> {
        for _ in 0..PAGES {
            let page = self.shared.store.unfinished(self.name(), self.fallback.seen, PAGE).await?;
            for delivery in &page {
                let length = self.shared.clock.now().duration_since(failing_since);
                self.tell_elsewhere(delivery.id, &delivery.notification, Trouble::Failing(length)).await?;
                self.fallback.saw(delivery.id);
            }
            if page.len() < PAGE || self.stop.is_stopped() {
                return Ok(());
            }
        }
        // At once, if the sink still fails then.
        self.fallback.last_scan = None;
        Ok(())
    }

    /// Puts one notification into the fallback's outbox, if there is a fallback and it must be heard.
    pub(super) async fn tell_elsewhere(
        &mut self,
        id: i64,
        notification: &Notification,
        trouble: Trouble,
    ) -> Result<(), StoreError> {
        let Some(to) = self.config.fallback.clone() else { return Ok(()) };
        if !must_be_heard(notification) || self.fallback.has_told(id) || to == self.name() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let from = self.name().to_owned();
        let reads = ReadSet { fingerprints: vec![notification.incident.fingerprint.clone()], ..ReadSet::default() };
        let decide = |snapshot: &_| reroute(snapshot, notification, &from, &to, trouble, now);
        self.shared.store.apply(&reads, &decide).await?;
        tracing::warn!(
            sink.name = %from, fallback = %to, incident.id = %notification.incident.id,
            "told to the fallback because the sink did not accept it"
        );
        self.fallback.remember(id);
        self.shared.wake(&to);
        Ok(())
    }
}

//! Who uses which key, learnt from the stream: in memory, flushed late. The one thing that may be lost in a crash.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Engine;
use crate::base::clock::Timestamp;
use crate::core::access::{self, Trust};
use crate::core::event::KeyRef;
use crate::core::usage::{InUse, Sighting, Usage};

/// Keys written at once, so that nobody waits long for the write lock; and read at once.
const WRITE_PAGE: usize = 200;
const READ_PAGE: usize = 500;

#[derive(Default)]
pub(super) struct Uses(Mutex<Usage>);

impl Uses {
    fn all(&self) -> MutexGuard<'_, Usage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// A key was used.
    pub fn saw_use(&self, sighting: &Sighting<'_>) {
        self.uses.all().learn(sighting);
    }

    /// Who was seen using a key, and when last: the newest first.
    pub fn users_of(&self, arn: &str) -> Vec<(String, Timestamp)> {
        self.uses.all().of(arn, self.now()).map(|known| known.users).unwrap_or_default()
    }

    /// What is known of the use of a key: seen in the stream, and allowed by the policy known of it.
    pub async fn in_use(&self, key: &KeyRef, trust: &Trust) -> InUse {
        let Some(arn) = key.arn.as_deref() else { return InUse::default() };
        let seen = self.uses.all().of(arn, self.now());
        let mut in_use = seen.as_ref().map(InUse::seen).unwrap_or_default();
        match self.store.recall_policies(arn).await {
            Ok(Some(history)) => in_use.add_policy(&access::who_may_use(&history, key, trust)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, key.arn = arn, "the policy known of a key could not be read"),
        }
        in_use
    }

    /// Reads what was known of the use of keys before the start.
    pub async fn load_uses(&self) {
        let mut after = String::new();
        loop {
            match self.store.recall_usage(self.now(), &after, READ_PAGE).await {
                Ok(page) => {
                    let full = page.len() == READ_PAGE;
                    let Some((last, _)) = page.last() else { return };
                    after.clone_from(last);
                    let mut uses = self.uses.all();
                    for (arn, usage) in &page {
                        uses.restore(arn, usage);
                    }
                    if !full {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what was known of the use of keys could not be read; it is learnt anew");
                    return;
                }
            }
        }
    }

    /// Writes what was learnt since the last time.
    pub async fn flush_uses(&self) {
        loop {
            let page = self.uses.all().unwritten(self.now(), WRITE_PAGE);
            if page.is_empty() {
                return;
            }
            if let Err(error) = self.store.keep_usage(self.now(), &page).await {
                // It is a hint for people: what is lost is learnt anew.
                tracing::warn!(%error, "what was learnt of the use of keys could not be kept");
                return;
            }
        }
    }
}

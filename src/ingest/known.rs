//! The last aliases and tags known of keys: losing an alias or a tag must not lower a key's labels by itself, since an
//! attacker may delete the alias first. Kept in the store; a bounded copy saves the reading.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::core::enrich;
use crate::core::event::{Event, KeyRef};
use crate::engine::Engine;

/// Keys held in memory; beyond it the copy starts anew.
const KEYS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct KnownKeys(Mutex<HashMap<String, KeyRef>>);

impl KnownKeys {
    /// What was known of a key before. A store that cannot be read means: nothing.
    pub(super) async fn recall(&self, engine: &Engine, arn: &str) -> Option<KeyRef> {
        if let Some(known) = self.copy().get(arn) {
            return Some(known.clone());
        }
        let arns = [arn.to_owned()];
        let found = match engine.store().recall_keys(&arns).await {
            Ok(found) => found.into_iter().next(),
            Err(error) => {
                tracing::warn!(%error, key.arn = arn, "what was known of a key could not be read");
                None
            }
        };
        let key = found?;
        self.keep(arn, key.clone());
        Some(key)
    }

    /// Adds what is known now. Best effort: a store that fails loses nothing but this.
    pub(super) async fn remember(&self, engine: &Engine, event: &Event, before: Option<&KeyRef>) {
        let Some(joined) = enrich::remember(event, before) else { return };
        let Some(arn) = joined.arn.clone() else { return };
        let nothing = joined.aliases.is_empty() && joined.tags.is_empty();
        if nothing || before.is_some_and(|known| known.aliases == joined.aliases && known.tags == joined.tags) {
            return;
        }
        self.keep(&arn, joined.clone());
        if let Err(error) = engine.store().remember_keys(engine.now(), &[joined]).await {
            tracing::warn!(%error, key.arn = arn, "what is known of a key could not be kept");
        }
    }

    fn keep(&self, arn: &str, key: KeyRef) {
        let mut copy = self.copy();
        if copy.len() >= KEYS_MAX {
            copy.clear();
        }
        copy.insert(arn.to_owned(), key);
    }

    fn copy(&self) -> std::sync::MutexGuard<'_, HashMap<String, KeyRef>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The last aliases and tags known of keys: losing an alias or a tag must not lower a key's labels by itself, since an
//! attacker may delete the alias first. Kept in the store, which joins what all who learn of a key say; a bounded copy saves the reading.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Engine;
use crate::core::enrich;
use crate::core::event::{Event, KeyRef};
use crate::store::{KnownKey, StoreError};

/// Keys held in memory; beyond it the copy starts anew.
const KEYS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Known(Mutex<Copied>);

#[derive(Default)]
struct Copied {
    keys: HashMap<String, KeyRef>,
    /// How often something was written. What was read before a write and comes after it may be older than what was written.
    writes: u64,
}

impl Known {
    fn copied(&self) -> MutexGuard<'_, Copied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy of a key, or else how often something has been written so far.
    fn get(&self, arn: &str) -> Result<KeyRef, u64> {
        let copied = self.copied();
        copied.keys.get(arn).cloned().ok_or(copied.writes)
    }

    fn read(&self, arn: &str, key: &KeyRef, writes: u64) {
        let mut copied = self.copied();
        if copied.writes != writes {
            return;
        }
        if copied.keys.len() >= KEYS_MAX {
            copied.keys.clear();
        }
        copied.keys.insert(arn.to_owned(), key.clone());
    }

    /// What is known of these keys has to be read again.
    fn written(&self, keys: &[KnownKey]) {
        let mut copied = self.copied();
        copied.writes = copied.writes.wrapping_add(1);
        for arn in keys.iter().filter_map(|known| known.key.arn.as_ref()) {
            copied.keys.remove(arn);
        }
    }
}

impl Engine {
    /// What was known of a key before. A store that cannot be read means: nothing.
    pub async fn recall_key(&self, arn: &str) -> Option<KeyRef> {
        let writes = match self.known.get(arn) {
            Ok(key) => return Some(key),
            Err(writes) => writes,
        };
        let arns = [arn.to_owned()];
        let found = match self.store.recall_keys(&arns).await {
            Ok(found) => found.into_iter().next(),
            Err(error) => {
                tracing::warn!(%error, key.arn = arn, "what was known of a key could not be read");
                None
            }
        };
        let key = found?.key;
        self.known.read(arn, &key, writes);
        Some(key)
    }

    /// Adds what is known of an event's key now that it is enriched. Best effort: a store that fails loses nothing but this.
    pub async fn remember_key_of(&self, event: &Event, before: Option<&KeyRef>) {
        let Some(joined) = enrich::remember(event, before) else { return };
        let nothing = joined.aliases.is_empty() && joined.tags.is_empty();
        if nothing || before.is_some_and(|known| known.aliases == joined.aliases && known.tags == joined.tags) {
            return;
        }
        let known = KnownKey::from(joined);
        if let Err(error) = self.remember_keys(std::slice::from_ref(&known)).await {
            let arn = known.key.arn.as_deref().unwrap_or_default();
            tracing::warn!(%error, key.arn = arn, "what is known of a key could not be kept");
        }
    }

    /// Adds what is known of keys now to what is known of them.
    ///
    /// # Errors
    /// Nothing was stored.
    pub async fn remember_keys(&self, keys: &[KnownKey]) -> Result<(), StoreError> {
        let kept = self.store.remember_keys(self.now(), keys).await;
        self.known.written(keys);
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::SystemClock;
    use crate::core::decide::Policy;
    use crate::engine::Nobody;
    use crate::store;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn key(alias: &str) -> KeyRef {
        KeyRef { arn: Some(ARN.to_owned()), aliases: vec![alias.to_owned()], ..KeyRef::default() }
    }

    async fn engine() -> Engine {
        let config = store::Config { memory: Some(store::memory::Config::default()), ..store::Config::default() };
        let store = store::open(&config).await.unwrap();
        Engine::new(Arc::new(Policy::default()), store, Arc::new(SystemClock), Arc::new(Nobody))
    }

    async fn aliases(engine: &Engine) -> Vec<String> {
        engine.recall_key(ARN).await.unwrap().aliases
    }

    #[tokio::test]
    async fn what_anybody_learns_of_a_key_is_there_for_the_next_event() {
        let engine = engine().await;
        assert_eq!(engine.recall_key(ARN).await, None);
        engine.remember_keys(&[key("alias/a").into()]).await.unwrap();
        assert_eq!(aliases(&engine).await, ["alias/a"]);
        engine.remember_keys(&[key("alias/b").into()]).await.unwrap();
        assert_eq!(aliases(&engine).await, ["alias/a", "alias/b"]);
    }

    #[tokio::test]
    async fn what_is_known_is_read_once() {
        let engine = engine().await;
        engine.remember_keys(&[key("alias/a").into()]).await.unwrap();
        assert_eq!(aliases(&engine).await, ["alias/a"]);
        // Nobody writes so: it shows whether the store is asked.
        engine.store().remember_keys(engine.now(), &[key("alias/b").into()]).await.unwrap();
        assert_eq!(aliases(&engine).await, ["alias/a"]);
    }

    #[test]
    fn what_was_read_before_a_write_is_not_taken_for_what_was_written() {
        let known = Known::default();
        let Err(writes) = known.get(ARN) else { panic!("nothing is known yet") };
        known.written(&[key("alias/new").into()]);
        known.read(ARN, &key("alias/old"), writes);
        assert_eq!(known.get(ARN), Err(writes + 1));
    }
}

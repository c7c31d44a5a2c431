//! The cache in front of KMS: one read per key at a time, a deadline, and bounds on everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use moka::Expiry;
use moka::future::Cache;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::kms::{KeyArn, Kms};
use super::{Config, KeyLookup};
use crate::base::aws::Access;
use crate::base::clock::Clock;
use crate::core::enrich::Lookup;
use crate::core::event::KeyRef;

/// Keys that are read at once; KMS's quotas are shared with everything else in the account.
const READS_MAX: usize = 8;

/// Keys that are read or wait to be. Beyond it, events go on without an answer.
const RUNNING_MAX: usize = 256;

/// How often a read is repeated because the key changed meanwhile.
const ROUNDS_MAX: usize = 3;

/// Key details from KMS.
#[derive(Clone)]
pub struct Lookups(Arc<Inner>);

struct Inner {
    enabled: bool,
    regions: Vec<String>,
    deadline: Duration,
    kms: Kms,
    cache: Cache<String, Lookup>,
    running: Mutex<HashMap<String, Running>>,
    reads: Semaphore,
    clock: Arc<dyn Clock>,
}

/// A read under way. It outlives the deadline, and its answer goes into the cache.
struct Running {
    started: Instant,
    /// The key changed after the read began.
    stale: bool,
    answer: watch::Receiver<Option<Lookup>>,
}

impl Lookups {
    /// `home` are the accounts that our own credentials belong to, if known: only there can aliases and tags be read
    /// without a role. Makes no request.
    pub fn new(config: &Config, access: &Access, clock: Arc<dyn Clock>, home: Vec<String>) -> Self {
        let keep = Keep { known: config.ttl.get_ref().unsigned(), missing: config.negative_ttl.get_ref().unsigned() };
        Self(Arc::new(Inner {
            enabled: config.enabled,
            regions: config.regions.iter().map(|region| region.get_ref().clone()).collect(),
            deadline: config.deadline.get_ref().unsigned(),
            cache: Cache::builder().max_capacity(*config.capacity.get_ref()).expire_after(keep).build(),
            kms: Kms::new(config.clone(), access.clone(), home),
            running: Mutex::default(),
            reads: Semaphore::new(READS_MAX),
            clock,
        }))
    }
}

#[async_trait]
impl KeyLookup for Lookups {
    async fn describe(&self, key: &KeyRef) -> Lookup {
        if !self.0.enabled {
            return Lookup::Off;
        }
        let Some(arn) = KeyArn::of(key) else {
            return Lookup::Failed("the event does not say which key it is about".to_owned());
        };
        if !self.0.regions.is_empty() && !self.0.regions.contains(&arn.region) {
            return Lookup::Off;
        }
        loop {
            if let Some(found) = self.0.cache.get(&arn.text).await {
                return found;
            }
            match self.0.join(&arn) {
                Joined::Read { mut answer, until } => {
                    let wait = tokio::time::timeout_at(until, answer.wait_for(Option::is_some)).await;
                    return match wait {
                        Ok(Ok(found)) => found.clone().unwrap_or(Lookup::TimedOut),
                        Ok(Err(_)) => Lookup::Failed("the lookup ended without an answer".to_owned()),
                        Err(_) => Lookup::TimedOut,
                    };
                }
                Joined::Cached => {}
                Joined::Full => return Lookup::Failed("too many keys are being looked up".to_owned()),
            }
        }
    }

    async fn invalidate(&self, arn: &str) {
        self.0.cache.invalidate(arn).await;
        if let Some(running) = self.0.running().get_mut(arn) {
            running.stale = true;
        }
    }
}

enum Joined {
    /// The deadline runs from the start of the read, so that a slow key delays its events once, not each of them.
    Read {
        answer: watch::Receiver<Option<Lookup>>,
        until: Instant,
    },
    /// Another read has ended in between.
    Cached,
    Full,
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the key's read, or starts one.
    fn join(self: &Arc<Self>, arn: &KeyArn) -> Joined {
        let mut running = self.running();
        if let Some(read) = running.get(&arn.text) {
            return Joined::Read { answer: read.answer.clone(), until: read.started + self.deadline };
        }
        // A read leaves `running` after its answer is in the cache.
        if self.cache.contains_key(&arn.text) {
            return Joined::Cached;
        }
        if running.len() >= RUNNING_MAX {
            return Joined::Full;
        }
        let (sender, answer) = watch::channel(None);
        let started = Instant::now();
        running.insert(arn.text.clone(), Running { started, stale: false, answer: answer.clone() });
        drop(running);
        let leave = Leave { inner: Arc::clone(self), arn: arn.text.clone() };
        tokio::spawn(read(leave, arn.clone(), sender));
        Joined::Read { answer, until: started + self.deadline }
    }
}

/// Reads until the answer is newer than the key's last change, and puts it into the cache.
async fn read(leave: Leave, arn: KeyArn, sender: watch::Sender<Option<Lookup>>) {
    let inner = &leave.inner;
    let mut last = Lookup::TimedOut;
    for _ in 0..ROUNDS_MAX {
        last = match inner.reads.acquire().await {
            // Boxed: the SDK's futures are large.
            Ok(_permit) => Box::pin(inner.kms.read(&arn, inner.clock.now())).await,
            Err(_) => return,
        };
        inner.cache.insert(arn.text.clone(), last.clone()).await;
        let changed = {
            let mut running = inner.running();
            let stale = running.get_mut(&arn.text).is_some_and(|read| std::mem::take(&mut read.stale));
            if !stale {
                running.remove(&arn.text);
            }
            stale
        };
        if !changed {
            sender.send_replace(Some(last));
            return;
        }
        inner.cache.invalidate(&arn.text).await;
    }
    // It changes faster than it can be read. The answer says when it was read; it is not kept.
    sender.send_replace(Some(last));
}

/// Ends the entry in `running` even if the read panics: the key could never be looked up again.
struct Leave {
    inner: Arc<Inner>,
    arn: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // Another read of the same key may have begun since ours ended; its channel is still open.
        let mut running = self.inner.running();
        if running.get(&self.arn).is_some_and(|read| read.answer.has_changed().is_err()) {
            running.remove(&self.arn);
        }
    }
}

/// How long answers are kept.
struct Keep {
    known: Duration,
    missing: Duration,
}

impl Keep {
    fn time(&self, lookup: &Lookup) -> Duration {
        if matches!(lookup, Lookup::Known(_)) { self.known } else { self.missing }
    }
}

impl Expiry<String, Lookup> for Keep {
    fn expire_after_create(&self, _: &String, lookup: &Lookup, _: std::time::Instant) -> Option<Duration> {
        Some(self.time(lookup))
    }

    fn expire_after_update(
        &self,
        _: &String,
        lookup: &Lookup,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.time(lookup))
    }
}

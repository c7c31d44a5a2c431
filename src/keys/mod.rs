//! Port: KMS itself. Key details through a bounded, shared cache.
//!
//! | file | is |
//! |---|---|
//! | `config` | the `[lookups]` table |
//! | `lookups` | the cache: one read per key at a time, a deadline, bounds |
//! | `kms` | the reads, with a client per region and role |

mod config;
mod kms;
mod lookups;

#[cfg(test)]
mod tests;

use async_trait::async_trait;

use crate::core::enrich::Lookup;
use crate::core::event::KeyRef;

pub use config::Config;
pub use lookups::Lookups;

/// Tells what is known of a key. Never fails and never takes longer than its deadline: an answer that cannot be had says so.
#[async_trait]
pub trait KeyLookup: Send + Sync {
    /// What KMS says of the key, as read within the time that answers are kept.
    async fn describe(&self, key: &KeyRef) -> Lookup;

    /// Forgets what is known of a key, because an event changed it: the next [`KeyLookup::describe`] reads anew, and a
    /// read under way is repeated.
    async fn invalidate(&self, arn: &str);
}

/// Knows nothing and asks nobody: for recorded events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLookups;

#[async_trait]
impl KeyLookup for NoLookups {
    async fn describe(&self, _: &KeyRef) -> Lookup {
        Lookup::Off
    }

    async fn invalidate(&self, _: &str) {}
}

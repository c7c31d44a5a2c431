//! Port: KMS itself. Key details through a bounded, shared cache; whole inspections, paced; and the calls of canaries.
//!
//! | file | is |
//! |---|---|
//! | `config` | the `[lookups]` table |
//! | `lookups` | the cache: one read per key at a time, a deadline, bounds |
//! | `sweep` | the `[sweep]` table |
//! | `kms` | the reads of a lookup |
//! | `clients` | a client per region and role |
//! | `inspect` | everything KMS says of a key, below its quotas |
//! | `recorded` | what KMS records of the use of a key that cannot be used any more |
//! | `canary` | the `[canaries.<name>]` tables, and the calls that must come back |

mod canary;
mod clients;
mod config;
mod inspect;
mod kms;
mod lookups;
mod recorded;
mod sweep;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use async_trait::async_trait;

use crate::core::enrich::Lookup;
use crate::core::event::KeyRef;
use crate::core::inspection::{Inspection, Part, Wants};

pub use canary::{CanaryCaller, CanaryCalls, CanaryConfig};
pub use config::Config;
pub use inspect::Inspector;
pub use lookups::Lookups;
pub use recorded::{RECORDED_AT_ONCE, RECORDED_WITHIN, recorded_use};
pub use sweep::SweepConfig;

/// Tells what is known of a key. Never fails and never takes longer than its deadline: an answer that cannot be had says so.
#[async_trait]
pub trait KeyLookup: Send + Sync {
    /// What KMS says of the key, as read within the time that answers are kept.
    async fn describe(&self, key: &KeyRef) -> Lookup;

    /// Forgets what is known of a key, because an event changed it: the next [`KeyLookup::describe`] reads anew, and a
    /// read under way is repeated.
    async fn invalidate(&self, arn: &str);
}

/// One Region of one account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The account whose role in `[lookups.assume_role]` is taken on; without one, or without such a role, our own
    /// credentials ask.
    pub account: Option<String>,
    pub region: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{account} {}", self.region),
            None => write!(f, "our own account, {}", self.region),
        }
    }
}

/// Some of a scope's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// ARNs.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// A call that is not made any more for a while, because KMS does not let us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    pub region: String,
    /// The account whose role was taken on.
    pub account: Option<String>,
    /// Such as `kms:ListGrants`.
    pub permission: String,
    /// How many keys deny it by themselves; without it, it is denied for all.
    pub keys: Option<usize>,
    pub why: String,
}

/// Looks at keys, below KMS's quotas. Never fails as a whole: each part says for itself how it ended.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// A page of the keys of a scope, from a marker on.
    async fn list(&self, scope: &Scope, marker: Option<&str>) -> Part<Page>;

    /// The aliases of all keys of a scope, by the bare id of the key: one request for a hundred of them.
    async fn aliases(&self, scope: &Scope) -> Part<HashMap<String, Vec<String>>>;

    /// One key.
    async fn look(&self, scope: &Scope, arn: &str, wants: Wants) -> Inspection;

    /// What is not asked any more at present.
    fn refusals(&self) -> Vec<Refusal>;

    /// Requests made so far, by call.
    fn calls(&self) -> BTreeMap<&'static str, u64>;
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

//! What KMS itself records of the use of a key: read when people are about to hear that the key cannot be used.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Inspect, Scope};
use crate::core::event::KeyRef;
use crate::core::inspection::{Inspection, Wants};

/// How long a page waits for it. KMS's quota for that is 5 a second.
pub const RECORDED_WITHIN: Duration = Duration::from_secs(2);
/// Keys that KMS is asked about at once.
pub const RECORDED_AT_ONCE: usize = 4;

/// The last use and the grants of a key; `None` where its place is not known, or there is no answer in time.
pub async fn recorded_use(inspect: &dyn Inspect, key: &KeyRef, until: Instant) -> Option<Inspection> {
    let (arn, region) = (key.arn.as_deref()?, key.region.clone()?);
    if Instant::now() >= until {
        return None;
    }
    let scope = Scope { account: key.account.clone(), region };
    let wants = Wants { last_usage: true, grants: true, urgent: true, ..Wants::NOTHING };
    timeout_at(until, inspect.look(&scope, arn, wants)).await.ok()
}

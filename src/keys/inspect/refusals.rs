//! What we are not allowed to ask. A denial by our own policies holds for every key: it is said once and not asked again for a while.
//! A denial by one key's policy is that key's alone, and so is every denial of `DescribeKey`: whoever locks a few keys must not blind us
//! to the others.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::call::Call;
use super::{Place, Refusal};
use crate::core::decode::denied_by;
use crate::core::event::DeniedBy;
use crate::core::inspection::Part;

/// How long a permission that is missing is not asked for again. Each denial is an event that comes back to us.
const AGAIN: Duration = Duration::from_hours(6);
/// How long a key is left alone after its first denial; after each further one twice as long, up to [`AGAIN`].
const AGAIN_OF_A_KEY: Duration = Duration::from_mins(30);
/// While something is left out for all keys, the key of this number is asked nevertheless, and those of twice the number, of four
/// times and so on: our own policies may speak of some keys only.
const PROBE: u32 = 16;
/// Regions times roles times calls.
const KEPT_MAX: usize = 16_384;
/// Keys that deny something, everywhere. One that is not remembered is asked again.
const KEYS_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    records: Mutex<HashMap<(Place, Call), Record>>,
    hasher: RandomState,
}

/// What is known of one call in one place.
#[derive(Debug, Default)]
struct Record {
    /// It is asked of no key until then.
    until: Option<Instant>,
    /// Questions that were not asked since.
    held: u32,
    /// When some key allowed it last.
    allowed: Option<Instant>,
    /// Keys that deny it, by the hash of their ARN.
    keys: HashMap<u64, Denial>,
    why: Option<Why>,
    detail: String,
}

/// One key's own.
#[derive(Debug)]
struct Denial {
    until: Instant,
    lasts: Duration,
}

/// Why nothing is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Denied,
    /// This KMS does not know the call.
    Unknown,
}

impl Why {
    pub(super) fn part<T>(self) -> Part<T> {
        match self {
            Self::Denied => Part::Denied,
            Self::Unknown => Part::Failed("KMS does not know this call here".to_owned()),
        }
    }
}

impl Refusals {
    /// Why a call need not be made. `key` is the ARN of the key that it is about.
    pub(super) fn standing(&self, place: &Place, call: Call, key: Option<&str>, now: Instant) -> Option<Why> {
        let mut records = self.records();
        let record = records.get_mut(&(place.clone(), call))?;
        if key.and_then(|key| record.keys.get(&self.hash(key))).is_some_and(|denial| now < denial.until) {
            return Some(Why::Denied);
        }
        let why = record.why.filter(|_| record.until.is_some_and(|until| now < until))?;
        record.held = record.held.saturating_add(1);
        let probe = why == Why::Denied && key.is_some() && record.held >= PROBE && record.held.is_power_of_two();
        (!probe).then_some(why)
    }

    /// Remembers a denial.
    pub(super) fn denied(&self, place: &Place, call: Call, key: Option<&str>, detail: &str, now: Instant) {
        let mut records = self.records();
        let kept: usize = records.values().map(|record| record.keys.len()).sum();
        let Some(record) = record(&mut records, place, call) else { return };
        let for_all = match (key, call) {
            // Without them we are blind: each sweep asks for the list, and each key is asked.
            (None, Call::ListKeys) | (Some(_), Call::DescribeKey) => false,
            // `ListAliases` is about no key that could have a policy of its own.
            (None, _) => true,
            (Some(_), _) => is_ours(detail) && record.allowed.is_none_or(|at| now.duration_since(at) >= AGAIN),
        };
        detail.clone_into(&mut record.detail);
        if let Some(key) = key {
            let first = record.keys.is_empty();
            let hash = self.hash(key);
            let before = record.keys.get(&hash).map(|denial| denial.lasts);
            if before.is_some() || kept < KEYS_MAX {
                let lasts = before.map_or(AGAIN_OF_A_KEY, |lasts| (lasts * 2).min(AGAIN));
                record.keys.insert(hash, Denial { until: now + lasts, lasts });
            }
            if first && !for_all {
                tracing::warn!(
                    kms.call = call.name(),
                    kms.region = place.region,
                    kms.role_account = place.role,
                    kms.key = key,
                    error = record.detail,
                    "a key does not let us ask this; it is left out for a while, and the others are asked"
                );
            }
        }
        if for_all {
            leave_out(record, place, call, Why::Denied, now);
        }
    }

    /// Remembers that this KMS does not know a call.
    pub(super) fn unknown(&self, place: &Place, call: Call, now: Instant) -> Why {
        let mut records = self.records();
        if let Some(record) = record(&mut records, place, call) {
            "KMS does not know this call here".clone_into(&mut record.detail);
            leave_out(record, place, call, Why::Unknown, now);
        }
        Why::Unknown
    }

    /// It was allowed.
    pub(super) fn allowed(&self, place: &Place, call: Call, key: Option<&str>, now: Instant) {
        let mut records = self.records();
        let Some(record) = record(&mut records, place, call) else { return };
        (record.until, record.why, record.allowed) = (None, None, Some(now));
        if let Some(key) = key
            && !record.keys.is_empty()
        {
            record.keys.remove(&self.hash(key));
        }
    }

    /// Everything that is left out, sorted: of all keys, or of some.
    pub(super) fn all(&self) -> Vec<Refusal> {
        let records = self.records();
        let left_out = records.iter().filter(|(_, record)| record.until.is_some() || !record.keys.is_empty());
        let mut all: Vec<Refusal> = left_out.map(|((place, call), record)| refusal(place, *call, record)).collect();
        all.sort();
        all
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<(Place, Call), Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Records = HashMap<(Place, Call), Record>;

/// The record of a call, made if there is room for it.
fn record<'r>(records: &'r mut Records, place: &Place, call: Call) -> Option<&'r mut Record> {
    let room = records.len() < KEPT_MAX;
    let key = (place.clone(), call);
    if !room && !records.contains_key(&key) {
        return None;
    }
    Some(records.entry(key).or_default())
}

/// From now on nobody is asked, for a while.
fn leave_out(record: &mut Record, place: &Place, call: Call, why: Why, now: Instant) {
    let stood = record.until.is_some_and(|until| now < until);
    (record.until, record.why) = (Some(now + AGAIN), Some(why));
    if stood {
        return;
    }
    record.held = 0;
    tracing::warn!(
        kms.call = call.name(),
        kms.region = place.region,
        kms.role_account = place.role,
        error = record.detail,
        "KMS does not let us ask this; it is left out for six hours"
    );
}

/// Whether our own policies say no, and not the key's.
fn is_ours(detail: &str) -> bool {
    matches!(
        denied_by(detail),
        DeniedBy::IdentityPolicy
            | DeniedBy::SessionPolicy
            | DeniedBy::PermissionsBoundary
            | DeniedBy::ServiceControlPolicy
            | DeniedBy::VpcEndpointPolicy
    )
}

fn refusal(place: &Place, call: Call, record: &Record) -> Refusal {
    Refusal {
        region: place.region.clone(),
        account: place.role.clone(),
        permission: format!("kms:{}", call.name()),
        keys: record.until.is_none().then_some(record.keys.len()),
        why: record.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { region: "eu-central-1".to_owned(), role: None }
    }

    const BY_IAM: &str = "AccessDeniedException: User: x is not authorized to perform: kms:ListGrants on resource: y because no \
                          identity-based policy allows the kms:ListGrants action";
    const BY_KEY: &str = "AccessDeniedException: User: x is not authorized to perform: kms:ListGrants on resource: y because no \
                          resource-based policy allows the kms:ListGrants action";

    fn standing(refusals: &Refusals, call: Call, key: &str, now: Instant) -> Option<Why> {
        refusals.standing(&place(), call, Some(key), now)
    }

    #[test]
    fn what_our_own_policies_deny_is_not_asked_again_for_a_while() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.denied(&place(), Call::ListGrants, Some("a"), BY_IAM, now);
        assert_eq!(standing(&refusals, Call::ListGrants, "b", now), Some(Why::Denied));
        assert_eq!(standing(&refusals, Call::GetKeyPolicy, "b", now), None);
        assert_eq!(standing(&refusals, Call::ListGrants, "b", now + AGAIN), None, "then it is tried again");
        assert_eq!(refusals.all()[0].keys, None, "of all keys");
        refusals.allowed(&place(), Call::ListGrants, Some("a"), now);
        assert!(refusals.all().is_empty());
        refusals.denied(&place(), Call::ListGrants, Some("b"), BY_IAM, now);
        assert_eq!(standing(&refusals, Call::ListGrants, "a", now), None, "some keys allow it");
    }

    #[test]
    fn what_keys_deny_is_asked_of_the_others_however_many_they_are() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for number in 0..100 {
            refusals.denied(&place(), Call::ListGrants, Some(&format!("locked {number}")), BY_KEY, now);
            refusals.denied(&place(), Call::DescribeKey, Some(&format!("locked {number}")), BY_IAM, now);
        }
        for call in [Call::ListGrants, Call::DescribeKey] {
            assert_eq!(standing(&refusals, call, "open", now), None);
            assert_eq!(standing(&refusals, call, "locked 7", now), Some(Why::Denied));
        }
        let told: Vec<_> = refusals.all().into_iter().map(|refusal| (refusal.permission, refusal.keys)).collect();
        assert_eq!(told, [("kms:DescribeKey".to_owned(), Some(100)), ("kms:ListGrants".to_owned(), Some(100))]);
    }

    #[test]
    fn a_key_that_denies_is_asked_again_less_and_less_often() {
        let (refusals, mut now) = (Refusals::default(), Instant::now());
        for minutes in [30, 60, 120, 240, 360, 360] {
            refusals.denied(&place(), Call::DescribeKey, Some("locked"), BY_KEY, now);
            let again = now + Duration::from_mins(minutes);
            assert!(standing(&refusals, Call::DescribeKey, "locked", again - Duration::from_secs(1)).is_some());
            assert_eq!(standing(&refusals, Call::DescribeKey, "locked", again), None);
            now = again;
        }
        refusals.allowed(&place(), Call::DescribeKey, Some("locked"), now);
        assert!(refusals.all().is_empty());
    }

    #[test]
    fn what_is_left_out_for_all_is_tried_with_a_few_and_comes_back_with_the_first_that_allows_it() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.denied(&place(), Call::GetKeyPolicy, Some("first"), BY_IAM, now);
        let asked: Vec<usize> = (1..=100)
            .filter(|number| standing(&refusals, Call::GetKeyPolicy, &format!("key {number}"), now).is_none())
            .collect();
        assert_eq!(asked, [16, 32, 64]);
        refusals.allowed(&place(), Call::GetKeyPolicy, Some("key 64"), now);
        assert_eq!(standing(&refusals, Call::GetKeyPolicy, "key 65", now), None);
        assert_eq!(standing(&refusals, Call::GetKeyPolicy, "first", now), Some(Why::Denied));
    }

    #[test]
    fn keys_are_listed_again_as_soon_as_we_may() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for call in [Call::ListKeys, Call::ListAliases] {
            refusals.denied(&place(), call, None, BY_IAM, now);
        }
        assert_eq!(refusals.standing(&place(), Call::ListKeys, None, now), None);
        assert_eq!(refusals.standing(&place(), Call::ListAliases, None, now), Some(Why::Denied));
    }

    #[test]
    fn a_call_that_kms_does_not_know_is_asked_of_nobody() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.unknown(&place(), Call::GetKeyLastUsage, now);
        for number in 0..64 {
            let standing = standing(&refusals, Call::GetKeyLastUsage, &format!("key {number}"), now);
            assert_eq!(standing, Some(Why::Unknown));
        }
    }
}

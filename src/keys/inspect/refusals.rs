//! What we are not allowed to ask. A denial by our own policies holds for every key: it is said once and not asked again for a while.
//! A denial by one key's policy is that key's alone.

use std::collections::HashMap;
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
/// Keys after each other that deny something, until it is taken for our own lack.
const IN_A_ROW: u32 = 5;
/// Regions times roles times calls.
const KEPT_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<(Place, Call), Record>>);

#[derive(Debug, Clone)]
struct Record {
    in_a_row: u32,
    /// Set once it holds for every key.
    until: Option<Instant>,
    why: Why,
    detail: String,
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
    /// Why a call need not be made.
    pub(super) fn standing(&self, place: &Place, call: Call, now: Instant) -> Option<Why> {
        let records = self.records();
        let record = records.get(&(place.clone(), call))?;
        record.until.is_some_and(|until| now < until).then_some(record.why)
    }

    /// Remembers a denial.
    pub(super) fn denied(&self, place: &Place, call: Call, detail: &str, now: Instant) {
        // `ListKeys` and `ListAliases` are about no key that could have a policy of its own.
        let ours = matches!(call, Call::ListKeys | Call::ListAliases)
            || matches!(
                denied_by(detail),
                DeniedBy::IdentityPolicy
                    | DeniedBy::SessionPolicy
                    | DeniedBy::PermissionsBoundary
                    | DeniedBy::ServiceControlPolicy
                    | DeniedBy::VpcEndpointPolicy
            );
        self.note(place, call, detail, now, |record| {
            record.in_a_row += 1;
            ours || record.in_a_row >= IN_A_ROW
        });
    }

    /// Remembers that this KMS does not know a call.
    pub(super) fn unknown(&self, place: &Place, call: Call, now: Instant) -> Why {
        self.note(place, call, "KMS does not know this call here", now, |record| {
            record.why = Why::Unknown;
            true
        });
        Why::Unknown
    }

    /// It was allowed.
    pub(super) fn forget(&self, place: &Place, call: Call) {
        self.records().remove(&(place.clone(), call));
    }

    /// Everything that is not asked for any key, sorted.
    pub(super) fn all(&self) -> Vec<Refusal> {
        let records = self.records();
        let standing = records.iter().filter(|(_, record)| record.until.is_some());
        let mut all: Vec<Refusal> = standing.map(|((place, call), record)| refusal(place, *call, record)).collect();
        all.sort();
        all
    }

    fn note(&self, place: &Place, call: Call, detail: &str, now: Instant, holds: impl Fn(&mut Record) -> bool) {
        let mut records = self.records();
        let key = (place.clone(), call);
        if records.len() >= KEPT_MAX && !records.contains_key(&key) {
            return;
        }
        let fresh = Record { in_a_row: 0, until: None, why: Why::Denied, detail: String::new() };
        let record = records.entry(key).or_insert(fresh);
        detail.clone_into(&mut record.detail);
        let stood = record.until.is_some();
        if holds(record) {
            record.until = Some(now + AGAIN);
            if !stood {
                tracing::warn!(
                    kms.call = call.name(),
                    kms.region = place.region,
                    kms.role_account = place.role,
                    error = record.detail,
                    "KMS does not let us ask this; it is left out for six hours"
                );
            }
        }
    }

    fn records(&self) -> MutexGuard<'_, HashMap<(Place, Call), Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(place: &Place, call: Call, record: &Record) -> Refusal {
    Refusal {
        region: place.region.clone(),
        account: place.role.clone(),
        permission: format!("kms:{}", call.name()),
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

    #[test]
    fn what_our_own_policies_deny_is_not_asked_again_for_a_while() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.denied(&place(), Call::ListGrants, BY_IAM, now);
        assert_eq!(refusals.standing(&place(), Call::ListGrants, now), Some(Why::Denied));
        assert_eq!(refusals.standing(&place(), Call::GetKeyPolicy, now), None);
        assert_eq!(refusals.standing(&place(), Call::ListGrants, now + AGAIN), None, "then it is tried again");
        assert_eq!(refusals.all().len(), 1);
        refusals.forget(&place(), Call::ListGrants);
        assert!(refusals.all().is_empty());
    }

    #[test]
    fn what_one_key_denies_is_asked_of_the_next() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for _ in 1..IN_A_ROW {
            refusals.denied(&place(), Call::ListGrants, BY_KEY, now);
            assert_eq!(refusals.standing(&place(), Call::ListGrants, now), None);
        }
        refusals.denied(&place(), Call::ListGrants, BY_KEY, now);
        assert_eq!(refusals.standing(&place(), Call::ListGrants, now), Some(Why::Denied));
    }
}

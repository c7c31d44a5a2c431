//! What a lane knows of its sink's troubles. Outlives the lane when a reload replaces it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::sink::FailReason;

/// So many failures in a row are a trouble worth a line in the log; one alone is not.
const NOTICED_AFTER: u32 = 3;

pub(super) type Shared = Arc<Mutex<Trouble>>;

#[derive(Debug, Default)]
pub(super) struct Trouble {
    failing: Option<Failing>,
    /// It has accepted something in this life of the daemon.
    greeted: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    /// The first failure that no success followed.
    pub(super) since: Timestamp,
    pub(super) since_instant: Instant,
    pub(super) reason: FailReason,
    pub(super) parked: bool,
    failures: u32,
    noticed: bool,
    reported: bool,
}

/// What changed, for the log: once per change, not per retry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It fails, or now fails in another way.
    Failing,
    /// It works again; whether it had been reported, and whether it is the first success of this life.
    Recovered {
        reported: bool,
        first: bool,
    },
    /// It works, the first time that anybody asked: what an earlier life of the daemon reported is past.
    Greeted,
}

impl Trouble {
    pub(super) fn failed(&mut self, now: Timestamp, reason: FailReason, parked: bool) -> Change {
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            since_instant: Instant::now(),
            reason,
            parked,
            failures: 0,
            noticed: false,
            reported: false,
        });
        failing.failures = failing.failures.saturating_add(1);
        let other = failing.parked != parked;
        failing.reason = reason;
        failing.parked = parked;
        let noticed = parked || failing.failures >= NOTICED_AFTER;
        if noticed && (!failing.noticed || other) {
            failing.noticed = true;
            return Change::Failing;
        }
        Change::None
    }

    pub(super) fn succeeded(&mut self) -> Change {
        let first = !std::mem::replace(&mut self.greeted, true);
        match self.failing.take() {
            Some(failing) if failing.noticed || failing.reported => {
                Change::Recovered { reported: failing.reported, first }
            }
            _ if first => Change::Greeted,
            _ => Change::None,
        }
    }

    pub(super) fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// When the trouble will have lasted for `length`.
    pub(super) fn lasting_at(&self, length: Duration) -> Option<Instant> {
        self.failing.map(|failing| failing.since_instant + length)
    }

    /// Marks it as reported; `false` if it was already, or there is none.
    pub(super) fn report(&mut self) -> bool {
        self.failing.as_mut().is_some_and(|failing| !std::mem::replace(&mut failing.reported, true))
    }

    pub(super) fn is_reported(&self) -> bool {
        self.failing.is_some_and(|failing| failing.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let mut trouble = Trouble::default();
        let fail = |trouble: &mut Trouble, parked| trouble.failed(Timestamp::UNIX_EPOCH, FailReason::Server, parked);
        assert_eq!(fail(&mut trouble, false), Change::None, "a hiccup");
        assert_eq!(fail(&mut trouble, false), Change::None);
        assert_eq!(fail(&mut trouble, false), Change::Failing);
        assert_eq!(fail(&mut trouble, false), Change::None);
        assert_eq!(fail(&mut trouble, true), Change::Failing, "now it needs a person");
        assert_eq!(fail(&mut trouble, true), Change::None);
        assert!(trouble.report() && !trouble.report());
        assert_eq!(trouble.succeeded(), Change::Recovered { reported: true, first: true });
        assert_eq!(trouble.succeeded(), Change::None);
        assert_eq!(Trouble::default().succeeded(), Change::Greeted, "whatever an earlier life reported is past");
        assert_eq!(fail(&mut trouble, true), Change::Failing, "parked counts at once");
    }
}

//! From a failed attempt to what becomes of the delivery. Pure but for the jitter.

use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::pace::{RETRY_AFTER_MAX, backoff};
use crate::sink::{Class, DeliveryError};
use crate::store::{DeliveryState, Leased, Outcome};

const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_mins(5);

/// A parked delivery is tried again so soon the first time (perhaps it was a hiccup) …
const PARK_FIRST: Duration = Duration::from_mins(1);
/// … and then so seldom: a person has to mend something.
const PARK_THEN: Duration = Duration::from_mins(15);

/// Kept of an error.
const ERROR_MAX: usize = 500;

/// `failures`: how often the lane has failed in a row; stands in for the attempts of an overtaken trigger, which are
/// not counted.
pub(super) fn judge(
    leased: &Leased,
    error: &DeliveryError,
    give_up_after: SignedDuration,
    failures: u32,
    now: Timestamp,
    rng: &mut Rng,
) -> Outcome {
    let delivery = &leased.delivery;
    let text = cut(&error.to_string());
    let age = now.duration_since(delivery.created_at);
    if error.class == Class::Reject {
        return Outcome::Dead { error: text };
    }
    // Age alone proves nothing: it may have waited for us, not for the sink.
    if age >= give_up_after && delivery.attempts >= ATTEMPTS_MIN {
        return Outcome::Dead { error: cut(&format!("given up after {age:#}: {text}")) };
    }
    // One attempt that may have been accepted leaves a doubt that later refusals do not lift.
    let outcome_unknown = error.outcome_unknown || delivery.outcome_unknown;
    let at = match error.class {
        Class::Retry { after } => {
            let before = if leased.overtaken.is_some() { failures.saturating_sub(1) } else { delivery.attempts };
            let wait = backoff(RETRY_BASE, RETRY_CAP, before, rng);
            later(now, wait.max(after.unwrap_or_default().min(RETRY_AFTER_MAX)))
        }
        Class::Park | Class::Reject => {
            let wait = if delivery.state == DeliveryState::Parked { PARK_THEN } else { PARK_FIRST };
            later(now, wait + wait.mul_f64(rng.f64() / 10.0))
        }
    };
    // A trigger that was overtaken by its resolve stays "never attempted" as long as it surely was not accepted,
    // so that it is told as one note next time too.
    if leased.overtaken.is_some() && !outcome_unknown {
        return Outcome::Released { at };
    }
    match error.class {
        Class::Retry { .. } => Outcome::Retry { at, outcome_unknown, error: text },
        Class::Park | Class::Reject => Outcome::Parked { at, outcome_unknown, error: text },
    }
}

/// Nothing is given up before it was tried this often.
const ATTEMPTS_MIN: u32 = 10;

/// `now` + `wait`; the end of time if there is no such instant.
pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

fn cut(text: &str) -> String {
    text.chars().take(ERROR_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::{leased, start};
    use super::*;
    use crate::core::rule::Severity;
    use crate::sink::FailReason;
    use crate::store::Overtaken;

    const DAYS: SignedDuration = SignedDuration::from_hours(72);

    fn error(class: Class) -> DeliveryError {
        DeliveryError { class, reason: FailReason::Server, detail: "no".repeat(1000), outcome_unknown: false }
    }

    fn wait(leased: &Leased, class: Class) -> SignedDuration {
        match judge(leased, &error(class), DAYS, 1, start(), &mut Rng::with_seed(3)) {
            Outcome::Retry { at, .. } | Outcome::Parked { at, .. } | Outcome::Released { at } => {
                at.duration_since(start())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retries_grow_and_obey_the_other_side() {
        let mut leased = leased("slack", 1, Severity::High);
        assert!(wait(&leased, Class::Retry { after: None }) <= SignedDuration::from_secs(1));
        let asked = Duration::from_secs(42);
        assert_eq!(wait(&leased, Class::Retry { after: Some(asked) }), SignedDuration::from_secs(42));
        leased.delivery.attempts = 50;
        let long = wait(&leased, Class::Retry { after: None });
        assert!(long > SignedDuration::from_secs(1) && long <= SignedDuration::from_mins(5), "{long}");
    }

    #[test]
    fn parked_ones_are_tried_slowly() {
        let mut leased = leased("slack", 1, Severity::High);
        let first = wait(&leased, Class::Park);
        assert!(first >= SignedDuration::from_mins(1) && first < SignedDuration::from_mins(2), "{first}");
        leased.delivery.state = DeliveryState::Parked;
        let then = wait(&leased, Class::Park);
        assert!(then >= SignedDuration::from_mins(15) && then < SignedDuration::from_mins(17), "{then}");
    }

    #[test]
    fn refused_and_too_old_ones_are_dead_with_a_bounded_reason() {
        let mut leased = leased("slack", 1, Severity::High);
        let mut rng = Rng::with_seed(3);
        let Outcome::Dead { error: text } = judge(&leased, &error(Class::Reject), DAYS, 1, start(), &mut rng) else {
            panic!("not dead")
        };
        assert_eq!(text.chars().count(), ERROR_MAX);
        leased.delivery.created_at = start() - DAYS;
        let waited = judge(&leased, &error(Class::Park), DAYS, 1, start(), &mut rng);
        assert!(matches!(waited, Outcome::Parked { .. }), "it was old before it was ever tried: {waited:?}");
        leased.delivery.attempts = ATTEMPTS_MIN;
        let outcome = judge(&leased, &error(Class::Park), DAYS, 1, start(), &mut rng);
        assert!(matches!(&outcome, Outcome::Dead { error } if error.starts_with("given up after")), "{outcome:?}");
    }

    #[test]
    fn a_doubt_stays() {
        let mut leased = leased("slack", 1, Severity::High);
        leased.delivery.outcome_unknown = true;
        let outcome = judge(&leased, &error(Class::Retry { after: None }), DAYS, 1, start(), &mut Rng::with_seed(3));
        assert!(matches!(outcome, Outcome::Retry { outcome_unknown: true, .. }), "{outcome:?}");
    }

    #[test]
    fn an_overtaken_trigger_that_was_surely_not_told_stays_untried() {
        let mut leased = leased("slack", 1, Severity::High);
        leased.overtaken = Some(Overtaken { ids: vec![1, 2], resolve: leased.delivery.notification.clone() });
        let mut rng = Rng::with_seed(3);
        let mut failed = error(Class::Retry { after: None });
        assert!(matches!(judge(&leased, &failed, DAYS, 1, start(), &mut rng), Outcome::Released { .. }));
        failed.outcome_unknown = true;
        assert!(matches!(judge(&leased, &failed, DAYS, 1, start(), &mut rng), Outcome::Retry { .. }));
    }
}
